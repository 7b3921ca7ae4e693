"""What a study asks of its report: the sections `report:` and `published:`.

    comparison   a variant a row, a metric a column, the baseline first and the difference to it
    sweep        a value of one factor a row, in its order; the figure shows the main metric over it
    by_dataset   a variant a row, a data set a column, one metric, the published numbers beside ours

A *factor* is a setting by its dotted path (`model.memory.warmup_proportion`). A metric is named as everywhere,
`test/relation_strict_f1`. Those of our model are known: they are in percent, and higher is better. A study of another
trainable has metrics of its own, and may say of each how it is shown (`metric_info`). This file imports neither pandas
nor matplotlib, as every study is validated with it.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    WithJsonSchema,
    field_validator,
    model_validator,
)

SPLITS = ("dev", "test")
TASKS = ("mention", "coreference", "entity", "relation", "relation_strict")
MEASURES = ("precision", "recall", "f1")
METRICS = tuple(f"{split}/{task}_{measure}" for split in SPLITS for task in TASKS for measure in MEASURES)
"""Every metric of our model, in the order in which tables and files list them. All are in percent."""

METRIC = r"^[a-z0-9_]+/[A-Za-z0-9_.-]+$"
LABEL = r"^[A-Za-z0-9:._-]+$"
FACTOR = r"^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*$"


def unknown_metric(name: str, known: Sequence[str]) -> str | None:
    """What is wrong with a metric that is none of `known`, with the one that may be meant; None of one that is."""
    if name in known:
        return None
    near = difflib.get_close_matches(name, known, n=1)
    wanted = f"did you mean '{near[0]}'?" if near else f"wanted one of {', '.join(known)}"
    return f"unknown metric '{name}', {wanted}"


Metric = Annotated[
    str,
    Field(pattern=METRIC),
    WithJsonSchema({"anyOf": [{"enum": list(METRICS)}, {"type": "string", "pattern": METRIC}], "title": "Metric"}),
]
"""`split/name`. Which names there are only the trainable knows: see `unknown_metric`."""
Factor = Annotated[str, Field(pattern=FACTOR)]
Words = Annotated[str, Field(min_length=1)]


def word(value: Any) -> str:
    """A setting's value as a study's YAML writes it: `null`, `true`, `0.4`, `cosine`; equal numbers are one word.

    A part that is chosen by `kind` (or a data set, by `name`) and by nothing else is that word; all other compounds are
    JSON.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, dict) and len(value) == 1 and isinstance(only := next(iter(value.values())), str):
        return only if set(value) <= {"kind", "name"} else json.dumps(value)
    return json.dumps(value, ensure_ascii=False)


class Settings(BaseModel):
    """The base of a report's settings: frozen, unknown names refused, no conversion between numbers and words."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _lists_are_tuples(cls, given: Any) -> Any:
        """YAML and JSON know lists only; a frozen setting holds tuples."""
        if not isinstance(given, dict):
            return given
        return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


class MetricInfo(Settings):
    """How a metric that is not our model's is shown. Its values are printed as they are."""

    label: Words | None = None
    """`None` is `test · accuracy`."""
    percent: bool = False
    """The values are percent already."""
    better: Literal["higher", "lower", "neither"] = "higher"
    """Which value of a column is bold, and which seed is best."""


OURS = MetricInfo(percent=True)


class Published(Settings):
    """A number from the literature that stands beside ours, marked as such and never ranked with it.

    It belongs to a `variant` of the study, or to a `system` that is not run here and gets a row of its own; `dataset`
    and `group` then say where in a report `by_dataset` it stands, as values of its factors (`cdr`, `global`).
    """

    variant: Words | None = None
    """Name of a variant of this study."""
    system: Words | None = None
    """Name of a system that this study does not run, as the table shows it."""
    dataset: Words | None = None
    group: Words | None = None
    metric: Metric = "test/relation_strict_f1"
    value: FiniteFloat
    """As the trials give the metric: ours in percent."""
    source: Words
    """Publication and table, as the notes cite it."""

    @model_validator(mode="after")
    def _is_of_a_variant_or_of_a_system(self) -> Published:
        if (self.variant is None) == (self.system is None):
            found = "neither `variant` nor `system`" if self.variant is None else "both `variant` and `system`"
            raise ValueError(f"found {found}, wanted a `variant` of this study or a `system` that is not run")
        if self.variant is not None and (self.dataset is not None or self.group is not None):
            raise ValueError(f"`dataset` and `group` go with a `system`; those of '{self.variant}' are its factors")
        if self.metric in METRICS and not 0.0 <= self.value <= 100.0:
            raise ValueError(f"{self.metric} is {self.value:g}, wanted percent, from 0 to 100")
        return self


