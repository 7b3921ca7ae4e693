"""Names of entity and relation types and their indices: the index is the position in the list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from model.data.document import Document


@dataclass(frozen=True)
class Labels:
    """The types of a data set. There is no "no relation" type: a pair without relation has none.

    `relation_names` gives a readable name for a relation type that is an identifier (P17: country).
    """

    entity_types: tuple[str, ...]
    relation_types: tuple[str, ...]
    relation_names: dict[str, str] = field(default_factory=dict, compare=False, hash=False)

    @cached_property
    def entity_index(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.entity_types)}

    @cached_property
    def relation_index(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.relation_types)}

    def check(self, documents: Iterable[Document], source: str) -> None:
        """Raises ValueError at the first type that is not in these labels, naming source, document and field."""
        for document in documents:
            for index, entity in enumerate(document.entities):
                if entity.type not in self.entity_index:
                    raise ValueError(
                        f"{source}: document {document.id!r}: entities[{index}]: unknown entity type {entity.type!r}, "
                        f"expected one of {', '.join(self.entity_types)}"
                    )
            for index, relation in enumerate(document.relations):
                if relation.type not in self.relation_index:
                    raise ValueError(
                        f"{source}: document {document.id!r}: relations[{index}]: unknown relation type "
                        f"{relation.type!r}"
                    )
