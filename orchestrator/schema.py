"""What a study file says: its parts, their meaning, and what is refused before anything is resolved.

A study names settings over the model's defaults, and what varies:

    baseline    the variant that others differ from
    ablate      one factor at a time: each level is one difference from the baseline
    variants    named differences from the baseline
    grid        crossed factors: baseline, ablations and variants are repeated at every point of the grid; without
                any of them the points themselves are the variants
    zip         factors that move together: one more factor of the grid, whose n-th level sets the n-th value of each
    when        a factor of the grid, or an ablation, counts only where a condition on the other settings holds
    exclude     points that are left out

Layers, from below: defaults, `settings`, `baseline.settings`, the grid's levels, the ablation or variant, the budget,
what the budget says of the grid's levels.

A study with `search` looks for good settings instead: it compares nothing, and has none of the above.
"""

from __future__ import annotations

import itertools
import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    FiniteFloat,
    PositiveInt,
    Tag,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from orchestrator.errors import Problem, StudyError, did_you_mean
from orchestrator.explain import Explained, FaultAt, explain, shown
from orchestrator.positions import Path_, Positions, read_yaml
from reports.settings import FACTOR, LABEL, ComparisonSettings, Published, ReportSettings
from reports.settings import METRIC as REPORTED_METRIC

FULL = "full"
"""The budget of the whole protocol, which every study has."""

PILOT = "pilot"
"""The budget under which a part of a trial is trained to tell what it will cost."""

RESERVED = ("cache", "mlartifacts", "mlflow.db", "patches", "runs.db", "trials")
"""Names in the home that are no study's."""

MOST_TRIALS = 1_000_000
"""More are a slip of the pen: a list too many in `grid`, a zero too many in `seeds`."""

NAME = r"^[a-z0-9][a-z0-9_-]{0,99}$"
METRIC = r"^[a-z][A-Za-z0-9_.-]*$"
FILE_NAME = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"
FUNCTION = r"^[A-Za-z_][A-Za-z0-9_.-]*(:[A-Za-z_][A-Za-z0-9_]*)?$"
PATTERNS = {
    NAME: "a name of at most 100 small letters, digits, - and _",
    METRIC: "a metric without its split, such as relation_f1",
    REPORTED_METRIC: "a metric with its split, such as test/relation_f1",
    FILE_NAME: "the name of a file in the trial's folder",
    LABEL: "letters, digits and : . _ -",
    FUNCTION: "`module:function`, or the name under which an installed package has registered one",
    FACTOR: "a name of small letters, digits and _, or several of them with dots between",
}
"""What the patterns of names want, in words."""
MOST_SEED = 2**63 - 1
"""The greatest that torch, numpy and a database take alike."""

Words = Annotated[str, Field(min_length=1)]
Overrides = dict[str, Any]
"""Settings, nested or by dotted keys."""


def _seeds(given: Any) -> Any:
    if isinstance(given, int) and not isinstance(given, bool):
        if given < 1:
            raise ValueError(f"found {given}, wanted at least 1 (seeds are then 1, 2, …) or a list of seeds")
        if given > MOST_TRIALS:
            raise ValueError(
                f"found {given} seeds, wanted at most {MOST_TRIALS:,}; for a seed of its own, a list of it"
            )
        return tuple(range(1, given + 1))
    wanted = "wanted a number of seeds or a list of different whole numbers"
    if not isinstance(given, list | tuple) or not given:
        raise ValueError(f"found {shown(given)}, {wanted}")
    for index, seed in enumerate(given):
        if type(seed) is not int:
            raise FaultAt((index,), f"found {shown(seed)}, {wanted}")
        if not 0 <= seed <= MOST_SEED:
            raise FaultAt((index,), f"found {seed}, wanted a seed from 0 to {MOST_SEED:,}")
        if seed in given[:index]:
            raise FaultAt((index,), f"found {seed} a second time, wanted each seed once")
    return tuple(given)