class StatisticsSettings(Settings):
    """How variants are compared with the baseline. Declared in the study, so before its scores are seen.

    See `reports.statistics` for what each test assumes, and for its source.
    """

    test: Literal["auto", "paired_bootstrap", "approximate_randomisation", "paired_t", "sign_flip"] = "auto"
    """The first two pair documents, the others seeds. `auto`: the paired bootstrap where all trials have left counts
    of their documents, else the paired t-test."""
    metrics: Literal["main", "shown"] = "main"
    """The family: comparisons by the first metric of the report, or by each that it shows."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Of the family. Intervals have level 1 - alpha each."""
    correction: Literal["holm", "none"] = "holm"
    resamples: Annotated[int, Field(ge=100, le=10_000_000)] = 10_000
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the resamples."""
    runs: Literal["student", "resampled", "fixed"] = "student"
    """What tests over documents say of seeds. `fixed`: the verdict is about these trained models alone."""
    dominance: bool = False
    """Almost stochastic order beside; needs the extra `aso`."""


class Report(Settings):
    """What all kinds of report share."""

    caption: Words | None = None
    """First sentence of the caption; `None` is the study's question. What the numbers are is added to it always."""
    label: Annotated[str, Field(pattern=LABEL)] | None = None
    """LaTeX label; `None` is `tab:` and the study's name."""
    names: dict[str, Words] = {}
    """How the table and the figures show a factor's value, `{cdr: CDR, global: GRC, null: encoder width}`, and what
    they call the factor, by its path: `{pretraining.seed: Pre-training}`."""
    metric_info: dict[Metric, MetricInfo] = {}
    """How the metrics of a trainable that is not our model are shown."""
    statistics: StatisticsSettings = StatisticsSettings()
    documents: Annotated[int, Field(ge=0)] | tuple[Words, ...] = 3
    """Of the main metric's split, those that the HTML report shows with gold and predictions: so many, of those on
    which the variants differ most, or these, by their ids."""
    tables: tuple[Literal["differences", "sub_tasks", "types"], ...] = ("differences", "sub_tasks")
    """Tables beside the main one. `differences`: each variant's with the baseline, with interval, p and effect sizes.
    `sub_tasks`: precision, recall and F1 of all sub-tasks of our models. `types`: by relation type."""
    figures: tuple[Literal["learning", "differences", "types", "scale", "cost"], ...] = ("learning", "differences")
    """Figures beside that of the scores. `learning`: the metric on dev over the epochs. `differences`: those of the
    table of this name. `types`: F1 by relation type. `scale`: F1 over the length of documents, their mentions and their
    relations. `cost`: the time that a trained model takes for a document, over the same."""

    @field_validator("names", mode="before")
    @classmethod
    def _values_are_words(cls, names: Any) -> Any:
        """YAML reads the keys `null`, `true` and `0.4` as values; a name stands for the value as it is written."""
        return {word(value): name for value, name in names.items()} if isinstance(names, dict) else names

    @field_validator("tables", "figures")
    @classmethod
    def _each_is_asked_for_once(cls, asked: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(asked)) != len(asked):
            raise ValueError(f"found {list(asked)}, wanted each once")
        return asked

    @field_validator("metric_info")
    @classmethod
    def _ours_are_known(cls, given: dict[str, MetricInfo]) -> dict[str, MetricInfo]:
        if ours := [name for name in given if name in METRICS]:
            raise ValueError(
                f"found {', '.join(ours)}, a metric of our model (in percent, higher is better), wanted others"
            )
        return given

    def info(self, metric: str) -> MetricInfo:
        """How a metric is shown."""
        return OURS if metric in METRICS else self.metric_info.get(metric, MetricInfo())

    def name(self, value: Any) -> str:
        """How a factor's value is shown."""
        return self.names.get(word(value), word(value))

    def title(self, factor: str) -> str:
        """What a factor is called; without a name for it, the last part of its path."""
        return self.names.get(factor, factor.rpartition(".")[2].replace("_", " "))

    @property
    def paths(self) -> tuple[str, ...]:
        """Factors that the report reads: the study gives each variant its resolved value of every one of them."""
        return ()

    @property
    def shown_metrics(self) -> tuple[str, ...]:
        """Metrics of the table; the first is the main metric, which the figure shows and seeds are chosen by."""
        raise NotImplementedError


def _each_once(metrics: tuple[str, ...]) -> tuple[str, ...]:
    if not metrics or len(set(metrics)) != len(metrics):
        raise ValueError(f"found {list(metrics)}, wanted at least one metric, each once")
    return metrics


MetricColumns = Annotated[tuple[Metric, ...], AfterValidator(_each_once)]
SUB_TASKS = (
    "test/relation_strict_f1",
    "test/mention_f1",
    "test/coreference_f1",
    "test/entity_f1",
    "test/relation_f1",
)


class ComparisonSettings(Report):
    """Variants as rows in the study's order but the baseline first; the main metric has its difference to it beside."""

    kind: Literal["comparison"] = "comparison"
    metrics: MetricColumns = SUB_TASKS

    @property
    def shown_metrics(self) -> tuple[str, ...]:
        return self.metrics


class SweepSettings(Report):
    """One factor varies: rows in the order of its values, numbers first and rising, words as the study has them."""

    kind: Literal["sweep"] = "sweep"
    x: Factor
    """The factor, such as `model.memory.warmup_proportion`; no two variants have the same value."""
    x_label: Words | None = None
    """Its name in table and figure; `None` is the last part of the path."""
    metrics: MetricColumns = SUB_TASKS

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.x,)

    @property
    def shown_metrics(self) -> tuple[str, ...]:
        return self.metrics

    @property
    def x_title(self) -> str:
        return self.x_label or self.title(self.x)


class ByDatasetSettings(Report):
    """One metric over data sets, in the shape of the paper's tables 1 and 2.

    Each variant is one cell. Its column is its value of `columns`, its group its value of `groups`, and its row its
    value of `rows` or, without, its label: the variants of one row carry one label, those of another row another. Two
    variants in one cell are refused. Columns, groups and rows come in the order in which the study has them.
    """

    kind: Literal["by_dataset"] = "by_dataset"
    metric: Metric = "test/relation_strict_f1"
    columns: Factor = "data.name"
    groups: Factor | None = None
    """`None`: no groups. The paper's table 2: `model.relation.pairs.kind`."""
    rows: Factor | None = None
    baseline: Words | None = None
    """The row that others are compared with, as the study writes it; `None`: nothing is compared."""

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(path for path in (self.columns, self.groups, self.rows) if path is not None)

    @property
    def shown_metrics(self) -> tuple[str, ...]:
        return (self.metric,)


ReportSettings = Annotated[ComparisonSettings | SweepSettings | ByDatasetSettings, Field(discriminator="kind")]
