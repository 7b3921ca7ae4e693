"""The memories: a matrix for entity types and one for relation types, one slot (row) a type; or one beside them.

They are parameters. "Writing" is nothing but the step of the optimiser on the loss of the classifier that compares
with them (paper, section 3.2), and of all losses where they are read with gradient. A memory beside them is read in
place of them; the classifiers then compare with theirs as before.
"""

from __future__ import annotations

import torch
from torch import nn

from model.memory.key_value import KeyValueMemory
from model.memory.recurrent import RecurrentMemory
from model.settings import (
    InverseReadSettings,
    JerexSettings,
    KeyValueReadSettings,
    LinearSettings,
    MemoryTypeVectors,
    ReadSettings,
    RecurrentReadSettings,
    SlotwiseReadSettings,
)


def memories_in_use(settings: JerexSettings) -> set[str]:
    """The memories that something reads, compares with or takes type vectors from; JEREX has none."""
    read = settings.memory.read
    used: set[str] = set(read.memories) if isinstance(read, InverseReadSettings | SlotwiseReadSettings) else set()
    if not isinstance(settings.entity.classifier, LinearSettings):
        used.add("entity")
    if not isinstance(settings.relation.classifier, LinearSettings):
        used.add("relation")
    if isinstance(settings.relation.type_vectors, MemoryTypeVectors):
        used.add("entity")
    return used


def build_memories(settings: JerexSettings, width: int, n_entity_types: int, n_relation_types: int) -> nn.ParameterDict:
    """`entity` [E, s_E] and `relation` [R, s_R], as far as they are used. A slot size that is not set is `width`."""
    n_slots = {"entity": n_entity_types, "relation": n_relation_types}
    slot_size = {"entity": settings.memory.slot_size.entity, "relation": settings.memory.slot_size.relation}
    return nn.ParameterDict(
        {
            memory: nn.Parameter(torch.empty(n_slots[memory], slot_size[memory] or width))
            for memory in sorted(memories_in_use(settings))
        }
    )


def build_external_memory(settings: ReadSettings | None, width: int) -> KeyValueMemory | RecurrentMemory | None:
    """The memory that the sites read in place of those of the categories; None where they read these, or nothing."""
    match settings:
        case KeyValueReadSettings():
            return KeyValueMemory(settings, width)
        case RecurrentReadSettings():
            return RecurrentMemory(settings, width)
    return None