Seeds = Annotated[
    tuple[int, ...],
    BeforeValidator(_seeds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MOST_TRIALS},
                {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 0, "maximum": MOST_SEED},
                    "minItems": 1,
                    "uniqueItems": True,
                },
            ]
        }
    ),
]


def _levels(given: Any) -> Any:
    if not isinstance(given, list | dict) or not given:
        raise ValueError(f"found {shown(given)}, wanted values in a list, or in a mapping from labels to values")
    if "" in given and isinstance(given, dict):
        raise FaultAt(("",), "found a label of no letters, wanted a name for the variant")
    return given


def _grid_levels(given: Any) -> Any:
    if not isinstance(given, list | dict) or not given:
        raise ValueError(f"found {shown(given)}, wanted values in a list, or a mapping from labels to settings")
    if isinstance(given, dict):
        for label, overrides in given.items():
            if not label:
                raise FaultAt((label,), "found a label of no letters, wanted a name for the level")
            if not isinstance(overrides, dict):
                raise FaultAt((label,), f"found {shown(overrides)}, wanted a mapping of settings", at_key=False)
    return given


_LIST = {"type": "array", "minItems": 1}
_LABELLED = {"type": "object", "minProperties": 1, "propertyNames": {"minLength": 1}}
Levels = Annotated[Any, AfterValidator(_levels), WithJsonSchema({"anyOf": [_LIST, _LABELLED]})]
GridLevels = Annotated[
    Any,
    AfterValidator(_grid_levels),
    WithJsonSchema({"anyOf": [_LIST, {**_LABELLED, "additionalProperties": {"type": "object"}}]}),
]
Factor = Annotated[str, Field(pattern=FACTOR)]
ZipLevels = Annotated[tuple[Any, ...], Field(strict=False, min_length=2)]
Condition = Annotated[dict[Factor, Any], Field(min_length=1)]
"""Factor or setting → a value, or a list of values of which it has one; all of them hold."""


class Part(BaseModel):
    """The base of a study's parts: frozen, unknown names refused, no conversion between numbers and words."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Baseline(Part):
    """The variant that the others differ from, and are compared with."""

    name: Words
    label: Words | None = None
    """As tables show it; `None` is the name."""
    settings: Overrides = {}


class NamedVariant(Part):
    """A difference from the baseline (from `settings`, if there is none)."""

    label: Words | None = None
    settings: Overrides = {}


MEASURED = "measured"
"""Instead of a number of GPUs: the peak memory of a variant's first trial tells how many of it share one."""


def _gpus(given: Any) -> Any:
    if given == MEASURED:
        return given
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ValueError(f"found {shown(given)}, wanted a number, or '{MEASURED}'{did_you_mean(given, [MEASURED])}")
    if not math.isfinite(given) or given < 0:
        raise ValueError(f"found {given}, wanted a number of at least 0")
    if given > 1 and given != int(given):
        raise ValueError(f"found {given}, wanted whole GPUs or a share of one (at most 1): no trial is put on 1½")
    return float(given)


Gpus = Annotated[
    float | Literal["measured"],
    BeforeValidator(_gpus),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "integer", "minimum": 0},
                {"const": MEASURED},
            ]
        }
    ),
]


class Resources(Part):
    """What one trial occupies while it runs. Cannot change a score, so it is in no trial's identity."""

    cpus: PositiveInt = 1
    """Also the threads of a trial."""
    gpus: Gpus = 0.0
    """Whole GPUs, a share of one, or `measured`."""

    @property
    def most_gpus(self) -> float:
        """As many as a trial may be given: one that is measured, or that ran out of memory, has a GPU to itself."""
        return 1.0 if self.gpus == MEASURED else float(self.gpus)


class Budget(Part):
    """A named way to run the study: the same variants at another cost."""

    note: Words | None = None
    """What is cut, in words; it stands under every table of a reduced budget."""
    seeds: Seeds | None = None
    settings: Overrides = {}
    grid: dict[Factor, dict[Words, Overrides]] = {}
    """More settings for some levels of the grid, by factor and label: what only one data set can have."""
    resources: Resources | None = None


