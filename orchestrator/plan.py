"""What a study comes to: its trials in order, each with its key, and which of them are there already.

A trial of two phases starts from the checkpoint of another trial, its first phase. That is a trial as any other, with a
key, a record and a folder of its own, so that it is computed once for all trials of all studies that have it in common;
but it is in no report. It is there once it has finished, as long as its checkpoint was not cleared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from orchestrator import identity, trainables
from orchestrator import search as searches
from orchestrator.errors import Problem, StudyError
from orchestrator.overrides import SettingPath, single
from orchestrator.positions import Path_
from orchestrator.schema import Budget, ChoiceSpace, LoadedStudy, Resources, Study
from orchestrator.search import Search
from orchestrator.store import Home, TrialRecord, has_checkpoint
from orchestrator.trainables import Trainable
from orchestrator.variants import Expansion, Variant, expand

PRETRAINING = "pre-training"
"""What a first phase is called."""

State = Literal["new", "cached", "failed", "interrupted", "running", "pruned", "cleared"]
"""`cleared`: of a first phase that has finished, and is computed again if a trial needs it, as its checkpoint is
gone."""


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
    needs: str | None = None
    """Key of its first phase, if it has one."""
    at: SettingPath | None = None
    """Of a first phase: the part of the settings of the trials that need it which asks for it."""
    is_cleared: bool = False
    """It is a first phase that has finished, and its checkpoint is gone."""

    @property
    def is_first_phase(self) -> bool:
        return self.at is not None

    def origin(self, path: SettingPath) -> Path_:
        """The place of the study that sets one of its settings."""
        if self.at is not None:
            place, matched = self.variant.resolved.origin((*self.at, *path))
            if place is not None and len(matched) > len(self.at):
                return place
        return self.variant.resolved.origin(path)[0] or self.variant.place

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
        if self.is_cleared:
            return "cleared"
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
    digests: Mapping[str, str]
    """Of all data, by the settings that decide it (`Trainable.data_settings`) in canonical JSON."""
    search: Search | None = None
    first_phases: tuple[PlannedTrial, ...] = ()
    """Each once, in the order in which the trials need them."""
    needed_to_come: str | None = None
    """Key of the first phase that all suggestions of a search have in common."""

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

    def data_digest(self, settings: Mapping[str, Any]) -> str:
        """Of the data that trials of these settings rest on: those of a variant, of its first phase or its pilot."""
        return self.digests[identity.canonical(self.trainable.data_settings(settings))]

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
        """Trials that the next run executes, once their first phases have finished."""
        return tuple(t for t in self.unfinished if not t.has_failed_for_good and not self.is_blocked(t))

    @property
    def blocked(self) -> tuple[PlannedTrial, ...]:
        """Trials that are not started, as their first phase has failed for good."""
        return tuple(trial for trial in self.unfinished if self.is_blocked(trial))

    def is_blocked(self, trial: PlannedTrial) -> bool:
        first = self.first_phase(trial)
        return first is not None and first.has_failed_for_good

    def first_phase(self, trial: PlannedTrial) -> PlannedTrial | None:
        """`None` if there is none, or a search has suggested it since."""
        return None if trial.needs is None else self._first_phases.get(trial.needs)

    @cached_property
    def _first_phases(self) -> dict[str, PlannedTrial]:
        return {trial.key: trial for trial in self.first_phases}

    def before(self, trials: Iterable[PlannedTrial]) -> tuple[PlannedTrial, ...]:
        """First phases that these trials need and that are not there."""
        needed = {trial.needs for trial in trials}
        return tuple(t for t in self.first_phases if t.key in needed and (t.is_cleared or not t.is_finished))

    @property
    def open_first_phases(self) -> tuple[PlannedTrial, ...]:
        """Those that a trial that has not finished needs and that are not there."""
        return self.before((*self.unfinished, *self.to_come))

    @property
    def to_run(self) -> tuple[PlannedTrial, ...]:
        """All that the next run executes, first phases before what needs them."""
        rest = (*self.missing, *(trial for trial in self.to_come if not self.is_blocked(trial)))
        return (*self.before(rest), *rest)

    @property
    def to_come(self) -> tuple[PlannedTrial, ...]:
        """A stand-in for each suggestion of a search that is not made yet: the settings that they are laid over."""
        if self.search is None:
            return ()
        search = self.search
        stand_in = PlannedTrial("", search.base, search.seed, search.data_digest, None, needs=self.needed_to_come)
        return (stand_in,) * search.n_to_come

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
    digests = _Digests(loaded, trainable, data)
    named: list[tuple[str, Variant, int, str]] = []
    for variant in expansion.variants:
        digest = digests.of(variant)
        keys = identity.keys(variant.written, seeds, digest, identified)
        named += [(key, variant, seed, digest) for key, seed in zip(keys, seeds, strict=True)]
    if digests.problems:
        raise StudyError(digests.problems)
    search = None
    if study.search is not None:
        key, base, seed, digest = named[0]
        search = searches.read(loaded, budget_name, home, trainable, base, key, digest, seed)
        named = [(key, variant, seed, digest) for key, variant in search.trials.items()]
    there = home.records([key for key, *_ in named])
    given_up = frozenset() if search is None else search.given_up
    variants = {variant.name: variant for _, variant, *_ in named}
    needs = {name: needed(trainable, variant, digests.known) for name, variant in variants.items()}
    trials = tuple(
        PlannedTrial(key, variant, seed, digest, there.get(key), key in given_up, needs[variant.name])
        for key, variant, seed, digest in named
    )
    to_come = None
    if search is not None and search.n_to_come and _has_one_first_phase(search, trainable):
        variants[""] = search.base
        to_come = needs[""] = needed(trainable, search.base, digests.known)
    sharing: dict[str, list[Variant]] = {}
    for name, key in needs.items():
        if key is not None:
            sharing.setdefault(key, []).append(variants[name])
    first_phases = tuple(first_phase(trainable, some, digests.known, home) for some in sharing.values())
    resources = budget.resources or study.resources
    return Plan(
        loaded,
        budget_name,
        trainable,
        expansion,
        seeds,
        resources,
        trials,
        digests.known,
        search,
        first_phases,
        to_come,
    )


# --------------------------------------------------------------------------------------------------------- first phases


def needed(trainable: Trainable, variant: Variant, digests: Mapping[str, str]) -> str | None:
    """Key of the first phase of a variant's trials."""
    first = trainable.first_phase(variant.settings)
    if first is None:
        return None
    digest = digests[identity.canonical(trainable.data_settings(first.settings))]
    (key,) = identity.keys(identity.canonical(first.settings), (first.seed,), digest, trainable.identity())
    return key


