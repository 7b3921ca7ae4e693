"""From a study to its variants: layers merged, settings resolved and checked, every fault at the line that made it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from orchestrator import trainables
from orchestrator.errors import Problem, StudyError, did_you_mean
from orchestrator.explain import explain
from orchestrator.identity import canonical
from orchestrator.overrides import DoubleSetting, Layer, Resolved, SettingPath, flat, layer, single, value_at
from orchestrator.positions import Path_, Positions, dotted
from orchestrator.schema import Baseline, LoadedStudy, Study
from orchestrator.trainables import Trainable
from reports.records import Variant as ReportVariant
from reports.records import check_metrics, check_report
from reports.settings import ByDatasetSettings, unknown_metric, word


@dataclass(frozen=True)
class Variant:
    """One setting of the study, resolved."""

    name: str
    label: str
    """As tables show it."""
    settings: dict[str, Any]
    """Plain values, defaults spelled out."""
    factors: dict[str, Any]
    """What differs between the variants: level of each factor of the grid, value of each setting that varies, and of
    each that the report asks for."""
    resolved: Resolved = field(repr=False)
    place: Path_
    """The part of the study that makes this variant what it is."""

    @cached_property
    def written(self) -> str:
        """The settings in the one form that they are hashed in."""
        return canonical(self.settings)


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
    ablates: str | None = None
    """The setting that differs from the baseline's."""


@dataclass(frozen=True)
class _Level:
    factor: str
    label: str
    layers: tuple[Layer, ...]
    place: Path_
    named: bool
    """The level has a label of its own, which is its value for the report; else that is the setting's."""


@dataclass(frozen=True)
class _Draft:
    arm: _Arm
    levels: tuple[_Level, ...]
    resolved: Resolved

    @cached_property
    def name(self) -> str:
        return " / ".join(filter(None, (self.arm.name, *(level.label for level in self.levels))))

    @property
    def place(self) -> Path_:
        return self.levels[-1].place if self.levels and self.arm.name is None else self.arm.place


_Checked = tuple[_Draft, dict[str, Any]]
"""A draft and its settings, complete and typed."""


def expand(loaded: LoadedStudy, budget: str) -> Expansion:
    """The variants under a budget. Raises StudyError with every fault of their settings, names and report.

    A study that searches has one variant here, the settings that it starts from.
    """
    trainable = trainables.of(loaded)
    drafts, problems = _drafts(loaded, budget, trainable)
    settings = [_settings(draft, trainable, loaded, problems) for draft in drafts]
    if problems:
        raise StudyError(problems)
    checked = [(draft, made) for draft, made in zip(drafts, settings, strict=True) if made is not None]
    kept, notes = _without_doubles(checked, loaded.positions, problems)
    if problems:
        raise StudyError(problems)
    variants = _variants(kept, loaded.study)
    baseline = _baseline(variants, kept, loaded, problems)
    _check_metrics(loaded, trainable, problems)
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
    trainable = trainables.of(loaded)
    for budget in loaded.study.budget_names:
        drafts, found = _drafts(loaded, budget, trainable)
        for draft in drafts:
            _settings(draft, trainable, loaded, found)
        problems += found
    return problems


# ---------------------------------------------------------------------------------------------------------- layers


