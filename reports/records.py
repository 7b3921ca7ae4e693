"""The tidy record: all that a report is made from, and nothing of how it came about.

    StudyResults ── Variant       what was compared
                 └─ TrialResult   one variant, one seed: what came out

Scores are as the trials give them, those of our model in percent. A record goes to JSON and back without loss, and its
counts to a file beside it, so that a report's folder carries its own source. This file imports neither pandas nor
matplotlib nor numpy, as every study is validated with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter

from reports.settings import ByDatasetSettings, Metric, Published, ReportSettings, SweepSettings, unknown_metric, word

TrialStatus = Literal["finished", "failed", "interrupted"]

_STRICT = ConfigDict(extra="forbid", strict=True)


class _Json:
    """To JSON and back: unknown names and other types than declared are refused."""

    def to_json(self) -> str:
        return TypeAdapter(type(self)).dump_json(self, indent=1).decode() + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        return TypeAdapter(cls).validate_json(text)


@dataclass(frozen=True)
class Variant(_Json):
    """One setting of the study."""

    name: str
    label: str
    """As tables and figures show it; variants may share one (`ByDatasetSettings`)."""
    factors: dict[str, Any] = field(default_factory=dict)
    """Dotted path → value, of what differs between variants and of each of the report's `paths`."""

    __pydantic_config__ = _STRICT

    def value(self, path: str) -> Any:
        """The value of a factor, also of one inside a compound: `data.name` of `{"data": {"name": "cdr"}}`.

        Below a part that is `None` everything is `None`. A ValueError where the factors do not tell.
        """
        parts = path.split(".")
        for n_parts in range(len(parts), 0, -1):
            outer = ".".join(parts[:n_parts])
            if outer not in self.factors:
                continue
            value = self.factors[outer]
            for part in parts[n_parts:]:
                if value is None:
                    return None
                if not isinstance(value, dict) or part not in value:
                    break
                value = value[part]
            else:
                return value
        raise ValueError(
            f"variant '{self.name}' has no value for '{path}', which the report needs; it has {self.factors}"
        )


@dataclass(frozen=True)
class EpochScores(_Json):
    """Scores on dev after an epoch (and, where the study asks for them, others)."""

    epoch: int
    metrics: dict[str, float]

    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class TrialResult(_Json):
    """One variant with one seed. Only a finished trial enters a mean; the others are counted in the notes."""

    key: str
    variant: str
    """Name of the variant."""
    seed: int
    status: TrialStatus
    metrics: dict[str, float] = field(default_factory=dict)
    """Scores at the selected epoch."""
    selected_epoch: int | None = None
    history: tuple[EpochScores, ...] = ()
    duration_s: float | None = None
    settings: dict[str, Any] | None = None
    """The resolved settings of the trial."""
    reading: bool | None = None
    """Whether the memories were read at the selected epoch; `None` of a model that never does, or does not tell."""
    data_digest: str | None = None
    """Of the data that it read."""
    code_epoch: int | None = None
    """Of the code that computed it; scores of different epochs are not of the same mathematics."""
    attempts: int = 1
    failure: str | None = None
    """Of a failed trial: class and message of what ended it."""

    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        wrong = {name: value for name, value in self.metrics.items() if not math.isfinite(value)}
        if wrong:
            raise ValueError(
                f"trial {self.key} ({self.variant}, seed {self.seed}) has scores that are no numbers: {wrong}"
            )


