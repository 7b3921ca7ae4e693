"""What a study comes to: its trials in order, each with its key, and which of them are there already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator import identity, trainables
from orchestrator.errors import StudyError
from orchestrator.schema import Budget, LoadedStudy, Resources, Study
from orchestrator.store import Home, TrialRecord
from orchestrator.trainables import Trainable
from orchestrator.variants import Expansion, Variant, expand

State = Literal["new", "cached", "failed", "interrupted", "running", "pruned"]


@dataclass(frozen=True)
class PlannedTrial:
    """One variant with one seed."""

    key: str
    variant: Variant
    seed: int
    data_digest: str
    record: TrialRecord | None
    """What came of it, if it was started before."""

    @property
    def is_finished(self) -> bool:
        return self.record is not None and self.record.status == "finished"

    @property
    def has_failed_for_good(self) -> bool:
        """By a fault of its own: it would fail again, so it is run again only on request."""
        return self.record is not None and self.record.has_failed_for_good

    @property
    def state(self) -> State:
        if self.record is None:
            return "new"
        return "cached" if self.record.status == "finished" else self.record.status


@dataclass(frozen=True)
class Plan:
    """A study under a budget, resolved to trials."""

    loaded: LoadedStudy
    budget_name: str
    trainable: Trainable
    expansion: Expansion
    seeds: tuple[int, ...]
    resources: Resources
    trials: tuple[PlannedTrial, ...]
    """Variant by variant, and for each its seeds."""

    @property
    def study(self) -> Study:
        return self.loaded.study

    @property
    def budget(self) -> Budget:
        return self.study.budget(self.budget_name)

    @property
    def variants(self) -> tuple[Variant, ...]:
        return self.expansion.variants

    @property
    def unfinished(self) -> tuple[PlannedTrial, ...]:
        """Trials without a result, seed by seed: whenever a study stops, its variants have about as many seeds each."""
        order = {seed: position for position, seed in enumerate(self.seeds)}
        waiting = [trial for trial in self.trials if not trial.is_finished]
        return tuple(sorted(waiting, key=lambda trial: order[trial.seed]))

    @property
    def missing(self) -> tuple[PlannedTrial, ...]:
        """Trials that the next run executes."""
        return tuple(trial for trial in self.unfinished if not trial.has_failed_for_good)

    @property
    def failed(self) -> tuple[PlannedTrial, ...]:
        """Trials that failed by a fault of their own."""
        return tuple(trial for trial in self.unfinished if trial.has_failed_for_good)


def plan(
    loaded: LoadedStudy,
    budget_name: str,
    home: Home,
    data: Sequence[Path],
    *,
    trainable: Trainable | None = None,
) -> Plan:
    """Resolve a study to trials. Raises StudyError for faults of the study, and for data that is not there."""
    study = loaded.study
    budget = study.budget(budget_name)
    expansion = expand(loaded, budget_name)
    trainable = trainable or trainables.of(loaded)
    seeds = budget.seeds or study.seeds
    identified = trainable.identity()
    digests: dict[str, str] = {}
    named: list[tuple[str, Variant, int, str]] = []
    problems = []
    for variant in expansion.variants:
        which = identity.canonical(trainable.data_settings(variant.settings))
        if which not in digests:
            try:
                digests[which] = trainable.data_digest(variant.settings, data)
            except (ValueError, OSError) as error:
                place, _ = variant.resolved.origin(("data",))
                problems.append(loaded.positions.problem(place or variant.place, str(error)))
                digests[which] = ""
        keys = identity.keys(variant.written, seeds, digests[which], identified)
        named += [(key, variant, seed, digests[which]) for key, seed in zip(keys, seeds, strict=True)]
    if problems:
        raise StudyError(problems)
    there = home.records([key for key, *_ in named])
    trials = tuple(PlannedTrial(key, variant, seed, digest, there.get(key)) for key, variant, seed, digest in named)
    return Plan(loaded, budget_name, trainable, expansion, seeds, budget.resources or study.resources, trials)
