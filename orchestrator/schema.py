"""What a study file says: its parts, their meaning, and what is refused before anything is resolved.

A study names settings over the model's defaults, and what varies:

    baseline    the variant that others differ from
    ablate      one factor at a time: each level is one difference from the baseline
    variants    named differences from the baseline
    grid        crossed factors: baseline, ablations and variants are repeated at every point of the grid; without
                any of them the points themselves are the variants

Layers, from below: defaults, `settings`, `baseline.settings`, the grid's levels, the ablation or variant, the budget,
what the budget says of the grid's levels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PositiveInt,
    Tag,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from model.settings import ExperimentSettings
from orchestrator.errors import Problem, StudyError, did_you_mean
from orchestrator.explain import explain, shown
from orchestrator.positions import Positions, read_yaml
from reports.settings import FACTOR, ComparisonSettings, Published, ReportSettings

FULL = "full"
"""The budget of the whole protocol, which every study has."""

RESERVED = ("cache", "mlartifacts", "mlflow.db", "scheduling", "trials")
"""Names in the home that are no study's."""

NAME = r"^[a-z0-9][a-z0-9_-]*$"
_OVERRIDES = {"$comment": "overrides"}
"""Stands for a reference to the settings' own schema until `json_schema` puts it in."""

Words = Annotated[str, Field(min_length=1)]
Overrides = Annotated[dict[str, Any], WithJsonSchema(_OVERRIDES)]
"""Settings, nested or by dotted keys."""


def _seeds(given: Any) -> Any:
    if isinstance(given, int) and not isinstance(given, bool):
        if given < 1:
            raise ValueError(f"found {given}, wanted at least 1 (seeds are then 1, 2, …) or a list of seeds")
        return tuple(range(1, given + 1))
    if (
        not isinstance(given, list | tuple)
        or not given
        or any(type(seed) is not int or seed < 0 for seed in given)
        or len(set(given)) != len(given)
    ):
        raise ValueError(f"found {shown(given)}, wanted a number of seeds or a list of different whole numbers from 0")
    return tuple(given)


Seeds = Annotated[
    tuple[int, ...],
    BeforeValidator(_seeds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "uniqueItems": True},
            ]
        }
    ),
]


def _levels(given: Any) -> Any:
    if not isinstance(given, list | dict) or not given:
        raise ValueError(f"found {shown(given)}, wanted a list of values, or a mapping from labels to values")
    return given


def _grid_levels(given: Any) -> Any:
    if not isinstance(given, list | dict) or not given:
        raise ValueError(f"found {shown(given)}, wanted a list of values, or a mapping from labels to settings")
    if isinstance(given, dict):
        for label, overrides in given.items():
            if not isinstance(overrides, dict):
                raise ValueError(f"level '{label}' is {shown(overrides)}, wanted a mapping of settings")
    return given


_LIST = {"type": "array", "minItems": 1}
Levels = Annotated[
    Any, AfterValidator(_levels), WithJsonSchema({"anyOf": [_LIST, {"type": "object", "minProperties": 1}]})
]
GridLevels = Annotated[
    Any,
    AfterValidator(_grid_levels),
    WithJsonSchema({"anyOf": [_LIST, {"type": "object", "minProperties": 1, "additionalProperties": _OVERRIDES}]}),
]
Factor = Annotated[str, Field(pattern=FACTOR)]


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