class Select(Part):
    """How the epoch of a trial is selected, and the best of several seeds."""

    metric: Annotated[str, Field(pattern=METRIC)] = "relation_strict_f1"
    """Without its split; for our models an F1."""
    on: Literal["dev", "test"] = "dev"
    """`test` is optimistic, and there only to repeat a protocol that was published so."""
    allow_test: bool = False
    """Has to be said for `on: test`, which every table then tells."""

    @model_validator(mode="after")
    def _test_is_said_twice(self) -> Select:
        if self.on == "test" and not self.allow_test:
            raise FaultAt(
                ("on",),
                "found `on: test`, which gives scores that are too good, wanted `on: dev`; to repeat a protocol that "
                "was published so, say `allow_test: true` beside it",
            )
        return self

    @property
    def full_name(self) -> str:
        return f"{self.on}/{self.metric}"


class ModelTrainable(Part):
    """Our models."""

    kind: Literal["model"] = "model"


Inputs = Annotated[tuple[Words, ...], Field(strict=False)]


class FunctionTrainable(Part):
    """A function of an installed package; see `orchestrator.trainables.function`."""

    kind: Literal["function"]
    function: Annotated[str, Field(pattern=FUNCTION)]
    """`module:function`, or the name under which its package has registered it."""
    inputs: Inputs = ()
    """Files and folders, from this file's folder, whose content decides the scores, with `{settings}` by their dotted
    paths; `catalog:data` is the data set that the setting `data` names."""
    code_epoch: Annotated[int, Field(ge=0)] = 1
    """Raise it when the same settings, seed and inputs give other scores than before."""


class CommandTrainable(Part):
    """A command of the shell; see `orchestrator.trainables.command`."""

    kind: Literal["command"]
    command: Words
    """Its words, with `{settings}` by their dotted paths, and `{seed}`, `{folder}` (the trial's own),
    `{settings_file}` (all settings as JSON), `{python}`, `{device}`, `{threads}`, `{data_path}` (the data search
    path)."""
    metrics_file: Annotated[str, Field(pattern=FILE_NAME)] = "metrics.json"
    """What it leaves in its folder."""
    progress_file: Annotated[str, Field(pattern=FILE_NAME)] = "progress.jsonl"
    """What it may write on the way, a line an epoch."""
    inputs: Inputs = ()
    """Files and folders, from this file's folder, whose content decides the scores, with `{settings}` by their dotted
    paths; `catalog:data` is the data set that the setting `data` names."""
    code_epoch: Annotated[int, Field(ge=0)] = 1
    """Raise it when the same settings, seed and inputs give other scores than before."""

    @field_validator("command")
    @classmethod
    def _has_words(cls, command: str) -> str:
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise ValueError(f"found {shown(command)}, which is no command: {error}") from None
        if not words:
            raise ValueError(f"found {shown(command)}, wanted a command")
        return command


TrainableSettings = Annotated[ModelTrainable | FunctionTrainable | CommandTrainable, Field(discriminator="kind")]


class UniformSpace(Part):
    """A number between two others, all equally likely."""

    kind: Literal["uniform"]
    low: FiniteFloat
    high: FiniteFloat
    log: bool = False
    """All orders of magnitude equally likely."""

    @model_validator(mode="after")
    def _rises(self) -> UniformSpace:
        _check_range(self.low, self.high, self.log)
        return self


class IntegerSpace(Part):
    """A whole number between two others, both included."""

    kind: Literal["integer"]
    low: int
    high: int
    log: bool = False

    @model_validator(mode="after")
    def _rises(self) -> IntegerSpace:
        _check_range(self.low, self.high, self.log)
        return self


class ChoiceSpace(Part):
    """One of several values."""

    kind: Literal["choice"]
    values: Annotated[tuple[Any, ...], Field(strict=False, min_length=1)]


