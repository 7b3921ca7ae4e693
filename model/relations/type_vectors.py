"""The entity types of a pair as vectors.

Shape letters: N entities, V width of a type vector.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from model.settings import LearnedTypeVectors, MemoryTypeVectors, TypeVectorSettings


class TypeVectors(nn.Module):
    """Rows of the entity memory without gradient, or (JEREX) of a learned table.

    Source: released code of MRE; the paper does not mention that the entity memory replaces JEREX's table.
    """

    def __init__(
        self, settings: TypeVectorSettings, memories: Mapping[str, Tensor], n_types: int, embedding_size: int
    ) -> None:
        super().__init__()
        match settings:
            case MemoryTypeVectors():
                self.table = None
                self.width = memories["entity"].shape[1]
            case LearnedTypeVectors():
                self.table = nn.Embedding(n_types, embedding_size)
                self.width = embedding_size

    def forward(self, memories: Mapping[str, Tensor]) -> Tensor:
        """The vectors of all types: [types, V]."""
        return memories["entity"].detach() if self.table is None else self.table.weight