class Resources(Part):
    """What one trial occupies while it runs. Cannot change a score, so it is in no trial's identity."""

    cpus: PositiveInt = 1
    """Also the threads of a trial."""
    gpus: Annotated[float, Field(ge=0)] = 0.0
    """Whole GPUs, or a share of one."""

    @field_validator("gpus")
    @classmethod
    def _whole_or_a_share(cls, gpus: float) -> float:
        if gpus > 1 and gpus != int(gpus):
            raise ValueError(f"found {gpus}, wanted whole GPUs or a share of one (at most 1): no trial is put on 1½")
        return gpus


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
    """How the epoch of a trial is selected, on dev."""

    metric: Literal["relation_strict_f1"] = "relation_strict_f1"
    """The one by which `model.training.loop` keeps its best checkpoint."""
    on: Literal["dev"] = "dev"


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
    settings: Overrides = {}
    """Settings of every trial, over the model's defaults."""
    baseline: (
        Annotated[Annotated[Words, Tag("name")] | Annotated[Baseline, Tag("definition")], Discriminator(_baseline_form)]
        | None
    ) = None
    """A variant defined here, or the name of one that `variants` or `grid` make."""
    ablate: dict[Factor, Levels] = {}
    grid: dict[Factor, GridLevels] = {}
    variants: dict[Words, NamedVariant] = {}
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

    @field_validator("budgets")
    @classmethod
    def _full_is_full(cls, budgets: dict[str, Budget]) -> dict[str, Budget]:
        for name, budget in budgets.items():
            if name == FULL and (budget.note or budget.seeds or budget.settings or budget.grid):
                raise ValueError(f"`{FULL}` is the study as it stands; only its resources can be set")
            if name != FULL and not budget.note:
                raise ValueError(f"`{name}` has no note; wanted what it cuts, in words, to stand under its tables")
        return budgets

    @model_validator(mode="before")
    @classmethod
    def _empty_sections_are_left_out(cls, given: Any) -> Any:
        """`variants:` with nothing below it is YAML's null, and means none."""
        if not isinstance(given, Mapping):
            return given
        sections = ("settings", "ablate", "grid", "variants", "budgets", "published")
        return {key: value for key, value in given.items() if not (value is None and key in sections)}

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


def load(path: Path) -> LoadedStudy:
    """Read a study file. Raises StudyError with every fault that it has."""
    from orchestrator.variants import settings_problems

    given, positions = read_yaml(path)
    if not isinstance(given, dict):
        raise StudyError([positions.problem((), f"found {shown(given)}, wanted a mapping with `study:` and `seeds:`")])
    try:
        return LoadedStudy(path, Study.model_validate(given), positions)
    except ValidationError as error:
        found = error.errors()
    problems = list(_problems(found, given, positions))
    # the parts without a fault are read all the same, so that the faults of their settings are told in the same breath
    try:
        rest = LoadedStudy(path, Study.model_validate(_without(given, found)), positions)
    except ValidationError:
        rest = None
    if rest is not None:
        problems += settings_problems(rest)
    raise StudyError(problems)


def _problems(found: Any, given: dict[str, Any], positions: Positions) -> list[Problem]:
    problems = []
    for error in found:
        explained = explain(error, given, Study)
        at_key = explained.at_key or error["loc"][-1:] == ("[key]",)
        problems.append(positions.problem(explained.path, explained.message, at_key=at_key))
    return problems


def _without(given: dict[str, Any], found: Any) -> dict[str, Any]:
    """The study without what is at fault, with a stand-in where the rest needs one."""
    rest = {key: dict(value) if isinstance(value, dict) else value for key, value in given.items()}
    for error in found:
        top, *inner = error["loc"] or ("",)
        if top in ("ablate", "grid", "variants", "budgets") and inner and isinstance(rest.get(top), dict):
            rest[top].pop(inner[0], None)
        else:
            rest.pop(top, None)
    return {"study": "unnamed", "question": "unnamed", "seeds": 1, **rest}


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a study file, for editors; the settings of the model are part of it."""
    schema = _with_references(Study.model_json_schema())
    settings = ExperimentSettings.model_json_schema()
    definitions = {**schema.pop("$defs", {}), **{name: _partial(part) for name, part in settings.pop("$defs").items()}}
    definitions["Overrides"] = {
        **_partial(settings),
        "description": "Settings of the model, nested or by dotted keys: only what differs from the layers below.",
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "$defs": definitions}


def _with_references(part: Any) -> Any:
    if isinstance(part, list):
        return [_with_references(item) for item in part]
    if not isinstance(part, dict):
        return part
    if part.get("$comment") == _OVERRIDES["$comment"]:
        rest = {key: value for key, value in part.items() if key != "$comment"}
        return {"$ref": "#/$defs/Overrides", **rest}
    return {key: _with_references(value) for key, value in part.items()}


def _partial(part: Any) -> Any:
    """A part of the settings as a layer of them: any field may be left out, dotted keys are allowed.

    A choice by `kind` becomes `anyOf`, since a layer that names no `kind` fits several of its members.
    """
    if isinstance(part, list):
        return [_partial(item) for item in part]
    if not isinstance(part, dict):
        return part
    made = {key: _partial(value) for key, value in part.items() if key not in ("required", "discriminator", "oneOf")}
    if "oneOf" in part:
        made["anyOf"] = _partial(part["oneOf"])
    if part.get("type") == "object" and "properties" in part:
        made["patternProperties"] = {r"^[a-z_]+(\.[a-z_0-9]+)+$": {}}
    return made
