"""Coreference: do two mentions name the same entity?

Shape letters: M mentions, P pairs, D encoder width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.batch import CoreferencePairs
from model.ragged import BlockLinear, Ends, Part
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

    def ends(self, mention_MD: Tensor) -> Ends:
        """What mentions give to all pairs that they are in."""
        return Ends(self.hidden.sum(Part(0, mention_MD)), self.hidden.sum(Part(1, mention_MD)))

    def forward(self, ends: Ends, pairs: CoreferencePairs) -> Tensor:
        distance_P = pairs.edit_distance_P.clamp(max=self.edit_distance_embedding.num_embeddings - 1)
        hidden_PD = self.hidden(
            (ends.first, pairs.first_P),
            (ends.second, pairs.second_P),
            (self.hidden.sum(Part(2, self.edit_distance_embedding.weight)), distance_P),
        )
        return self.output(self.dropout(torch.relu(hidden_PD))).squeeze(-1)
