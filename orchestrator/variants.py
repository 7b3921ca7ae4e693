"""From a study to its variants: layers merged, settings resolved and checked, every fault at the line that made it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from model.settings import ExperimentSettings
from orchestrator.errors import Problem, StudyError, did_you_mean
from orchestrator.explain import explain
from orchestrator.overrides import DoubleSetting, Layer, Resolved, SettingPath, flat, layer, single, value_at
from orchestrator.positions import Path_, Positions, dotted
from orchestrator.schema import Baseline, LoadedStudy, Study
from reports.records import Variant as ReportVariant
from reports.records import check_report
from reports.settings import ByDatasetSettings, word


@dataclass(frozen=True)
class Variant:
    """One setting of the study, resolved."""

    name: str
    label: str
    """As tables show it."""
    settings: ExperimentSettings
    factors: dict[str, Any]
    """What differs between the variants: level of each factor of the grid, value of each setting that varies, and of
    each that the report asks for."""
    resolved: Resolved = field(repr=False)
    place: Path_
    """The part of the study that makes this variant what it is."""

    @cached_property
    def values(self) -> dict[str, Any]:
        """The settings as plain values, defaults spelled out."""
        return self.settings.model_dump(mode="json")


@dataclass(frozen=True)
class Expansion:
    """The variants of a study under a budget."""

    variants: tuple[Variant, ...]
    baseline: str | None
    """Name of the variant to compare with; none where the grid makes several of it."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Arm:
    """The baseline, one ablation or one named variant: what the grid crosses."""

    name: str | None
    label: str | None
    layer: Layer
    place: Path_
    is_baseline: bool = False
    is_ablation: bool = False


@dataclass(frozen=True)
class _Level:
    factor: str
    label: str
    layer: Layer
    place: Path_
    named: bool
    """The level has a label of its own, which is its value for the report; else that is the setting's."""


@dataclass(frozen=True)
class _Draft:
    arm: _Arm
    levels: tuple[_Level, ...]
    resolved: Resolved

    @property
    def name(self) -> str:
        return " / ".join(filter(None, (self.arm.name, *(level.label for level in self.levels))))

    @property
    def place(self) -> Path_:
        return self.levels[-1].place if self.levels and self.arm.name is None else self.arm.place


def expand(loaded: LoadedStudy, budget: str) -> Expansion:
    """The variants under a budget. Raises StudyError with every fault of their settings, names and report."""
    drafts, problems = _drafts(loaded, budget)
    settings = [_settings(draft, loaded.positions, problems) for draft in drafts]
    if problems:
        raise StudyError(problems)
    checked = [(draft, made) for draft, made in zip(drafts, settings, strict=True) if made is not None]
    kept, notes = _without_doubles(checked, loaded.positions, problems)
    if problems:
        raise StudyError(problems)
    variants = _variants(kept, loaded.study)
    baseline = _baseline(variants, kept, loaded, problems)
    _check_report(loaded, variants, baseline, problems)
    if problems:
        raise StudyError(problems)
    return Expansion(variants, baseline, notes)


def check(loaded: LoadedStudy) -> dict[str, Expansion]:
    """The variants under every budget. Raises StudyError with the faults under all of them."""
    expansions: dict[str, Expansion] = {}
    problems: list[Problem] = []
    for budget in loaded.study.budget_names:
        try:
            expansions[budget] = expand(loaded, budget)
        except StudyError as error:
            problems += error.problems
    if problems:
        raise StudyError(problems)
    return expansions


def settings_problems(loaded: LoadedStudy) -> list[Problem]:
    """The faults of the settings alone, for a study that has others as well."""
    problems: list[Problem] = []
    for budget in loaded.study.budget_names:
        drafts, found = _drafts(loaded, budget)
        for draft in drafts:
            _settings(draft, loaded.positions, found)
        problems += found
    return problems


# ---------------------------------------------------------------------------------------------------------- layers


def _drafts(loaded: LoadedStudy, budget_name: str) -> tuple[list[_Draft], list[Problem]]:
    study, problems = loaded.study, list[Problem]()

    def over(given: dict[str, Any], *place: str) -> Layer:
        try:
            return layer(given, place)
        except DoubleSetting as error:
            problems.append(loaded.positions.problem(error.origin, str(error), at_key=True))
            return Layer({}, {})

    base = Resolved(ExperimentSettings().model_dump(mode="json")).over(over(study.settings, "settings"))
    if isinstance(study.baseline, Baseline):
        base = base.over(over(study.baseline.settings, "baseline", "settings"))
    budget = study.budget(budget_name)
    last = over(budget.settings, "budgets", budget_name, "settings")
    of_levels = _levels_of_budget(study, budget_name, loaded.positions, problems, over)
    arms = list(_arms(study, over))
    drafts = []
    for levels in itertools.product(*_grid(study, over)):
        below = base
        for level in levels:
            below = below.over(level.layer)
        for arm in arms:
            above = below.over(arm.layer).over(last)
            for level in levels:
                above = above.over(of_levels.get((level.factor, level.label), Layer({}, {})))
            drafts.append(_Draft(arm, levels, above))
    # an arm and its points of the grid stand together
    drafts.sort(key=lambda draft: arms.index(draft.arm))
    return drafts, problems


