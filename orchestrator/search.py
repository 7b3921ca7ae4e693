"""A search: settings are suggested one after another, each is trained once, and the best on dev is told.

    <home>/<study>/[<budget>/]search.jsonl      what was suggested and which trials were given up, a line each, in order

A suggestion has a value for every setting of the space. Over the study's settings, and the budget's, that makes the
settings of a trial, which has a key as every other trial and lies where every other trial lies. Settings that do not go
together make no trial; the suggestion has failed then.

random    suggestion i depends on the seed and on i alone
tpe       suggestion i depends on the seed, on i, and on what is known of the earlier ones when it is made, which of
          those that still run is no more than their values. Where trials run side by side, this follows the order in
          which they end, so that a search that is begun anew may suggest other settings. One that goes on does not.

A suggestion is written down before its trial starts, and a decision to give a trial up before it is carried out. So a
search that was cut short goes on with the same suggestions, what was given up stays so, a search that is complete runs
nothing, and more `trials` add to those that are there. All this holds for one search: the same space, algorithm and
seeds over the same settings, data and code. Lines of another one stay in the file and count for nothing.

A trial that is given up (`pruned`) has not finished and enters no comparison. A study that compares and has the same
trial runs it to its end, from where it was left.

Source: Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011, section 4 (tpe), as in Optuna's
TPESampler with its defaults: multivariate, the first 10 at random.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from orchestrator import schema
from orchestrator.errors import refused
from orchestrator.explain import explain
from orchestrator.halving import Rungs
from orchestrator.identity import KEY_LENGTH, canonical, keys
from orchestrator.overrides import single
from orchestrator.positions import dotted
from orchestrator.schema import ChoiceSpace, IntegerSpace, LoadedStudy, Space
from orchestrator.store import Home, TrialRecord, read_history, sync_folder, write_record
from orchestrator.trainables import Trainable
from orchestrator.trial import Job
from orchestrator.variants import Variant
from reports.settings import word

log = logging.getLogger("orchestrator.search")

JOURNAL = "search.jsonl"
GIVEN_UP = ".given_up"
"""In a trial's folder: tells the process that trains it to end it."""
_STARTUP = 10
"""Suggestions at random before the first by TPE."""
_DIGITS = 4
"""Significant digits of a number that is drawn, so that it can be read, and typed into another study."""


@dataclass(frozen=True)
class Suggestion:
    """Values for the space's settings."""

    index: int
    """From 1."""
    values: dict[str, Any]
    """By dotted path, in the order of the study."""
    variant: Variant | None
    """`None` if the settings do not go together."""
    key: str | None
    """Of its trial; suggestions with equal values share one."""
    fault: str | None
    """Why it has no trial."""


@dataclass(frozen=True)
class Decision:
    """What came of a trial at a rung."""

    key: str
    rung: int
    """An epoch."""
    score: float
    pruned: bool


