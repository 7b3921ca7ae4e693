"""What a study comes to: its trials in order, each with its key, and which of them are there already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model.settings import DataSettings
from orchestrator import identity
from orchestrator.errors import StudyError
from orchestrator.schema import Budget, LoadedStudy, Resources, Study
from orchestrator.store import Home, TrialRecord
from orchestrator.variants import Expansion, Variant, expand

State = Literal["new", "cached", "failed", "interrupted", "running"]


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
    def state(self) -> State:
        if self.record is None:
            return "new"
        return "cached" if self.record.status == "finished" else self.record.status


@dataclass(frozen=True)
class Plan:
    """A study under a budget, resolved to trials."""

    loaded: LoadedStudy
    budget_name: str
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
    def missing(self) -> tuple[PlannedTrial, ...]:
        """Trials to be run, seed by seed: whenever a study stops, its variants have about the same number of seeds."""
        waiting = [trial for trial in self.trials if not trial.is_finished]
        return tuple(sorted(waiting, key=lambda trial: self.seeds.index(trial.seed)))


Digest = Callable[[DataSettings, Sequence[Path]], str]


def plan(
    loaded: LoadedStudy, budget_name: str, home: Home, data: Sequence[Path], *, digest: Digest | None = None
) -> Plan:
    """Resolve a study to trials. Raises StudyError for faults of the study, and for data that is not there."""
    if digest is None:
        from model.data import catalog  # here, as `validate` needs no data

        digest = catalog.digest
    study = loaded.study
    budget = study.budget(budget_name)
    expansion = expand(loaded, budget_name)
    seeds = budget.seeds or study.seeds
    there = home.keys()
    digests: dict[str, str] = {}
    trials: list[PlannedTrial] = []
    problems = []
    for variant in expansion.variants:
        which = variant.settings.data.model_dump_json()
        if which not in digests:
            try:
                digests[which] = digest(variant.settings.data, data)
            except (ValueError, OSError) as error:
                place, _ = variant.resolved.origin(("data",))
                problems.append(loaded.positions.problem(place or variant.place, str(error)))
                digests[which] = ""
        keys = identity.keys(variant.settings, list(seeds), digests[which])
        trials += [
            PlannedTrial(key, variant, seed, digests[which], home.record(key) if key in there else None)
            for key, seed in zip(keys, seeds, strict=True)
        ]
    if problems:
        raise StudyError(problems)
    resources = budget.resources or study.resources
    return Plan(loaded, budget_name, expansion, seeds, resources, tuple(trials))