def first_phase(
    trainable: Trainable, variants: Sequence[Variant], digests: Mapping[str, str], home: Home
) -> PlannedTrial:
    """The first phase that the trials of some variants share, as it is now."""
    of, *others = variants
    first, key = trainable.first_phase(of.settings), needed(trainable, of, digests)
    assert first is not None and key is not None, "a variant with a first phase was expected"
    name = f"{PRETRAINING} of {of.name}" + (f" and {len(others)} more" if others else "")
    record = home.record(key)
    return PlannedTrial(
        key,
        replace(of, name=name, label=name, settings=first.settings, factors={}),
        first.seed,
        digests[identity.canonical(trainable.data_settings(first.settings))],
        record,
        at=first.at,
        is_cleared=record is not None and record.status == "finished" and not has_checkpoint(home.trial(key)),
    )


def _has_one_first_phase(search: Search, trainable: Trainable) -> bool:
    """Whether nothing that a search draws makes another first phase: each end of its ranges, each choice is tried."""
    of_base = trainable.first_phase(search.base.settings)
    for path, space in search.asked.space.items():
        for value in space.values if isinstance(space, ChoiceSpace) else (space.low, space.high):
            resolved = search.base.resolved.over(single(path, value, ("search", "space", path)))
            try:
                if trainable.first_phase(trainable.resolve(resolved.values)) != of_base:
                    return False
            except ValidationError:
                continue  # with other draws it may go together
    return True


class _Digests:
    """Digests of the data of variants, of their first phases and of their pilots, each asked for once."""

    def __init__(self, loaded: LoadedStudy, trainable: Trainable, search: Sequence[Path]) -> None:
        self.known: dict[str, str] = {}
        self.problems: list[Problem] = []
        self._positions = loaded.positions
        self._trainable = trainable
        self._search = search

    def of(self, variant: Variant) -> str:
        first = self._trainable.first_phase(variant.settings)
        if first is not None:
            if not self._digest(first.settings, variant, (*first.at, "data")):
                return ""
            pilot = self._trainable.pilot(variant.settings)
            if pilot is not None and not self._digest(pilot[0], variant, ("data",)):
                return ""
        return self._digest(variant.settings, variant, ("data",))

    def _digest(self, settings: Mapping[str, Any], variant: Variant, at: SettingPath) -> str:
        """Empty, with a problem told, where data is not there."""
        which = identity.canonical(self._trainable.data_settings(settings))
        if which not in self.known:
            try:
                self.known[which] = self._trainable.data_digest(settings, self._search)
            except (ValueError, OSError) as error:
                place, _ = variant.resolved.origin(at)
                self.problems.append(self._positions.problem(place or variant.place, str(error)))
                self.known[which] = ""
        return self.known[which]
