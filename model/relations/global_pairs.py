"""GRC, the global relation classifier: a pair is its two entities and their types.

Shape letters: N entities, Q entity pairs, D encoder width, V width of a type vector.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.batch import EntityPairs
from model.ragged import BlockLinear, Ends, Part


class GlobalPairs(nn.Module):
    """p = dropout(ReLU(U [e_head ; e_tail ; t_head ; t_tail] + b)).

    Source: JEREX (arXiv 2102.05980), section 3.4; MRE, section 5, GRC.
    """

    needs_mention_pairs = False

    def __init__(self, width: int, type_width: int, dropout: float) -> None:
        super().__init__()
        self.pair = BlockLinear([width, width, type_width, type_width], width)
        self.dropout = nn.Dropout(dropout)

    def ends(self, entity_ND: Tensor, type_N: Tensor, type_vectors: Tensor) -> Ends:
        """What entities give to all pairs that they are in. `type_N`: of which type each is taken to be."""
        return Ends(
            self.pair.sum(Part(0, entity_ND), Part(2, type_vectors, type_N)),
            self.pair.sum(Part(1, entity_ND), Part(3, type_vectors, type_N)),
        )

    def forward(self, ends: Ends, pairs: EntityPairs) -> Tensor:
        hidden_QD = self.pair((ends.first, pairs.head_Q), (ends.second, pairs.tail_Q))
        return self.dropout(torch.relu(hidden_QD))