def _check_range(low: float, high: float, log: bool) -> None:
    if not low < high:
        raise ValueError(f"found a range from {low} to {high}, wanted `low` below `high`")
    if log and low <= 0:
        raise ValueError(f"found `log` with a range from {low}, wanted `low` above 0")


Space = Annotated[UniformSpace | IntegerSpace | ChoiceSpace, Field(discriminator="kind")]


class Asha(Part):
    """Asynchronous successive halving: of the trials that reach an epoch, only the best go on.

    Source: Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020.
    """

    kind: Literal["asha"]
    grace_epochs: PositiveInt = 1
    """No trial is pruned before this epoch."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """One of so many goes on."""
    max_epochs: PositiveInt | None = None
    """No trial is pruned from this epoch on; `None` is the last one of a trial, where its trainable tells that."""


class Search(Part):
    """Tuning: settings are drawn, the best on dev is told. Its trials enter no comparison."""

    space: Annotated[dict[Factor, Space], Field(min_length=1)]
    """What is drawn, by dotted path."""
    trials: Annotated[int, Field(gt=0, le=MOST_TRIALS)]
    """How many settings are tried."""
    algorithm: Literal["tpe", "random"] = "tpe"
    """`tpe`: Optuna's tree-structured Parzen estimator."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Of the draws; a trial's own is the study's."""
    pruning: Asha | None = None
    """`None`: every trial is trained to its end."""


SECTIONS = ("trainable", "settings", "ablate", "grid", "zip", "when", "exclude", "variants", "select", "budgets",
            "resources", "published", "report")  # fmt: skip
"""Keys of a study whose value may be left out, as YAML does where nothing stands below a key."""


def _own_metrics(study: dict[str, Any]) -> dict[str, Any]:
    """A study of a trainable that is not ours reports what it selects by, unless it names other metrics."""
    trainable, select, report = (study.get(name) or {} for name in ("trainable", "select", "report"))
    if not all(isinstance(part, dict) for part in (trainable, select, report)):
        return study
    metric = select.get("metric")
    if trainable.get("kind", "model") == "model" or not isinstance(metric, str) or not re.match(METRIC, metric):
        return study
    by_dataset = report.get("kind") == "by_dataset"
    shown = {"metric": f"test/{metric}"} if by_dataset else {"metrics": [f"test/{metric}"]}
    return {**study, "report": {"kind": "comparison", **shown, **report}}


def _baseline_form(given: Any) -> str:
    return "name" if isinstance(given, str) else "definition"


class Study(Part):
    """A study file."""

    study: Annotated[str, Field(pattern=NAME)]
    """Its name: the experiment in MLflow and the folder under the home."""
    title: Words | None = None
    question: Words
    """What the study answers; the first sentence under its table."""
    description: Words | None = None
    trainable: TrainableSettings = ModelTrainable()
    """What is trained; without, our models."""
    settings: Overrides = {}
    """Settings of every trial, over the model's defaults."""
    baseline: (
        Annotated[Annotated[Words, Tag("name")] | Annotated[Baseline, Tag("definition")], Discriminator(_baseline_form)]
        | None
    ) = None
    """A variant defined here, or the name of one that `variants` or `grid` make."""
    ablate: dict[Factor, Levels] = {}
    grid: dict[Factor, GridLevels] = {}
    zip: dict[Factor, ZipLevels] = {}
    when: dict[Factor, Condition] = {}
    exclude: Annotated[tuple[Condition, ...], Field(strict=False)] = ()
    variants: dict[Words, NamedVariant] = {}
    search: Search | None = None
    seeds: Seeds
    """Replicates, the same for each variant: a number n (1 … n) or a list."""
    select: Select = Select()
    budgets: dict[Annotated[str, Field(pattern=NAME)], Budget] = {}
    resources: Resources = Resources()
    published: Annotated[tuple[Published, ...], Field(strict=False)] = ()
    report: ReportSettings = ComparisonSettings()

    @field_validator("study")
    @classmethod
    def _not_reserved(cls, name: str) -> str:
        if name in RESERVED:
            raise ValueError(f"found '{name}', which the home uses itself; wanted another name")
        return name

    @model_validator(mode="before")
    @classmethod
    def _empty_sections_are_left_out(cls, given: Any) -> Any:
        """`variants:` with nothing below it is YAML's null, and means none."""
        if not isinstance(given, Mapping):
            return given
        given = _own_metrics(dict(given))
        return {key: value for key, value in given.items() if not (value is None and key in SECTIONS)}

    @property
    def budget_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((FULL, *self.budgets)))

    def budget(self, name: str) -> Budget:
        """Raises ValueError for a budget that the study does not have."""
        if name == FULL:
            return self.budgets.get(FULL, Budget())
        if name not in self.budgets:
            raise ValueError(
                f"budget '{name}' is not in the study, wanted one of {', '.join(self.budget_names)}"
                f"{did_you_mean(name, self.budget_names)}"
            )
        return self.budgets[name]


