"""GRC, the global relation classifier: a pair is its two entities and their types.

Shape letters: N entities, Q entity pairs, D encoder width, V width of a type vector.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.batch import EntityPairs
from model.ragged import BlockLinear, Part


class GlobalPairs(nn.Module):
    """p = dropout(ReLU(U [e_head ; e_tail ; t_head ; t_tail] + b)).

    Source: JEREX (arXiv 2102.05980), section 3.4; MRE, section 5, GRC.
    """

    needs_mention_pairs = False

    def __init__(self, width: int, type_width: int, dropout: float) -> None:
        super().__init__()
        self.pair = BlockLinear([width, width, type_width, type_width], width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, entity_ND: Tensor, type_N: Tensor, type_vectors: Tensor, pairs: EntityPairs) -> Tensor:
        hidden_QD = self.pair(
            Part(entity_ND, pairs.head_Q),
            Part(entity_ND, pairs.tail_Q),
            Part(type_vectors, type_N.index_select(0, pairs.head_Q)),
            Part(type_vectors, type_N.index_select(0, pairs.tail_Q)),
        )
        return self.dropout(torch.relu(hidden_QD))