@dataclass(frozen=True)
class StudyResults(_Json):
    """A study with the trials that it has so far."""

    study: str
    question: str
    budget: str
    """`full` is what the study declares as its whole protocol; any other budget is a reduced one."""
    budget_note: str | None
    """What the budget cuts; `None` for `full` and for nothing else, so that no reduced budget passes for the whole."""
    select_metric: Metric | None
    """By which the epoch of a trial was selected, and the best seed is; `None` by none."""
    seeds: tuple[int, ...]
    """As declared; the same for each variant."""
    variants: tuple[Variant, ...]
    baseline: str | None
    """Name of a variant."""
    trials: tuple[TrialResult, ...]
    report: ReportSettings
    published: tuple[Published, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    """Printed on top of the tables; `commit`, `data` (digest of each data set) and `command` are expected."""
    mixed: str | None = None
    """Why trials of other data or code stand beside each other, where somebody forced it; it stands in the caption."""
    counts_digest: str | None = None
    """SHA-256 of the counts that the report was made with; `None` in what is no file, and where there are none."""
    counts: Annotated[Any, Field(exclude=True)] = field(default=None, repr=False, compare=False)
    """`reports.counts.StudyCounts` of the trials, which has a file of its own; `None` where no trial has left any."""
    documents: Annotated[Any, Field(exclude=True)] = field(default=(), repr=False, compare=False)
    """`reports.documents.ShownDocument`s, which have a file of their own."""

    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        if (self.budget == "full") != (self.budget_note is None):
            raise ValueError(
                f"budget '{self.budget}' with the note {self.budget_note!r}: every budget but 'full' says what it cuts"
            )
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"expected at least one seed, each once, got {list(self.seeds)}")
        check_metrics(self.report, self.select_metric)
        check_report(self.report, self.variants, self.baseline, self.published)
        names = {variant.name for variant in self.variants}
        cells: dict[tuple[str, int], str] = {}
        for trial in self.trials:
            if trial.variant not in names or trial.seed not in self.seeds:
                raise ValueError(f"trial {trial.key} is of '{trial.variant}' with seed {trial.seed}: not in this study")
            if (trial.variant, trial.seed) in cells:
                other = cells[trial.variant, trial.seed]
                raise ValueError(f"trials {other} and {trial.key} are both of '{trial.variant}' with seed {trial.seed}")
            cells[trial.variant, trial.seed] = trial.key
            needed = dict.fromkeys((*self.report.shown_metrics, self.select_metric))
            lacking = [name for name in needed if name is not None and name not in trial.metrics]
            if trial.status == "finished" and lacking:
                raise ValueError(f"trial {trial.key} of '{trial.variant}' is finished but has no {', '.join(lacking)}")
            told = None if self.counts is None else self.counts.disagreement(trial.key, trial.metrics)
            if told is not None:
                raise ValueError(f"trial {trial.key} of '{trial.variant}': {told}")
        if self.mixed is None and (mixture := mixture_of(self.trials)) is not None:
            raise ValueError(f"{mixture}: such scores do not compare")

    def variant(self, name: str) -> Variant:
        return next(variant for variant in self.variants if variant.name == name)

    @cached_property
    def _cells(self) -> dict[tuple[str, int], TrialResult]:
        return {(trial.variant, trial.seed): trial for trial in self.trials}

    def trial(self, variant: str, seed: int) -> TrialResult | None:
        """The trial of a cell, `None` if there is none (yet)."""
        return self._cells.get((variant, seed))

    def finished(self, variant: str) -> tuple[TrialResult, ...]:
        """The finished trials of a variant, in the order of the seeds."""
        trials = (self.trial(variant, seed) for seed in self.seeds)
        return tuple(trial for trial in trials if trial is not None and trial.status == "finished")

    @cached_property
    def comparisons(self) -> dict[tuple[str, str], Any]:
        """Variant and metric → its `reports.statistics.family.Comparison` with the baseline. Takes a while at first."""
        from reports.significance import comparisons  # here, as it loads numpy and scipy

        return comparisons(self)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must not miss: a reduced budget, a selection on test."""
        said = []
        if self.budget_note is not None:
            said.append(
                f"Reduced budget “{self.budget}”: {self.budget_note.rstrip('.')}. "
                "Not the whole protocol, not comparable with published numbers."
            )
        if self.select_metric is not None and self.select_metric.startswith("test/"):
            said.append("Epochs are selected on the test set: the scores are too high by that selection.")
        if self.mixed is not None:
            said.append(f"Forced: {self.mixed.rstrip('.')}; such scores do not compare.")
        return tuple(said)


def mixture_of(trials: Sequence[TrialResult]) -> str | None:
    """What differs between finished trials that must not: the code, or the content of what is the same data by its
    settings. `None` where nothing does, or the trials do not tell."""
    finished = [trial for trial in trials if trial.status == "finished"]
    epochs = sorted({trial.code_epoch for trial in finished if trial.code_epoch is not None})
    if len(epochs) > 1:
        return f"there are trials of the code epochs {', '.join(map(str, epochs))}"
    digests: dict[str, set[str]] = {}
    for trial in finished:
        if trial.data_digest is not None:
            settings = trial.settings or {}
            data = word(settings.get("data", trial.variant))
            if isinstance(before := settings.get("pretraining"), dict) and "data" in before:
                data = f"{data} after {word(before['data'])}"
            digests.setdefault(data, set()).add(trial.data_digest)
    for data, found in digests.items():
        if len(found) > 1:
            return f"there are trials on {data} with the digests {', '.join(sorted(one[:12] for one in found))}"
    return None


def check_metrics(report: ReportSettings, select_metric: str | None) -> None:
    """Refuse, before a trial starts, what a report says of metrics that it does not use, or cannot select by."""
    used = [*report.shown_metrics, *([select_metric] if select_metric is not None else [])]
    for name in report.metric_info:
        if (unknown := unknown_metric(name, used)) is not None:
            raise ValueError(f"metric_info: {unknown}")
    if select_metric is not None and report.info(select_metric).better == "neither":
        raise ValueError(f"metric_info: of {select_metric} neither value is better, so nothing can be selected by it")


def check_report(
    report: ReportSettings, variants: tuple[Variant, ...], baseline: str | None, published: tuple[Published, ...]
) -> None:
    """Refuse, before a trial starts, a report that the variants cannot fill: a ValueError says what is wrong."""
    names = [variant.name for variant in variants]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"expected at least one variant, each name once, got {names}")
    if baseline is not None and baseline not in names:
        raise ValueError(f"baseline '{baseline}' is no variant; variants are {names}")
    places: list[tuple[str, tuple[str, str | None, str]]] = []
    if isinstance(report, SweepSettings):
        _refuse_doubles([(variant.name, (word(variant.value(report.x)),)) for variant in variants], (report.x,))
    elif isinstance(report, ByDatasetSettings):
        places = [(variant.name, dataset_place(report, variant)) for variant in variants]
        _refuse_doubles(places, ("row", "group", "column"))
        rows = list(dict.fromkeys(row for _, (row, _, _) in places))
        if report.baseline is not None and report.baseline not in rows:
            raise ValueError(f"the report's baseline '{report.baseline}' is no row; rows are {rows}")

    cells = {place for _, place in places}
    taken: set[tuple[Any, ...]] = set()
    for number in published:
        who = number.variant or number.system
        if number.variant is not None and number.variant not in names:
            raise ValueError(f"published: '{who}' is no variant ({names}); for a system that is not run, use `system`")
        if number.metric not in report.shown_metrics:
            raise ValueError(f"published: {number.metric} of '{who}' is not in the report ({report.shown_metrics})")
        if number.system is not None:
            _check_system(report, number)
            if (number.system, number.group, number.dataset) in cells:
                raise ValueError(f"published: '{who}' on {number.dataset} is a cell of this study; name its `variant`")
        place = (number.variant, number.system, number.dataset, number.group, number.metric)
        if place in taken:
            raise ValueError(f"published: two numbers for {number.metric} of '{who}'; a cell has room for one")
        taken.add(place)


def dataset_place(report: ByDatasetSettings, variant: Variant) -> tuple[str, str | None, str]:
    """Row, group and column of a variant in a report `by_dataset`, as words."""
    row = variant.label if report.rows is None else word(variant.value(report.rows))
    group = None if report.groups is None else word(variant.value(report.groups))
    return row, group, word(variant.value(report.columns))


def _check_system(report: ReportSettings, number: Published) -> None:
    if isinstance(report, SweepSettings):
        raise ValueError(f"published: '{number.system}' has no place in a sweep; name the `variant` that it belongs to")
    by_dataset = isinstance(report, ByDatasetSettings)
    if by_dataset != (number.dataset is not None):
        found = (
            f"`dataset: {number.dataset}`, wanted none" if number.dataset is not None else "no `dataset`, wanted one"
        )
        raise ValueError(f"published: '{number.system}' has {found}, as the report is `{report.kind}`")
    if (by_dataset and report.groups is not None) != (number.group is not None):
        if number.group is None:
            raise ValueError(f"published: '{number.system}' has no `group`, wanted one, as the report has `groups`")
        raise ValueError(f"published: '{number.system}' has `group: {number.group}`, but the report has no `groups`")


def _refuse_doubles(places: Sequence[tuple[str, tuple[str | None, ...]]], axes: tuple[str, ...]) -> None:
    taken: dict[tuple[str | None, ...], str] = {}
    for name, place in places:
        if place in taken:
            where = ", ".join(f"{axis} {at}" for axis, at in zip(axes, place, strict=True) if at is not None)
            raise ValueError(
                f"variants '{taken[place]}' and '{name}' are both at {where}: the report has one cell there"
            )
        taken[place] = name