@dataclass(frozen=True)
class Search:
    """A search as far as it has come."""

    id: str
    """Tells it from others in the same journal."""
    asked: schema.Search
    metric: str
    """By which a trial's epoch is selected, with its split: what is searched for."""
    better: Literal["higher", "lower"]
    base: Variant
    """What the suggestions are laid over."""
    data_digest: str
    seed: int
    """Of every trial."""
    trainable: Trainable
    journal: Path
    suggestions: tuple[Suggestion, ...]
    decisions: tuple[Decision, ...]

    @property
    def trials(self) -> dict[str, Variant]:
        """Key → settings of the trials that are suggested, each once, in order."""
        found: dict[str, Variant] = {}
        for one in self.suggestions:
            if one.key is not None and one.variant is not None:
                found.setdefault(one.key, one.variant)
        return found

    @property
    def given_up(self) -> frozenset[str]:
        """Keys of trials that are not to be run to their end. Without `pruning`, all are."""
        return frozenset(one.key for one in self.decisions if one.pruned) if self.asked.pruning else frozenset()

    @property
    def n_to_come(self) -> int:
        """Suggestions that are not made yet."""
        return max(self.asked.trials - len(self.suggestions), 0)

    @property
    def sign(self) -> float:
        return -1.0 if self.better == "lower" else 1.0

    @cached_property
    def probes(self) -> tuple[Variant, ...]:
        """The settings that the suggestions are laid over, alone and with each choice of the space: what may need data
        or weights of its own, and so is looked at before anything is suggested."""
        made = [self.base]
        for path, space in self.asked.space.items():
            for index, value in enumerate(space.values if isinstance(space, ChoiceSpace) else ()):
                place = ("search", "space", path, "values", index)
                resolved = self.base.resolved.over(single(path, value, place))
                name = f"{path}={word(value)}"
                made.append(Variant(name, name, self.trainable.resolve(resolved.values), {}, resolved, place))
        return tuple(made)

    def suggestion(self, index: int, values: Mapping[str, Any]) -> Suggestion:
        """A suggestion with its trial, or with why it has none."""
        values = {path: values[path] for path in self.asked.space}
        resolved = self.base.resolved
        for path, value in values.items():
            resolved = resolved.over(single(path, value, ("search", "space", path)))
        try:
            settings = self.trainable.resolve(resolved.values)
        except ValidationError as error:
            assert self.trainable.settings_model is not None
            told = [explain(one, resolved.values, self.trainable.settings_model) for one in error.errors()]
            return Suggestion(index, values, None, None, "; ".join(f"{dotted(t.path)}: {t.message}" for t in told))
        faults = self.trainable.faults(settings)
        if faults:
            told = [f"{'.'.join(path)}: {message}" if path else message for path, message in faults]
            return Suggestion(index, values, None, None, "; ".join(told))
        label = ", ".join(f"{path.rpartition('.')[2]}={word(value)}" for path, value in values.items())
        variant = Variant(f"suggestion {index}", label, settings, values, resolved, ("search",))
        (key,) = keys(variant.written, [self.seed], self.data_digest, self.trainable.identity())
        return Suggestion(index, values, variant, key, None)

    def n_epochs(self, settings: Mapping[str, Any]) -> int | None:
        """How many epochs a trial has, as far as is known."""
        assert self.asked.pruning is not None
        known = self.trainable.pilot(settings)  # a trial of one epoch, and how many times longer the whole is
        return self.asked.pruning.max_epochs or (None if known is None else known[1])


def read(
    loaded: LoadedStudy,
    budget: str,
    home: Home,
    trainable: Trainable,
    base: Variant,
    base_key: str,
    data_digest: str,
    seed: int,
) -> Search:
    """The search of a study as far as it has come. `base_key` is that of a trial of the study's own settings.

    Raises StudyError for a journal that cannot be read.
    """
    study, asked = loaded.study, loaded.study.search
    assert asked is not None
    metric = study.select.full_name
    better = "lower" if study.report.info(metric).better == "lower" else "higher"
    identity = {
        "trial": base_key,
        "space": {path: space.model_dump(mode="json") for path, space in asked.space.items()},
        "algorithm": asked.algorithm,
        "seed": asked.seed,
        "metric": metric,
        "better": better,
    }
    own = hashlib.sha256(canonical(identity).encode()).hexdigest()[:KEY_LENGTH]
    journal = home.report(study.study, budget).parent / JOURNAL
    empty = Search(own, asked, metric, better, base, data_digest, seed, trainable, journal, (), ())
    lines = [line for line in _lines(journal) if line["search"] == own]
    suggestions = [empty.suggestion(line["index"], line["values"]) for line in lines if "index" in line]
    decisions = [Decision(line["key"], line["rung"], line["score"], line["pruned"]) for line in lines if "rung" in line]
    return Search(
        own, asked, metric, better, base, data_digest, seed, trainable, journal, tuple(suggestions), tuple(decisions)
    )


# ------------------------------------------------------------------------------------------------------------- journal


def _lines(journal: Path) -> list[dict[str, Any]]:
    """A line that a crash has cut off ends the journal. Raises StudyError for one that is none anywhere else."""
    try:
        *lines, _ = journal.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    found = []
    for number, line in enumerate(lines, 1):
        entry = parse_line(line)
        if entry is None:
            raise refused(
                f"{journal}:{number} is no line of a search; move the file away to begin the search anew; trials "
                f"that are there are not run again"
            )
        found.append(entry)
    return found


def parse_line(line: str) -> dict[str, Any] | None:
    """A suggestion or a decision; `None` of what is neither."""
    try:
        entry = json.loads(line)
        is_one = {"search"} < entry.keys() and ({"index", "values"} < entry.keys() or "rung" in entry)
    except (ValueError, AttributeError):
        return None
    return entry if is_one else None