@dataclass(frozen=True)
class LoadedStudy:
    """A study, and where in its file each part stands."""

    path: Path
    study: Study
    positions: Positions

    @property
    def folder(self) -> Path:
        """Where the file lies, absolute: trials run elsewhere."""
        return self.path.absolute().parent


def load(path: Path) -> LoadedStudy:
    """Read a study file. Raises StudyError with every fault that it has."""
    given, positions = read_yaml(path)
    if not isinstance(given, dict):
        message = f"found {shown(given)}, wanted a mapping with `study:`, `question:` and `seeds:`"
        raise StudyError([positions.problem((), message)])
    problems: list[Problem] = []
    rest, lost = given, set[str]()
    study, faults = _validated(rest)
    while faults:
        problems += [positions.problem(fault.path, fault.message, at_key=fault.at_key) for fault in faults]
        # what has no fault is read all the same, so that all faults of the file are told at once
        before, rest = rest, _without(rest, faults)
        lost |= {str(fault.path[0]) for fault in faults if fault.path}
        if rest == before:
            raise StudyError(problems)
        study, faults = _validated(rest)
    assert study is not None, "a study without faults is one"
    loaded = LoadedStudy(path, study, positions)
    if not problems:
        return loaded
    from orchestrator.variants import other_problems

    raise StudyError([*problems, *other_problems(loaded, lost)])


def _validated(given: dict[str, Any]) -> tuple[Study | None, list[Explained]]:
    try:
        study = Study.model_validate(given)
    except ValidationError as error:
        return None, [_explained(found, given) for found in error.errors()]
    return study, list(_faults_between(study))


def _explained(found: Mapping[str, Any], given: dict[str, Any]) -> Explained:
    explained = explain(found, given, Study, PATTERNS)
    return replace(explained, at_key=True) if found["loc"][-1:] == ("[key]",) else explained