def _drafts(loaded: LoadedStudy, budget_name: str, trainable: Trainable) -> tuple[list[_Draft], list[Problem]]:
    study, problems = loaded.study, list[Problem]()

    def over(given: Mapping[str, Any], *place: str) -> Layer:
        try:
            return layer(given, place)
        except DoubleSetting as error:
            problems.append(loaded.positions.problem(error.origin, str(error), at_key=True))
            return Layer({}, {})

    base = Resolved(trainable.base({"metric": study.select.metric, "on": study.select.on}))
    base.origins[("training", "select")] = ("select",)
    base = base.over(over(study.settings, "settings"))
    if isinstance(study.baseline, Baseline):
        base = base.over(over(study.baseline.settings, "baseline", "settings"))
    declared = None if trainable.settings_model is not None else base
    last = over(study.budget(budget_name).settings, "budgets", budget_name, "settings")
    of_levels = _levels_of_budget(study, budget_name, loaded.positions, problems, over)
    arms, axes = list(_arms(study, over)), list(_axes(study, over))
    if declared is not None:
        layers = [*(arm.layer for arm in arms), last, *of_levels.values()]
        layers += [one for axis in axes for level in axis for one in level.layers]
        problems += _undeclared(declared, layers, loaded.positions)

    def stacked(below: Resolved, arm: _Arm, levels: Sequence[_Level]) -> Resolved:
        above = below.over(arm.layer).over(last)
        for level in levels:
            above = above.over(of_levels.get((level.factor, level.label), _NOTHING))
        return above

    drafts: list[list[_Draft]] = [[] for _ in arms]
    there: list[set[tuple[str, ...]]] = [set() for _ in arms]
    for levels, below in _points(base, axes):
        for n_arm, arm in enumerate(arms):
            draft = _Draft(arm, levels, stacked(below, arm, levels))
            if study.when:
                dropped = {factor for factor, condition in study.when.items() if not _holds(condition, draft)}
                if arm.ablates in dropped:
                    continue
                if not dropped.isdisjoint(level.factor for level in levels):
                    rest = tuple(level for level in levels if level.factor not in dropped)
                    draft = _Draft(arm, rest, stacked(_with(base, rest), arm, rest))
            labels = tuple(level.label for level in draft.levels)
            if labels not in there[n_arm]:
                there[n_arm].add(labels)
                drafts[n_arm].append(draft)
    # an arm and its points of the grid stand together
    made = list(itertools.chain.from_iterable(drafts))
    _check_conditions(made, loaded, problems)
    kept = [draft for draft in made if not any(_holds(condition, draft) for condition in study.exclude)]
    return kept, problems


_NOTHING = Layer({}, {})


def _points(below: Resolved, axes: Sequence[Sequence[_Level]]) -> Iterator[tuple[tuple[_Level, ...], Resolved]]:
    """Every point of the grid with the settings there; what points share is merged once."""
    if not axes:
        yield (), below
        return
    for level in axes[0]:
        for rest, resolved in _points(_with(below, (level,)), axes[1:]):
            yield (level, *rest), resolved


def _with(below: Resolved, levels: Iterable[_Level]) -> Resolved:
    for level in levels:
        for one in level.layers:
            below = below.over(one)
    return below


def _arms(study: Study, over: Any) -> Iterator[_Arm]:
    if isinstance(study.baseline, Baseline):
        given = study.baseline
        yield _Arm(given.name, given.label, _NOTHING, ("baseline",), is_baseline=True)
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
            yield _Arm(name, label, single(path, value, place), place, ablates=path)
    for name, given in study.variants.items():
        yield _Arm(name, given.label, over(given.settings, "variants", name, "settings"), ("variants", name))
    if not isinstance(study.baseline, Baseline) and not study.ablate and not study.variants:
        # the points of a grid name themselves
        name, label = (None, None) if study.grid or study.zip else (study.study, study.title)
        yield _Arm(name, label, _NOTHING, ("settings",))


def _axes(study: Study, over: Any) -> Iterator[list[_Level]]:
    """What is crossed: each factor of the grid, and those that move together as one."""
    short = _short_names([*study.grid, *study.zip])
    for factor, levels in study.grid.items():
        if isinstance(levels, dict):
            yield [
                _Level(factor, label, (over(given, "grid", factor, label),), ("grid", factor, label), named=True)
                for label, given in levels.items()
            ]
        else:
            places = [("grid", factor, index) for index in range(len(levels))]
            yield [
                _Level(factor, f"{short[factor]}={word(value)}", (single(factor, value, place),), place, named=False)
                for value, place in zip(levels, places, strict=True)
            ]
    if study.zip:
        axis = []
        for index, values in enumerate(zip(*study.zip.values(), strict=True)):
            together = [
                (factor, value, ("zip", factor, index)) for factor, value in zip(study.zip, values, strict=True)
            ]
            label = ", ".join(f"{short[factor]}={word(value)}" for factor, value, _ in together)
            layers = tuple(single(factor, value, place) for factor, value, place in together)
            axis.append(_Level(_ZIP, label, layers, together[0][2], named=False))
        yield axis


_ZIP = "zip"
"""Stands for the factors that move together."""


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


