"""From the first phase to the second: the weights of one network for another of other labels.

What has a row a type (the memories, linear classifiers, learned type vectors) is taken over row by row, by the name of
the type. All else is taken over as it is. What the first phase does not have stays as it was drawn: the matrices of the
reads, as nothing is read before, and types that its corpus does not have.

Source: MRE, section 5: pre-training on the distantly annotated corpus "to initialize memory matrices".
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.data.labels import Labels
from model.joint.network import Network
from model.settings import ExperimentSettings
from model.training import checkpoint

log = logging.getLogger("model")

_ROWS = {
    "entity_types": r"joint\.(memories\.entity|entity_classifier\.output\.(weight|bias)|type_vectors\.table\.weight)",
    "relation_types": r"joint\.(memories\.relation|relation_classifier\.output\.(weight|bias))",
}
"""Field of `Labels` → the parameters that have a row for each of these types."""


@dataclass(frozen=True)
class Rows:
    """Types of one kind, by name, in the order of the network that they are in."""

    taken: tuple[str, ...]
    fresh: tuple[str, ...]
    """Only in the second phase: their rows stay as they were drawn."""
    left: tuple[str, ...]
    """Only in the first phase."""


@dataclass(frozen=True)
class Transfer:
    """What was taken over."""

    entity_types: Rows
    relation_types: Rows
    taken: tuple[str, ...]
    """Parameters, those that were taken row by row among them."""
    fresh: tuple[str, ...]
    """Parameters that stay as they were drawn."""
    data_digest: str
    """Of the corpus of the first phase."""

    def facts(self) -> dict[str, Any]:
        """What of it is kept with a trial: types by name, of the parameters those that were not taken."""
        types = {
            kind: {name: list(getattr(rows, name)) for name in ("taken", "fresh", "left")}
            for kind, rows in (("entity_types", self.entity_types), ("relation_types", self.relation_types))
        }
        return {**types, "parameters_taken": len(self.taken), "parameters_fresh": list(self.fresh)}


def take_over(first_phase: Path, settings: ExperimentSettings, network: Network) -> Transfer:
    """Give a network that was just made the weights of the first phase that its settings want.

    `first_phase`: the folder of that trial, with its `checkpoint`. Raises ValueError where that is none, or is of
    another model.
    """
    folder = first_phase / "checkpoint"
    description = checkpoint.describe(folder)
    wanted = settings.first_phase
    assert wanted is not None, "the settings have no first phase"
    if description["settings"] != wanted.model.model_dump(mode="json"):
        raise ValueError(f"{folder} is of another model than the one that is trained; train the first phase again")
    before, after = checkpoint.labels_of(description), network.labels
    own = network.state_dict()
    given = checkpoint.weights_of(folder, network.device)
    if lost := sorted(set(given) - set(own)):
        raise ValueError(f"{folder} has weights that the network has no place for: {', '.join(lost)}")
    for name, value in given.items():
        own[name] = _rows_by_name(name, value, own[name], before, after)
    network.load_state_dict(own)
    made = Transfer(
        entity_types=_compared(before.entity_types, after.entity_types),
        relation_types=_compared(before.relation_types, after.relation_types),
        taken=tuple(sorted(given)),
        fresh=tuple(sorted(set(own) - set(given))),
        data_digest=description["data_digest"],
    )
    for kind, rows in (("entity", made.entity_types), ("relation", made.relation_types)):
        log.info(
            "of the first phase %d %s types are taken over, %d are left; %d stay as they were drawn%s",
            len(rows.taken), kind, len(rows.left), len(rows.fresh), f": {', '.join(rows.fresh)}" if rows.fresh else "",
        )  # fmt: skip
    log.info("%d parameters are taken over; as they were drawn stay %s", len(given), ", ".join(made.fresh) or "none")
    return made


def _rows_by_name(name: str, given: Tensor, own: Tensor, before: Labels, after: Labels) -> Tensor:
    """A parameter of the first phase in the shape of the second."""
    for kind, pattern in _ROWS.items():
        if re.fullmatch(pattern, name):
            index: Mapping[str, int] = {label: row for row, label in enumerate(getattr(before, kind))}
            pairs = [(row, index[label]) for row, label in enumerate(getattr(after, kind)) if label in index]
            made = own.clone()
            if pairs:
                to, of = torch.tensor(pairs, device=own.device).unbind(dim=1)
                made[to] = given[of]
            return made
    if given.shape != own.shape:
        raise ValueError(f"{name} has the shape {list(given.shape)} in the first phase, wanted {list(own.shape)}")
    return given


def _compared(before: tuple[str, ...], after: tuple[str, ...]) -> Rows:
    return Rows(
        taken=tuple(label for label in after if label in before),
        fresh=tuple(label for label in after if label not in before),
        left=tuple(label for label in before if label not in after),
    )