def _arms(study: Study, over: Any) -> Iterator[_Arm]:
    if isinstance(study.baseline, Baseline):
        given = study.baseline
        yield _Arm(given.name, given.label, Layer({}, {}), ("baseline",), is_baseline=True)
    short = _short_names(study.ablate)
    for path, levels in study.ablate.items():
        if isinstance(levels, dict):
            named = [(label, label, value, ("ablate", path, label)) for label, value in levels.items()]
        else:
            named = [
                (f"{short[path]}={word(value)}", None, value, ("ablate", path, index))
                for index, value in enumerate(levels)
            ]
        for name, label, value, place in named:
            yield _Arm(name, label, single(path, value, place), place, is_ablation=True)
    for name, given in study.variants.items():
        yield _Arm(name, given.label, over(given.settings, "variants", name, "settings"), ("variants", name))
    if not isinstance(study.baseline, Baseline) and not study.ablate and not study.variants:
        # the points of a grid name themselves
        name, label = (None, None) if study.grid else (study.study, study.title)
        yield _Arm(name, label, Layer({}, {}), ("settings",))


def _grid(study: Study, over: Any) -> Iterator[list[_Level]]:
    short = _short_names(study.grid)
    for factor, levels in study.grid.items():
        if isinstance(levels, dict):
            yield [
                _Level(factor, label, over(given, "grid", factor, label), ("grid", factor, label), named=True)
                for label, given in levels.items()
            ]
        else:
            places = [("grid", factor, index) for index in range(len(levels))]
            yield [
                _Level(factor, f"{short[factor]}={word(value)}", single(factor, value, place), place, named=False)
                for value, place in zip(levels, places, strict=True)
            ]


def _levels_of_budget(
    study: Study, budget_name: str, positions: Positions, problems: list[Problem], over: Any
) -> dict[tuple[str, str], Layer]:
    """What a budget sets for some levels of the grid. A factor or level that the grid does not have is a fault."""
    layers = {}
    for factor, levels in study.budget(budget_name).grid.items():
        place = ("budgets", budget_name, "grid", factor)
        known = study.grid.get(factor)
        if not isinstance(known, dict):
            named = [name for name, given in study.grid.items() if isinstance(given, dict)]
            message = (
                f"found '{factor}', wanted a factor of the grid whose levels have labels{did_you_mean(factor, named)}"
            )
            problems.append(positions.problem(place, message, at_key=True))
            continue
        for label, given in levels.items():
            if label not in known:
                message = f"found '{label}', wanted a level of {factor}: {', '.join(known)}{did_you_mean(label, known)}"
                problems.append(positions.problem((*place, label), message, at_key=True))
                continue
            layers[factor, label] = over(given, *place, label)
    return layers


def _short_names(paths: Iterable[str]) -> dict[str, str]:
    """The shortest ends of dotted paths that tell them apart."""
    parts = {path: path.split(".") for path in paths}

    def tells_apart(end: list[str]) -> bool:
        return sum(other[-len(end) :] == end for other in parts.values()) == 1

    short = {}
    for path, own in parts.items():
        ends = [own[-n_parts:] for n_parts in range(1, len(own) + 1)]
        short[path] = ".".join(next((end for end in ends if tells_apart(end)), own))
    return short


# ---------------------------------------------------------------------------------------------------------- checks


def _settings(draft: _Draft, positions: Positions, problems: list[Problem]) -> ExperimentSettings | None:
    values = draft.resolved.values
    try:
        return ExperimentSettings.model_validate(values)
    except ValidationError as error:
        for found in error.errors():
            explained = explain(found, values, ExperimentSettings)
            place = _place(draft.resolved, explained.path, explained.at_key)
            message = explained.message
            if place is None:
                place, message = draft.place, f"{dotted(explained.path)}: {message}"
            problems.append(positions.problem(place, message, at_key=explained.at_key))
    return None


def _place(resolved: Resolved, path: Path_, at_key: bool) -> Path_ | None:
    """Where the study sets what a path of the settings leads to."""
    names: SettingPath = tuple(str(part) for part in path)
    place, matched = resolved.origin(names)
    if place is None:
        return None
    place += path[len(matched) :]
    if at_key and place[0] in ("ablate", "grid") and len(place) == 3:
        # the name at fault is the factor's path, not the value in its list
        return place[:2]
    return place


def _without_doubles(
    checked: Sequence[tuple[_Draft, ExperimentSettings]], positions: Positions, problems: list[Problem]
) -> tuple[list[tuple[_Draft, ExperimentSettings]], tuple[str, ...]]:
    """Refuse two variants of one name or of equal settings; an ablation at the baseline's value *is* the baseline."""
    names: dict[str, _Draft] = {}
    settings: dict[str, _Draft] = {}
    kept, notes = [], []
    for draft, made in checked:
        same = settings.get(made.model_dump_json())
        if same is not None and draft.arm.is_ablation and same.arm.is_baseline and draft.levels == same.levels:
            notes.append(f"{draft.name} is the baseline, '{same.name}', which stands for it")
            continue
        if same is not None:
            problems.append(
                positions.problem(
                    draft.place,
                    f"'{draft.name}' has the same settings as '{same.name}' ({dotted(same.place)}), "
                    f"wanted variants that differ",
                    at_key=True,
                )
            )
            continue
        if draft.name in names:
            problems.append(
                positions.problem(
                    draft.place,
                    f"the name '{draft.name}' is taken ({dotted(names[draft.name].place)}), wanted another",
                    at_key=True,
                )
            )
            continue
        names[draft.name] = settings[made.model_dump_json()] = draft
        kept.append((draft, made))
    return kept, tuple(notes)


