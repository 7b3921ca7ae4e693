"""Mention detection: is a span of words a mention?

Shape letters: S spans, D encoder width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.ragged import BlockLinear, Part
from model.settings import MentionSettings


class MentionClassifier(nn.Module):
    """logit = w · ReLU(U [v ; size embedding]) + b for a span vector v and the number of its words.

    Source: JEREX (arXiv 2102.05980), section 3.1; MRE, section 3, component M.
    """

    def __init__(self, settings: MentionSettings, width: int, embedding_size: int, dropout: float) -> None:
        super().__init__()
        self.size_embedding = nn.Embedding(settings.size_rows, embedding_size)
        self.hidden = BlockLinear([width, embedding_size], width)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, 1)

    def forward(self, span_SD: Tensor, size_S: Tensor) -> Tensor:
        size = size_S.clamp(max=self.size_embedding.num_embeddings - 1)
        hidden_SD = self.hidden(
            (self.hidden.sum(Part(0, span_SD)), None),
            (self.hidden.sum(Part(1, self.size_embedding.weight)), size),
        )
        return self.output(self.dropout(torch.relu(hidden_SD))).squeeze(-1)