def _undeclared(declared: Resolved, layers: Iterable[Layer], positions: Positions) -> list[Problem]:
    """Settings of a trainable that is not ours which only a variant has: a slip of the pen, as nothing else knows
    them."""
    known = _paths(declared.values)
    problems = []
    for one in layers:
        for path, origin in one.origins.items():
            name = ".".join(path)
            if name in known or any(".".join(path[:end]) in known for end in range(1, len(path))):
                continue
            message = f"'{name}' is set by no `settings`, wanted one that every variant has{did_you_mean(name, known)}"
            problems.append(positions.problem(origin, message, at_key=True))
    return problems


def _paths(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted paths of all parts and leaves."""
    found = []
    for key, value in values.items():
        path = f"{prefix}{key}"
        found.append(path)
        if isinstance(value, Mapping) and value:
            found += _paths(value, f"{path}.")
    return found


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


# ------------------------------------------------------------------------------------------------------ conditions


def _holds(condition: Mapping[str, Any], draft: _Draft) -> bool:
    """Whether a draft has the value, or one of the values, of each factor or setting of a condition."""
    for name, wanted in condition.items():
        found = _found(name, draft)
        if found is _ABSENT:
            return False
        values = wanted if isinstance(wanted, list) and not isinstance(found, list) else [wanted]
        if word(found) not in [word(value) for value in values]:
            return False
    return True


def _found(name: str, draft: _Draft) -> Any:
    for level in draft.levels:
        if level.named and level.factor == name:
            return level.label
    return _value(draft.resolved.values, name)


def _check_conditions(drafts: Sequence[_Draft], loaded: LoadedStudy, problems: list[Problem]) -> None:
    """Refuse conditions on what no variant has, `when` of what does not vary, and what excludes nothing or all."""
    study, positions = loaded.study, loaded.positions
    varying = [*study.grid, *study.ablate]
    for factor in study.when:
        if factor not in varying:
            message = f"found '{factor}', wanted a factor of `grid` or `ablate`{did_you_mean(factor, varying)}"
            problems.append(positions.problem(("when", factor), message, at_key=True))
    conditions: list[tuple[Path_, Mapping[str, Any]]] = [(("when", name), one) for name, one in study.when.items()]
    conditions += [(("exclude", index), one) for index, one in enumerate(study.exclude)]
    wrong = set()
    for place, condition in conditions:
        for name in condition:
            if all(_found(name, draft) is _ABSENT for draft in drafts):
                known = set().union(*(flat(draft.resolved.values) for draft in drafts), study.grid)
                message = f"no variant has '{name}', wanted a factor or a setting{did_you_mean(name, known)}"
                problems.append(positions.problem((*place, name), message, at_key=True))
                wrong.add(place)
    for place, condition in conditions[len(study.when) :]:
        if place not in wrong and not any(_holds(condition, draft) for draft in drafts):
            problems.append(positions.problem(place, "excludes nothing, wanted a condition that some variant meets"))
    if drafts and study.exclude and all(any(_holds(c, draft) for c in study.exclude) for draft in drafts):
        problems.append(positions.problem(("exclude",), "excludes every variant, wanted some to be left"))


# ---------------------------------------------------------------------------------------------------------- checks


def _settings(
    draft: _Draft, trainable: Trainable, loaded: LoadedStudy, problems: list[Problem]
) -> dict[str, Any] | None:
    values, positions = draft.resolved.values, loaded.positions
    try:
        made = trainable.resolve(values)
    except ValidationError as error:
        for found in error.errors():
            assert trainable.settings_model is not None
            explained = explain(found, values, trainable.settings_model)
            place = _place(draft.resolved, explained.path, explained.at_key)
            message = explained.message
            if place is None:
                place, message = draft.place, f"{dotted(explained.path)}: {message}"
            problems.append(positions.problem(place, message, at_key=explained.at_key))
        return None
    place, _ = draft.resolved.origin(("training", "select"))
    if trainable.settings_model is not None and place is not None and place[0] != "select":
        message = "is set for all variants alike by `select:` of the study, wanted nothing here"
        problems.append(positions.problem(place, message, at_key=True))
    return made


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
    checked: Sequence[_Checked], positions: Positions, problems: list[Problem]
) -> tuple[list[_Checked], tuple[str, ...]]:
    """Refuse two variants of one name or of equal settings; an ablation at the baseline's value *is* the baseline."""
    names: dict[str, _Draft] = {}
    settings: dict[str, _Draft] = {}
    kept, notes = [], []
    for draft, made in checked:
        written = canonical(made)
        same = settings.get(written)
        if same is not None and draft.arm.ablates is not None and same.arm.is_baseline and draft.levels == same.levels:
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
        names[draft.name] = settings[written] = draft
        kept.append((draft, made))
    return kept, tuple(notes)


def _baseline(
    variants: Sequence[Variant],
    kept: Sequence[_Checked],
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


def _check_metrics(loaded: LoadedStudy, trainable: Trainable, problems: list[Problem]) -> None:
    """Refuse metrics that the trainable does not have, where it is known which it has."""
    study, positions = loaded.study, loaded.positions
    if trainable.metrics is None:
        return
    asked: list[tuple[Path_, str]] = [
        (("report", "metrics", index), name) for index, name in enumerate(getattr(study.report, "metrics", ()))
    ]
    asked += [(("report", "metric"), study.report.metric)] if isinstance(study.report, ByDatasetSettings) else []
    asked += [(("published", index, "metric"), one.metric) for index, one in enumerate(study.published)]
    for place, name in asked:
        message = unknown_metric(name, trainable.metrics)
        if message is not None:
            problems.append(positions.problem(place, message))


def _check_report(
    loaded: LoadedStudy, variants: Sequence[Variant], baseline: str | None, problems: list[Problem]
) -> None:
    """Refuse a report that the variants cannot fill, at the line of `report` or of the published number."""
    study, positions = loaded.study, loaded.positions
    for name in ("x", "columns", "groups", "rows"):
        path = getattr(study.report, name, None)
        if path is not None and any(path not in variant.factors for variant in variants):
            known = set[str]().union(*((*variant.factors, *flat(variant.settings)) for variant in variants))
            message = f"found '{path}', wanted a factor of the grid or a setting{did_you_mean(path, known)}"
            problems.append(positions.problem(("report", name), message))
    if problems or study.search is not None:
        return
    shown = tuple(ReportVariant(variant.name, variant.label, variant.factors) for variant in variants)

    def fault(n_published: int) -> str | None:
        try:
            check_metrics(study.report, study.select.full_name)
            check_report(study.report, shown, baseline, study.published[:n_published])
        except ValueError as error:
            return str(error).removeprefix("published: ")
        return None

    if fault(len(study.published)) is not None:
        # the fewest numbers that cannot be shown end with the one at fault
        at, message = next((n, told) for n in range(len(study.published) + 1) if (told := fault(n)) is not None)
        problems.append(positions.problem(("published", at - 1) if at else ("report",), message))


# ------------------------------------------------------------------------------------------------- names for reports


def _variants(kept: Sequence[_Checked], study: Study) -> tuple[Variant, ...]:
    values = [made for _, made in kept]
    leaves = [flat(of) for of in values]
    asked = dict.fromkeys(
        [*study.ablate, *(factor for factor, levels in study.grid.items() if isinstance(levels, list)), *study.zip]
    )
    paths = itertools.chain.from_iterable({tuple(of): None for of in leaves})
    varying = [path for path in dict.fromkeys(paths) if _varies(path, values, leaves)]
    outer = [*asked, *varying]
    # what lies inside a part that varies as a whole is told by it
    varying = [path for path in varying if not any(path.startswith(f"{other}.") for other in outer)]
    paths = list(dict.fromkeys([*asked, *varying, *study.report.paths]))
    factors = []
    for (draft, made), of in zip(kept, leaves, strict=True):
        found = {
            path: value for path in paths if (value := of[path] if path in of else _value(made, path)) is not _ABSENT
        }
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


def _varies(path: str, values: Sequence[dict[str, Any]], leaves: Sequence[dict[str, Any]]) -> bool:
    """Whether a setting that all variants have differs between them. What only some kinds have is told by `kind`."""
    found = [leaf[path] if path in leaf else _value(of, path) for of, leaf in zip(values, leaves, strict=True)]
    return _ABSENT not in found and found.count(found[0]) < len(found)


def _labels(kept: Sequence[_Checked], factors: Sequence[dict[str, Any]], study: Study) -> list[str]:
    """Labels name what the table does not show beside: `by_dataset` has the data set in its columns already."""
    report = study.report
    axes = [] if not isinstance(report, ByDatasetSettings) else [report.columns, report.groups]
    shown = set()
    for factor in study.grid:
        for axis in filter(None, axes):
            pairs = {
                (level.label, word(of.get(axis)))
                for (draft, _), of in zip(kept, factors, strict=True)
                for level in draft.levels
                if level.factor == factor
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
