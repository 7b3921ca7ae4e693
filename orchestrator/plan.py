"""What a study comes to: its trials in order, each with its key, and which of them are there already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from orchestrator import identity, trainables
from orchestrator import search as searches
from orchestrator.errors import StudyError
from orchestrator.schema import Budget, LoadedStudy, Resources, Study
from orchestrator.search import Search
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
    is_given_up: bool = False
    """The study is a search that has pruned it."""

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
        if self.is_given_up and not self.is_finished:
            return "pruned"
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
    """Variant by variant, and for each its seeds; of a search, those that are suggested so far."""
    search: Search | None = None

    @property
    def study(self) -> Study:
        return self.loaded.study

    @property
    def budget(self) -> Budget:
        return self.study.budget(self.budget_name)

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Of a search, what can be known of its suggestions beforehand."""
        return self.expansion.variants if self.search is None else self.search.probes

    @property
    def shown_metric(self) -> str:
        """The score that stands beside a trial that has finished. Scores on test would tempt whoever searches."""
        select = self.study.select
        return select.full_name if self.search is not None else f"test/{select.metric}"

    def data_digest(self, variant: Variant) -> str:
        """Of the data that trials of a variant read; a search has one."""
        return next(iter(self._digests.values())) if self.search else self._digests[variant.name]

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {trial.variant.name: trial.data_digest for trial in (*self.trials, *self.to_come)}

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        return tuple(trial.record for trial in self.trials if trial.record is not None)

    @property
    def unfinished(self) -> tuple[PlannedTrial, ...]:
        """Trials without a result, seed by seed: whenever a study stops, its variants have about as many seeds each."""
        order = {seed: position for position, seed in enumerate(self.seeds)}
        waiting = [trial for trial in self.trials if not trial.is_finished and not trial.is_given_up]
        return tuple(sorted(waiting, key=lambda trial: order[trial.seed]))

    @property
    def missing(self) -> tuple[PlannedTrial, ...]:
        """Trials that the next run executes."""
        return tuple(trial for trial in self.unfinished if not trial.has_failed_for_good)

    @property
    def to_come(self) -> tuple[PlannedTrial, ...]:
        """A stand-in for each suggestion of a search that is not made yet: the settings that they are laid over."""
        if self.search is None:
            return ()
        stand_in = PlannedTrial("", self.search.base, self.search.seed, self.search.data_digest, None)
        return (stand_in,) * self.search.n_to_come

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
    search = None
    if study.search is not None:
        key, base, seed, digest = named[0]
        search = searches.read(loaded, budget_name, home, trainable, base, key, digest, seed)
        named = [(key, variant, seed, digest) for key, variant in search.trials.items()]
    there = home.records([key for key, *_ in named])
    given_up = frozenset() if search is None else search.given_up
    trials = tuple(
        PlannedTrial(key, variant, seed, digest, there.get(key), key in given_up)
        for key, variant, seed, digest in named
    )
    resources = budget.resources or study.resources
    return Plan(loaded, budget_name, trainable, expansion, seeds, resources, trials, search)
