"""Entities: the vector of a cluster of mentions.

Shape letters: M mentions, N entities, D encoder width.
"""

from __future__ import annotations

from torch import Tensor, nn

from model.batch import Entities
from model.ragged import segment_max


class EntityRepresentation(nn.Module):
    """e = dropout(element-wise maximum over the mention vectors of the cluster).

    Source: JEREX (arXiv 2102.05980), section 3.3; MRE, section 3, component E.
    """

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    def forward(self, mention_MD: Tensor, entities: Entities) -> Tensor:
        member_D = mention_MD.index_select(0, entities.member)
        return self.dropout(segment_max(member_D, entities.owner, entities.n_entities))