def _baseline(
    variants: Sequence[Variant],
    kept: Sequence[tuple[_Draft, ExperimentSettings]],
    loaded: LoadedStudy,
    problems: list[Problem],
) -> str | None:
    given = loaded.study.baseline
    names = [variant.name for variant in variants]
    if isinstance(given, str):
        if given not in names:
            message = f"found '{given}', wanted a variant of the study: {', '.join(names)}{did_you_mean(given, names)}"
            problems.append(loaded.positions.problem(("baseline",), message))
            return None
        return given
    arms = [draft.name for draft, _ in kept if draft.arm.is_baseline]
    return arms[0] if len(arms) == 1 else None


def _check_report(
    loaded: LoadedStudy, variants: Sequence[Variant], baseline: str | None, problems: list[Problem]
) -> None:
    """Refuse a report that the variants cannot fill, at the line of `report` or of the published number."""
    study, positions = loaded.study, loaded.positions
    known = set[str]().union(*(variant.factors for variant in variants), *(flat(v.values) for v in variants))
    for name in ("x", "columns", "groups", "rows"):
        path = getattr(study.report, name, None)
        if path is not None and any(path not in variant.factors for variant in variants):
            message = f"found '{path}', wanted a factor of the grid or a setting{did_you_mean(path, known)}"
            problems.append(positions.problem(("report", name), message))
    if problems:
        return
    shown = tuple(ReportVariant(variant.name, variant.label, variant.factors) for variant in variants)
    for n_published in range(len(study.published) + 1):
        try:
            check_report(study.report, shown, baseline, study.published[:n_published])
        except ValueError as error:
            place: Path_ = ("published", n_published - 1) if n_published else ("report",)
            problems.append(positions.problem(place, str(error).removeprefix("published: ")))
            return


# ------------------------------------------------------------------------------------------------- names for reports


def _variants(kept: Sequence[tuple[_Draft, ExperimentSettings]], study: Study) -> tuple[Variant, ...]:
    values = [made.model_dump(mode="json") for _, made in kept]
    leaves = [flat(of) for of in values]
    asked = dict.fromkeys(
        [*study.ablate, *(factor for factor, levels in study.grid.items() if isinstance(levels, list))]
    )
    varying = [path for path in dict.fromkeys(itertools.chain(*leaves)) if _varies(path, values)]
    outer = [*asked, *varying]
    # what lies inside a part that varies as a whole is told by it
    varying = [path for path in varying if not any(path.startswith(f"{other}.") for other in outer)]
    paths = [*asked, *varying, *study.report.paths]
    factors = []
    for (draft, _), of in zip(kept, values, strict=True):
        found = {path: value for path in dict.fromkeys(paths) if (value := _value(of, path)) is not _ABSENT}
        factors.append(found | {level.factor: level.label for level in draft.levels if level.named})
    labels = _labels(kept, factors, study)
    return tuple(
        Variant(draft.name, label, made, found, draft.resolved, draft.place)
        for (draft, made), label, found in zip(kept, labels, factors, strict=True)
    )


_ABSENT = object()


def _value(values: dict[str, Any], path: str) -> Any:
    try:
        return value_at(values, path)
    except KeyError:
        return _ABSENT


def _varies(path: str, values: Sequence[dict[str, Any]]) -> bool:
    """Whether a setting that all variants have differs between them. What only some kinds have is told by `kind`."""
    found = [_value(of, path) for of in values]
    return all(value is not _ABSENT for value in found) and any(value != found[0] for value in found)


def _labels(
    kept: Sequence[tuple[_Draft, ExperimentSettings]], factors: Sequence[dict[str, Any]], study: Study
) -> list[str]:
    """Labels name what the table does not show beside: `by_dataset` has the data set in its columns already."""
    report = study.report
    axes = [] if not isinstance(report, ByDatasetSettings) else [report.columns, report.groups]
    shown = set()
    for position, factor in enumerate(study.grid):
        for axis in filter(None, axes):
            pairs = {
                (draft.levels[position].label, word(of.get(axis))) for (draft, _), of in zip(kept, factors, strict=True)
            }
            one_to_one = len(pairs) == len({level for level, _ in pairs}) == len({value for _, value in pairs})
            if one_to_one and len(pairs) > 1:
                shown.add(factor)
    labels = []
    for draft, _ in kept:
        own = [level.label for level in draft.levels if level.factor not in shown]
        label = draft.arm.label or draft.arm.name
        labels.append(" / ".join([*([label] if label else []), *own]) or draft.name)
    return labels