def _append(journal: Path, entry: Mapping[str, Any]) -> None:
    """Write a line that is on disk once this returns. Raises OSError."""
    is_new = not journal.exists()
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("ab+") as file:
        whole = file.seek(0, os.SEEK_END)
        file.seek(max(whole - 1, 0))
        if file.read() not in (b"", b"\n"):
            file.seek(0)
            whole = file.read().rfind(b"\n") + 1
            file.truncate(whole)  # what a crash has left of a line
        try:
            file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            file.truncate(whole)
            raise
    if is_new:
        sync_folder(journal.parent)


# ----------------------------------------------------------------------------------------------------------- in the run


Standing = Literal["finished", "pruned", "failed", "open"]


class Searcher:
    """The driver's hand on a search: suggests trials to the queue, and follows them."""

    def __init__(
        self,
        search: Search,
        home: Home,
        records: Iterable[TrialRecord],
        job: Callable[[str, Variant], Job],
        *,
        suggests: bool = True,
    ) -> None:
        self.search = search
        self.home = home
        self._job = job
        self._suggests = suggests
        """Without, only the trials that are there already are followed."""
        self._suggestions = list(search.suggestions)
        self._settings = {key: variant.settings for key, variant in search.trials.items()}
        self._scores: dict[str, float] = {}
        """Key → score of the trials that have finished."""
        self._failed: set[str] = set()
        self._decisions = list(search.decisions)
        pruning = search.asked.pruning
        self._rungs = None if pruning is None else Rungs(pruning.grace_epochs, pruning.reduction_factor)
        if self._rungs is not None:
            for one in search.decisions:
                self._rungs.put(one.rung, one.key, search.sign * one.score)
        for record in records:
            self._take_in(record)

    # as the queue's source

    @property
    def n_left(self) -> int:
        return max(self.search.asked.trials - len(self._suggestions), 0) if self._suggests else 0

    def next(self) -> Job | None:
        while self.n_left:
            index = len(self._suggestions) + 1
            made = self.search.suggestion(index, suggest(self.search.asked, index, self._told()))
            entry = {"search": self.search.id, "index": index, "values": made.values, "key": made.key}
            _append(self.search.journal, entry if made.fault is None else {**entry, "fault": made.fault})
            self._suggestions.append(made)
            if made.key is None or made.variant is None or made.key in self._settings:
                continue
            self._settings[made.key] = made.variant.settings
            record = self.home.record(made.key)
            if record is not None:
                self._take_in(record)
                if record.status == "finished" or record.has_failed_for_good:
                    self._compare_afterwards(made.key)
                    continue
            return self._job(made.key, made.variant)
        return None

    # as a listener

    def started(self, job: Job) -> None:
        pass

    def epoch(self, job: Job, epoch: int, metrics: dict[str, float]) -> None:
        if job.key in self._settings and self._compare(job.key, epoch, metrics):  # not a first phase
            assert job.given_up is not None
            try:
                job.given_up.touch()
            except OSError as error:
                log.warning("%s cannot be written (%s), so the trial goes on", job.given_up, error)

    def retried(self, job: Job, record: TrialRecord, why: str) -> None:
        pass

    def ended(self, job: Job, record: TrialRecord) -> None:
        self._take_in(record)
        if job.given_up is not None:
            job.given_up.unlink(missing_ok=True)

    # underneath

    def _take_in(self, record: TrialRecord) -> None:
        self._failed.discard(record.key)
        score = record.metrics.get(self.search.metric)
        if record.status == "finished" and score is not None:
            self._scores[record.key] = score
        elif record.status == "finished" or record.has_failed_for_good:
            self._failed.add(record.key)

    def _compare(self, key: str, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Whether a trial is given up after an epoch; decided once a rung, and written down first."""
        score = metrics.get(self.search.metric)
        if self._rungs is None or score is None or not math.isfinite(score):
            return False
        rung = self._rungs.rung(key, epoch, self.search.n_epochs(self._settings[key]))
        if rung is None:
            return False
        decision = Decision(key, rung, score, not self._rungs.goes_on(rung, self.search.sign * score))
        try:
            self._decide(decision)
        except OSError as error:
            log.warning("%s cannot be written (%s), so the trial %s goes on", self.search.journal, error, key)
            return False
        return decision.pruned

    def _compare_afterwards(self, key: str) -> None:
        """A trial that another study has run counts at each rung as if it had been run here, and is not given up."""
        for epoch, metrics in read_history(self.home.trial(key)):
            score = metrics.get(self.search.metric)
            if self._rungs is None or score is None or not math.isfinite(score):
                continue
            rung = self._rungs.rung(key, epoch, self.search.n_epochs(self._settings[key]))
            if rung is not None:
                self._decide(Decision(key, rung, score, pruned=False))

    def _decide(self, decision: Decision) -> None:
        assert self._rungs is not None
        entry = {"key": decision.key, "rung": decision.rung, "score": decision.score, "pruned": decision.pruned}
        _append(self.search.journal, {"search": self.search.id, **entry})
        self._rungs.put(decision.rung, decision.key, self.search.sign * decision.score)
        self._decisions.append(decision)

    def _told(self) -> list[Told]:
        """What is known of the suggestions so far."""
        given_up = {one.key for one in self._decisions if one.pruned} if self._rungs is not None else set()
        at_rungs: dict[str, dict[int, float]] = {}
        for one in self._decisions:
            at_rungs.setdefault(one.key, {})[one.rung] = self.search.sign * one.score
        told = []
        for one in self._suggestions:
            key, standing = one.key, "open"
            if key is None or key in self._failed:
                standing = "failed"
            elif key in self._scores:
                standing = "finished"
            elif key in given_up:
                standing = "pruned"
            score = self.search.sign * self._scores[key] if key is not None and standing == "finished" else None
            told.append(Told(one.values, standing, score, at_rungs.get(key or "", {})))
        return told


def settle(search: Search, records: Iterable[TrialRecord], home: Home) -> tuple[TrialRecord, ...]:
    """Trials that were given up, and whose process was killed before it could say so, are recorded as pruned."""
    settled: list[TrialRecord] = []
    for record in records:
        if record.key in search.given_up and record.status == "interrupted":
            settled.append(record.model_copy(update={"status": "pruned"}))
            write_record(home.trial(record.key), settled[-1])
    return tuple(settled)


# ---------------------------------------------------------------------------------------------------------- suggestions


@dataclass(frozen=True)
class Told:
    """What is known of a suggestion when the next one is made."""

    values: Mapping[str, Any]
    standing: Standing
    score: float | None = None
    """Of a trial that has finished; greater is better."""
    at_rungs: Mapping[int, float] | None = None
    """Rung → score there; greater is better."""


def suggest(asked: schema.Search, index: int, told: Sequence[Told]) -> dict[str, Any]:
    """The values of suggestion `index`, from 1; `told` are the ones before it."""
    import optuna
    from optuna.samplers import RandomSampler, TPESampler
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # a generator of its own for each suggestion, so that those before it need not be drawn again
    seed = int.from_bytes(hashlib.sha256(f"{asked.seed} {index}".encode()).digest()[:4])
    if asked.algorithm == "random":
        sampler, told = RandomSampler(seed=seed), ()
    else:
        sampler = TPESampler(seed=seed, n_startup_trials=_STARTUP, multivariate=True, constant_liar=True)
    # in an order that the study file does not decide
    distributions = {path: _distribution(asked.space[path]) for path in sorted(asked.space)}
    states = {
        "finished": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
        "open": TrialState.RUNNING,
    }
    study = optuna.create_study(sampler=sampler, direction="maximize")
    for one in told:
        study.add_trial(
            create_trial(
                state=states[one.standing],
                params={path: _to_optuna(asked.space[path], one.values[path]) for path in distributions},
                distributions=distributions,
                value=one.score,
                intermediate_values=dict(one.at_rungs or {}),
            )
        )
    drawn = study.ask(distributions).params
    return {path: _from_optuna(space, drawn[path]) for path, space in asked.space.items()}


def _distribution(space: Space) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(space, ChoiceSpace):
        # by its place, as a choice may be a list or a mapping
        return CategoricalDistribution(tuple(range(len(space.values))))
    if isinstance(space, IntegerSpace):
        return IntDistribution(space.low, space.high, log=space.log)
    return FloatDistribution(space.low, space.high, log=space.log)


def _to_optuna(space: Space, value: Any) -> Any:
    return space.values.index(value) if isinstance(space, ChoiceSpace) else value


def _from_optuna(space: Space, drawn: Any) -> Any:
    if isinstance(space, ChoiceSpace):
        return space.values[drawn]
    if isinstance(space, IntegerSpace):
        return int(drawn)
    return _rounded(float(drawn), space.low, space.high)


def _rounded(value: float, low: float, high: float) -> float:
    """With so many digits that they tell the numbers of the range apart, and never outside of it."""
    span = (high - low) / max(abs(low), abs(high))
    digits = _DIGITS + max(0, math.floor(-math.log10(span)))
    return min(max(float(f"{value:.{digits}g}"), low), high)