def _faults_between(study: Study) -> Iterator[Explained]:
    """What is wrong between the parts of a study, each of which is right in itself; at the key to be changed."""

    def at(*path: str | int, message: str) -> Explained:
        return Explained(path, message, at_key=True)

    if study.trainable.kind != "model" and "metric" not in study.select.model_fields_set:
        message = f"a {study.trainable.kind} has metrics of its own, wanted `select: {{metric: …}}` with one of them"
        yield at("trainable", message=message)
    places = {"grid": study.grid, "zip": study.zip, "ablate": study.ablate}
    for (one, factors), (other, more) in itertools.combinations(places.items(), 2):
        for factor in sorted(set(factors) & set(more)):
            yield at(other, factor, message=f"stands in `{one}` as well, wanted in one of them")
    lengths = {factor: len(values) for factor, values in study.zip.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{factor} has {n}" for factor, n in lengths.items())
        yield at("zip", message=f"factors that move together have as many values each, but {told}")
    for name, budget in study.budgets.items():
        if name == FULL:
            for key in ("note", "seeds", "settings", "grid"):
                if getattr(budget, key):
                    message = f"`{FULL}` is the study as it stands, wanted nothing but `resources`"
                    yield at("budgets", name, key, message=message)
        elif name == PILOT:
            yield at("budgets", name, message="is what `orchestrate plan --pilot` runs, wanted another name")
        elif not budget.note:
            message = "the key 'note' is missing, wanted what the budget cuts, in words: it stands under its tables"
            yield at("budgets", name, message=message)
    if study.search is not None:
        yield from _faults_of_search(study)


COMPARING = ("baseline", "ablate", "grid", "zip", "when", "exclude", "variants", "published")
"""Keys of a study that compares."""


def _faults_of_search(study: Study) -> Iterator[Explained]:
    for name in COMPARING:
        if getattr(study, name):
            message = (
                "a study with `search` compares nothing; put the comparison into a study of its own, with the settings "
                "that the search has found"
            )
            yield Explained((name,), message, True)
    seeds: dict[Path_, tuple[int, ...]] = {("seeds",): study.seeds}
    seeds |= {("budgets", name, "seeds"): budget.seeds for name, budget in study.budgets.items() if budget.seeds}
    for path, given in seeds.items():
        if len(given) > 1:
            message = f"a search trains each setting once, found {len(given)} seeds, wanted one"
            yield Explained(path, message, False)
    pruning = study.search.pruning if study.search is not None else None
    if pruning is not None and pruning.max_epochs is not None and pruning.max_epochs <= pruning.grace_epochs:
        message = f"found {pruning.max_epochs}, wanted more than `grace_epochs`, which are {pruning.grace_epochs}"
        yield Explained(("search", "pruning", "max_epochs"), message, False)
    if study.select.on == "test":
        message = "a search that is led by test scores leaves nothing to test on, wanted `on: dev`"
        yield Explained(("select", "on"), message, False)
    assert study.search is not None
    for path, space in study.search.space.items():
        if (outer := next((name for name in study.search.space if path.startswith(f"{name}.")), None)) is not None:
            message = f"lies inside '{outer}', which is drawn as a whole, wanted settings beside each other"
            yield Explained(("search", "space", path), message, True)
        if isinstance(space, ChoiceSpace):
            for index, value in enumerate(space.values):
                if value in space.values[:index]:
                    message = f"found {shown(value)} a second time, wanted each value once"
                    yield Explained(("search", "space", path, "values", index), message, False)


def _without(given: dict[str, Any], faults: Iterable[Explained]) -> dict[str, Any]:
    """The study without what is at fault, with a stand-in where the rest needs one.

    A key that is not known is left out, any other fault takes its entry of a section or the section with it.
    """
    rest = deepcopy(given)
    # unknown keys first, while all that holds them is there
    for fault in sorted(faults, key=lambda fault: not fault.is_unknown):
        top, *inner = map(str, fault.path or ("",))
        if fault.is_unknown:
            within: Any = rest
            for part in fault.path[:-1]:
                within = within[part]
            del within[fault.path[-1]]
        elif top in ("ablate", "grid", "when", "variants", "budgets") and inner and isinstance(rest.get(top), dict):
            entry = rest[top].pop(inner[0], None)
            if top == "budgets" and not inner[1:] and isinstance(entry, dict) and inner[0] not in (FULL, PILOT):
                rest[top][inner[0]] = {"note": "unnamed", **entry}
        elif top in ("select", "resources") and inner and isinstance(rest.get(top), dict):
            rest[top].pop(inner[0], None)
        else:
            rest.pop(top, None)
    if given.get("trainable") is not None and "trainable" not in rest:
        # not our models, which it would be without: their settings and metrics are others
        rest["trainable"] = {"kind": "function", "function": "unnamed"}
    select = rest.get("select")
    if (rest.get("trainable") or {}).get("kind", "model") != "model" and not (select or {}).get("metric"):
        rest["select"] = {**(select or {}), "metric": "unnamed"}
    return {"study": "unnamed", "question": "unnamed", "seeds": 1, **rest}
