"""Coreference: do two mentions name the same entity?

Shape letters: M mentions, P pairs, D encoder width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.batch import CoreferencePairs
from model.ragged import BlockLinear, Part
from model.settings import CoreferenceSettings


class CoreferenceClassifier(nn.Module):
    """logit(i → j) = w · ReLU(U [v_i ; v_j ; edit-distance embedding]) + b. Directed.

    Source: JEREX (arXiv 2102.05980), section 3.2; MRE, section 3, component C.
    """

    def __init__(self, settings: CoreferenceSettings, width: int, embedding_size: int, dropout: float) -> None:
        super().__init__()
        self.edit_distance_embedding = nn.Embedding(settings.edit_distance_rows, embedding_size)
        self.hidden = BlockLinear([width, width, embedding_size], width)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, 1)

    def forward(self, mention_MD: Tensor, pairs: CoreferencePairs) -> Tensor:
        distance_P = pairs.edit_distance_P.clamp(max=self.edit_distance_embedding.num_embeddings - 1)
        hidden_PD = self.hidden(
            Part(mention_MD, pairs.first_P),
            Part(mention_MD, pairs.second_P),
            Part(self.edit_distance_embedding.weight, distance_P),
        )
        return self.output(self.dropout(torch.relu(hidden_PD))).squeeze(-1)
