"""From a study to its variants: layers merged, settings resolved and checked, every fault at the line that made it."""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from orchestrator import trainables
from orchestrator.errors import Problem, StudyError, did_you_mean
from orchestrator.explain import explain, listed, shown
from orchestrator.identity import canonical
from orchestrator.overrides import (
    NOTHING,
    DoubleSetting,
    Layer,
    Resolved,
    SettingPath,
    discriminator,
    flat,
    layer,
    single,
    value_at,
)
from orchestrator.parts import ABSENT, InParts, Part, Parts
from orchestrator.positions import Path_, Positions, dotted
from orchestrator.schema import FULL, MOST_TRIALS, Baseline, ChoiceSpace, LoadedStudy, ModelTrainable, Study
from orchestrator.trainables import Trainable
from orchestrator.trainables.command import Command
from orchestrator.trainables.foreign import PLACEHOLDER, filled
from reports.records import Variant as ReportVariant
from reports.records import check_metrics, check_report
from reports.settings import ByDatasetSettings, ComparisonSettings, unknown_metric, word

MOST_VARIANTS = 100_000
"""So many take half a minute and 1 GB to resolve."""

MOST_NAME_CHARACTERS = 200


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


_Checked = tuple[_Draft, InParts]
"""A draft and its settings, complete and typed."""


@contextmanager
def without_collection() -> Iterator[None]:
    """No search for garbage in cycles meanwhile: what a study is expanded to is all kept, and to look through it again
    and again takes a quarter of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@without_collection()
def expand(loaded: LoadedStudy, budget: str) -> Expansion:
    """The variants under a budget. Raises StudyError with every fault of their settings, names and report.

    A study that searches has one variant here, the settings that it starts from.
    """
    trainable = trainables.of(loaded)
    _refuse_size(loaded, budget)
    drafts, left_out, problems = _drafts(loaded, budget, trainable)
    if not problems:
        _check_names(drafts, left_out, loaded, problems)
    _check_metrics(loaded, trainable, problems)
    parts, checked = Parts(), list[_Checked]()
    for draft in drafts:
        made = _settings(draft, trainable, loaded, problems)
        if made is not None:
            # at once, so that what it has in common with the others is not kept twice
            checked.append((draft, parts.of(made)))
    _check_space(drafts, trainable, loaded, problems)
    if problems:
        raise StudyError(problems)
    kept, notes = _without_doubles(checked, loaded.positions, problems)
    if problems:
        raise StudyError(problems)
    variants = _variants(kept, loaded.study)
    baseline = _baseline(kept, loaded.study)
    _check_report(loaded, variants, baseline, problems)
    if problems:
        raise StudyError(problems)
    return Expansion(variants, baseline, notes)


def check(loaded: LoadedStudy) -> dict[str, Expansion]:
    """The variants under every budget. Raises StudyError with the faults under all of them."""
    expansions: dict[str, Expansion] = {}
    problems: dict[Problem, Problem] = {}
    for budget in loaded.study.budget_names:
        try:
            expansions[budget] = expand(loaded, budget)
        except StudyError as error:
            for problem in error.problems:
                # what is right in the whole protocol and wrong here is not seen from the line at fault
                only_here = budget != FULL and not problem.path.startswith(f"budgets.{budget}.")
                told = replace(problem, message=f"{problem.message} (under the budget '{budget}')")
                problems.setdefault(problem, told if only_here else problem)
    if problems:
        raise StudyError(problems.values())
    return expansions


_APART = {"study", "title", "question", "description", "seeds", "select", "budgets", "resources", "published"}
"""Keys of a study on which no other depends."""


def other_problems(loaded: LoadedStudy, lost: set[str]) -> list[Problem]:
    """The faults of what is left of a study that has others as well. In `lost` are the keys under which something was
    taken out; what only its absence makes a fault is none."""
    study = loaded.study
    if lost <= {*_APART, "report", "search"}:
        try:
            check(loaded)
        except StudyError as error:
            return [one for one in error.problems if lost <= _APART or not one.path.startswith(("report", "published"))]
        return []
    trainable = trainables.of(loaded)
    problems: list[Problem] = []
    if not lost & {"report", "trainable"} and (trainable.metrics is not None or "select" not in lost):
        _check_metrics(loaded, trainable, problems)
    if lost & {"settings", "when", "exclude"} or study.when or study.exclude:
        # settings that do not go together may be left out by a condition
        return problems
    budgets = {name: budget.model_copy(update={"grid": {}}) for name, budget in study.budgets.items()}
    baseline = study.baseline if isinstance(study.baseline, Baseline) else None
    rest = replace(loaded, study=study.model_copy(update={"budgets": budgets, "baseline": baseline}))
    for budget in study.budget_names:
        try:
            _refuse_size(rest, budget)
        except StudyError as error:
            return [*problems, *error.problems]
        drafts, _, found = _drafts(rest, budget, trainable)
        problems += found
        for draft in drafts:
            _settings(draft, trainable, rest, problems)
    return problems


def _refuse_size(loaded: LoadedStudy, budget_name: str) -> None:
    """Refuse what would eat all memory, before anything is made of it."""
    study, budget = loaded.study, loaded.study.budget(budget_name)
    n_arms = isinstance(study.baseline, Baseline) + sum(map(len, study.ablate.values())) + len(study.variants)
    n_points = math.prod(map(len, study.grid.values())) * len(next(iter(study.zip.values()), (None,)))
    n_variants = max(n_arms, 1) * n_points
    if n_variants > MOST_VARIANTS:
        each = f", each with {n_arms:,} variants" if n_arms > 1 else ""
        message = (
            f"found {n_points:,} points{each}, wanted at most {MOST_VARIANTS:,} variants; leave factors or values out, "
            f"or let factors move together in `zip`"
        )
        raise StudyError([loaded.positions.problem(("grid" if study.grid else "zip",), message, at_key=True)])
    n_seeds = len(budget.seeds or study.seeds)
    if n_variants * n_seeds > MOST_TRIALS:
        place: Path_ = ("budgets", budget_name, "seeds") if budget.seeds else ("seeds",)
        message = f"found {n_variants:,} variants with {n_seeds:,} seeds each, wanted at most {MOST_TRIALS:,} trials"
        raise StudyError([loaded.positions.problem(place, message)])


# ---------------------------------------------------------------------------------------------------------- layers


def _drafts(
    loaded: LoadedStudy, budget_name: str, trainable: Trainable
) -> tuple[list[_Draft], list[_Draft], list[Problem]]:
    """The variants, those that a condition leaves out, and what is wrong so far."""
    study, problems = loaded.study, list[Problem]()

    def over(given: Mapping[str, Any], *place: str) -> Layer:
        try:
            return layer(given, place)
        except DoubleSetting as error:
            problems.append(loaded.positions.problem(error.origin, str(error), at_key=True))
            return NOTHING

    def one(path: str, value: Any, place: Path_) -> Layer:
        try:
            return single(path, value, place)
        except DoubleSetting as error:
            # the value does not stand under its path in the file
            origin = place + error.origin[len(place) + 1 :]
            problems.append(loaded.positions.problem(origin, str(error), at_key=True))
            return NOTHING

    base = Resolved(trainable.base({"metric": study.select.metric, "on": study.select.on}))
    base.origins[("training", "select")] = ("select",)
    base = base.over(over(study.settings, "settings"))
    if isinstance(study.baseline, Baseline):
        base = base.over(over(study.baseline.settings, "baseline", "settings"))
    declared = None if trainable.settings_model is not None else base
    last = over(study.budget(budget_name).settings, "budgets", budget_name, "settings")
    of_levels = _levels_of_budget(study, budget_name, loaded.positions, problems, over)
    arms, axes = list(_arms(study, over, one)), list(_axes(study, over, one))
    problems += _unfit_names(arms, axes, loaded.positions)
    if declared is not None:
        layers = [*(arm.layer for arm in arms), last, *of_levels.values()]
        layers += [each for axis in axes for level in axis for each in level.layers]
        if study.search is not None:
            layers += [one(path, None, ("search", "space", path)) for path in study.search.space]
        problems += _undeclared(declared, layers, loaded)

    def stacked(below: Resolved, arm: _Arm, levels: Sequence[_Level]) -> Resolved:
        above = below.over(arm.layer).over(last)
        for level in levels:
            above = above.over(of_levels.get((level.factor, level.label), NOTHING))
        return above

    drafts: list[list[_Draft]] = [[] for _ in arms]
    there: list[set[tuple[str, ...]]] = [set() for _ in arms]
    never = set(study.when)
    for levels, below in _points(base, axes):
        for n_arm, arm in enumerate(arms):
            draft = _Draft(arm, levels, stacked(below, arm, levels))
            if study.when:
                dropped = {factor for factor, condition in study.when.items() if not _holds(condition, draft)}
                never &= dropped
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
    _check_conditions(made, never if budget_name == FULL else None, loaded, problems)
    kept, left_out = [], []
    for draft in made:
        (left_out if any(_holds(condition, draft) for condition in study.exclude) else kept).append(draft)
    return kept, left_out, problems


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


def _arms(study: Study, over: Any, one: Any) -> Iterator[_Arm]:
    if isinstance(study.baseline, Baseline):
        given = study.baseline
        yield _Arm(given.name, given.label, NOTHING, ("baseline",), is_baseline=True)
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
            yield _Arm(name, label, one(path, value, place), place, ablates=path)
    for name, given in study.variants.items():
        yield _Arm(name, given.label, over(given.settings, "variants", name, "settings"), ("variants", name))
    if not isinstance(study.baseline, Baseline) and not study.ablate and not study.variants:
        # the points of a grid name themselves
        name, label = (None, None) if study.grid or study.zip else (study.study, study.title)
        yield _Arm(name, label, NOTHING, ("settings",))


def _axes(study: Study, over: Any, one: Any) -> Iterator[list[_Level]]:
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
                _Level(factor, f"{short[factor]}={word(value)}", (one(factor, value, place),), place, named=False)
                for value, place in zip(levels, places, strict=True)
            ]
    if study.zip:
        axis = []
        for index, values in enumerate(zip(*study.zip.values(), strict=True)):
            together = [
                (factor, value, ("zip", factor, index)) for factor, value in zip(study.zip, values, strict=True)
            ]
            label = ", ".join(f"{short[factor]}={word(value)}" for factor, value, _ in together)
            layers = tuple(one(factor, value, place) for factor, value, place in together)
            axis.append(_Level(_ZIP, label, layers, together[0][2], named=False))
        yield axis


_ZIP = "zip:"
"""Stands for the factors that move together; no factor has this name."""


def _unfit_names(arms: Sequence[_Arm], axes: Sequence[Sequence[_Level]], positions: Positions) -> list[Problem]:
    """Values that are too long to be a name."""
    named: list[tuple[str | None, Path_]] = [(arm.name, arm.place) for arm in arms]
    named += [(level.label, level.place) for axis in axes for level in axis]
    message = "would be the name of a variant, wanted a mapping from short labels to values here"
    return [
        positions.problem(place, f"found {shown(name)}, which {message}")
        for name, place in named
        if name is not None and (len(name) > MOST_NAME_CHARACTERS or "\n" in name or "\t" in name)
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
                message = f"found '{label}', wanted a level of {factor}: {listed(known)}{did_you_mean(label, known)}"
                problems.append(positions.problem((*place, label), message, at_key=True))
                continue
            layers[factor, label] = over(given, *place, label)
    return layers


def _undeclared(declared: Resolved, layers: Iterable[Layer], loaded: LoadedStudy) -> list[Problem]:
    """Settings of a trainable that is not ours which only a variant has: a slip of the pen, as nothing else knows
    them."""
    known = _paths(declared.values)
    problems = []
    for one in layers:
        told: set[SettingPath] = set()
        for path, origin in one.origins.items():
            if any(path[:end] in told for end in range(1, len(path))) or _is_declared(
                declared.values, one.values, path
            ):
                continue
            told.add(path)
            name = ".".join(path)
            message = (
                f"'{name}' is not in `settings`, which declare those of a {loaded.study.trainable.kind}"
                f"{did_you_mean(name, known)}"
            )
            problems.append(loaded.positions.problem(origin, message, at_key=True))
    return problems


def _is_declared(declared: Any, given: Any, path: SettingPath) -> bool:
    """Whether a setting is there below a layer, or inside a part that the layer may fill: an empty one, or one that it
    replaces by another kind."""
    for n_part, part in enumerate(path):
        if n_part:
            if not isinstance(declared, Mapping) or not declared:
                return True
            tag = discriminator(path[:n_part])
            if isinstance(given, Mapping) and tag in given and given[tag] != declared.get(tag):
                return True
        if part not in declared:
            return False
        declared, given = declared[part], given.get(part) if isinstance(given, Mapping) else None
    return True


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
        if found is ABSENT:
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


def _check_conditions(
    drafts: Sequence[_Draft], never: set[str] | None, loaded: LoadedStudy, problems: list[Problem]
) -> None:
    """Refuse conditions on what no variant has, `when` of what does not vary, and what excludes nothing or all.

    `never` are the factors whose `when` holds nowhere. It is `None` under a reduced budget, which may set what a
    condition asks for, so that some meet nothing.
    """
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
            if all(_found(name, draft) is ABSENT for draft in drafts):
                known = set().union(*(_paths(draft.resolved.values) for draft in drafts), study.grid)
                message = f"no variant has '{name}', wanted a factor or a setting{did_you_mean(name, known)}"
                problems.append(positions.problem((*place, name), message, at_key=True))
                wrong.add(place)
    for place, condition in conditions[len(study.when) :] if never is not None else ():
        if place not in wrong and not any(_holds(condition, draft) for draft in drafts):
            problems.append(positions.problem(place, "excludes nothing, wanted a condition that some variant meets"))
    for factor in sorted(never or ()):
        if ("when", factor) not in wrong and factor in varying:
            message = f"holds nowhere, so that '{factor}' never counts, wanted a condition that some variant meets"
            problems.append(positions.problem(("when", factor), message))
    if not drafts:
        problems.append(positions.problem(("when",), "leaves no variant, wanted some to be left", at_key=True))
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
            elif found["type"] in ("missing", "union_tag_not_found") and not _names(place, explained.path):
                message = f"in {dotted(explained.path)} {message}"
            problems.append(positions.problem(place, message, at_key=explained.at_key))
        return None
    if trainable.settings_model is None:
        return made if _foreign_fit(made, draft, trainable, loaded, problems) else None
    if draft.resolved.is_set(("training", "select")):
        place, _ = draft.resolved.origin(("training", "select"))
        message = "is set for all variants alike by `select:` of the study, wanted nothing here"
        problems.append(positions.problem(place or draft.place, message, at_key=True))
    return made


def _place(resolved: Resolved, path: Path_, at_key: bool) -> Path_ | None:
    """Where the study sets what a path of the settings leads to."""
    names: SettingPath = tuple(str(part) for part in path)
    place, matched = resolved.origin(names)
    if place is None:
        return None
    place += path[len(matched) :]
    n_keys = 3 if place[0] == "search" else 2
    if at_key and place[0] in ("ablate", "grid", "zip", "search") and len(place) > n_keys and not place[n_keys + 1 :]:
        # the name at fault is the factor's path, not the value in its list
        return place[:n_keys]
    return place


def _names(place: Path_, path: Path_) -> bool:
    """Whether a place of the study is named like the setting that stands there."""
    factor = place[2] if place[0] == "search" else place[1]
    return dotted(place).endswith(dotted(path)) or factor == dotted(path)


def _foreign_fit(
    made: dict[str, Any], draft: _Draft, trainable: Trainable, loaded: LoadedStudy, problems: list[Problem]
) -> bool:
    """What can be known of the settings of a trainable that is not ours: numbers are finite, placeholders are there."""
    given, problem, n_before = loaded.study.trainable, loaded.positions.problem, len(problems)
    assert not isinstance(given, ModelTrainable)
    for path, value in flat(made).items():
        if not _is_finite(value):
            names = tuple(path.split("."))
            place = _place(draft.resolved, names, False) or draft.place
            problems.append(problem(place, f"found {shown(value)}, wanted finite numbers"))
    for index, template in enumerate(given.inputs):
        for name in PLACEHOLDER.findall(template):
            try:
                filled(f"{{{name}}}", made)
            except ValueError as error:
                problems.append(problem(("trainable", "inputs", index), str(error)))
    if isinstance(trainable, Command):
        for name in PLACEHOLDER.findall(trainable.template):
            for _, message in replace(trainable, template=f"{{{name}}}").faults(made):
                problems.append(problem(("trainable", "command"), message))
    return len(problems) == n_before


def _is_finite(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, float) or math.isfinite(value)


def _check_space(drafts: Sequence[_Draft], trainable: Trainable, loaded: LoadedStudy, problems: list[Problem]) -> None:
    """Refuse a search that draws what a setting cannot be: each end of its range, each of its choices is tried."""
    if loaded.study.search is None:
        return
    for path, space in loaded.study.search.space.items():
        place = ("search", "space", path)
        if isinstance(space, ChoiceSpace):
            drawn = [((*place, "values", index), value) for index, value in enumerate(space.values)]
        else:
            drawn = [((*place, "low"), space.low), ((*place, "high"), space.high)]
        for at, value in drawn:
            try:
                above = single(path, value, at)
            except DoubleSetting as error:
                problems.append(loaded.positions.problem(at, str(error)))
                continue
            for draft in drafts:
                laid_over = draft.resolved.over(above)
                _settings(replace(draft, resolved=laid_over), trainable, loaded, problems)
                if trainable.data_settings(laid_over.values) != trainable.data_settings(draft.resolved.values):
                    message = "decides which data is read, and scores on other data do not compare, wanted another"
                    problems.append(loaded.positions.problem(place, message, at_key=True))


def _without_doubles(
    checked: Sequence[_Checked], positions: Positions, problems: list[Problem]
) -> tuple[list[_Checked], tuple[str, ...]]:
    """Refuse two variants of one name or of equal settings; an ablation at the baseline's value *is* the baseline."""
    names: dict[str, _Draft] = {}
    settings: dict[str, _Draft] = {}
    kept, notes = [], []
    told: set[Path_] = set()

    def fault(place: Path_, message: str) -> None:
        if place not in told:
            # once for a level, not once at each point of the grid
            told.add(place)
            problems.append(positions.problem(place, message, at_key=True))

    for draft, made in checked:
        written = made.written
        same = settings.get(written)
        if same is not None and draft.arm.ablates is not None and same.arm.is_baseline and draft.levels == same.levels:
            notes.append(f"{draft.name} is the baseline, '{same.name}', which stands for it")
            continue
        if same is not None:
            place, other = _differing(draft, same)
            fault(
                place,
                f"'{draft.name}' has the same settings as '{same.name}' ({dotted(other)}), wanted variants that differ",
            )
            continue
        if draft.name in names:
            place, other = _differing(draft, names[draft.name])
            fault(place, f"the name '{draft.name}' is taken ({dotted(other)}), wanted another")
            continue
        names[draft.name] = settings[written] = draft
        kept.append((draft, made))
    return kept, tuple(notes)


def _differing(draft: _Draft, other: _Draft) -> tuple[Path_, Path_]:
    """Where two variants part: at their arms, or at a level of the grid."""
    if draft.arm is other.arm and len(draft.levels) == len(other.levels):
        for one, another in zip(draft.levels, other.levels, strict=True):
            if one is not another:
                return one.place, another.place
    return draft.place, other.place


def _check_names(
    drafts: Sequence[_Draft], left_out: Sequence[_Draft], loaded: LoadedStudy, problems: list[Problem]
) -> None:
    """Refuse a baseline, or published numbers, of a variant that is not there."""
    study = loaded.study
    names = list(dict.fromkeys(draft.name for draft in drafts))
    known, excluded = set(names), {draft.name for draft in left_out}
    asked: list[tuple[Path_, str | None]] = [(("baseline",), study.baseline)] if isinstance(study.baseline, str) else []
    asked += [(("published", index, "variant"), one.variant) for index, one in enumerate(study.published)]
    for place, name in asked:
        if name is None or name in known:
            continue
        of_grid = [draft.name for draft in drafts if draft.arm.name == name]
        if of_grid:
            message = f"'{name}' stands at each point of the grid, wanted one of {listed(of_grid)}"
        elif name in excluded:
            message = f"'{name}' is left out by `exclude`, wanted one of {listed(names)}"
        else:
            message = f"found '{name}', wanted a variant of the study: {listed(names)}"
            of_others = "; a system that is not run is named by `system`" if place[0] == "published" else ""
            message += did_you_mean(name, names) or of_others
        problems.append(loaded.positions.problem(place, message))


def _baseline(kept: Sequence[_Checked], study: Study) -> str | None:
    if isinstance(study.baseline, str):
        return study.baseline
    arms = [draft.name for draft, _ in kept if draft.arm.is_baseline]
    return arms[0] if len(arms) == 1 else None


def _check_metrics(loaded: LoadedStudy, trainable: Trainable, problems: list[Problem]) -> None:
    """Refuse metrics that the trainable does not have, where it is known which it has, and those that no table has."""
    study, positions = loaded.study, loaded.positions
    shown_metrics = study.report.shown_metrics
    for index, one in enumerate(study.published):
        if one.metric not in shown_metrics and (trainable.metrics is None or one.metric in trainable.metrics):
            message = f"the report does not show {one.metric}, wanted one of its metrics: {listed(shown_metrics)}"
            problems.append(positions.problem(("published", index, "metric"), message))
    try:
        check_metrics(study.report, study.select.full_name)
    except ValueError as error:
        message = str(error).removeprefix("metric_info: ")
        problems.append(positions.problem(("report", "metric_info"), message))
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
    if isinstance(study.report, ComparisonSettings):
        labels: dict[str, Variant] = {}
        for variant in variants:
            same = labels.setdefault(variant.label, variant)
            if same is not variant:
                message = f"the label '{variant.label}' is that of '{same.name}' as well, wanted another for its row"
                problems.append(positions.problem((*variant.place, "label"), message))
    if problems or study.search is not None:
        return
    shown = tuple(ReportVariant(variant.name, variant.label, variant.factors) for variant in variants)

    def fault(n_published: int) -> str | None:
        try:
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
    asked = dict.fromkeys(
        [*study.ablate, *(factor for factor, levels in study.grid.items() if isinstance(levels, list)), *study.zip]
    )
    varying = _varying(values)
    outer = [*asked, *varying]
    # what lies inside a part that varies as a whole is told by it
    varying = [path for path in varying if not any(path.startswith(f"{other}.") for other in outer)]
    paths = list(dict.fromkeys([*asked, *varying, *study.report.paths]))
    factors = []
    for draft, made in kept:
        found = {path: value for path in paths if (value := made.value(path)) is not ABSENT}
        factors.append(found | {level.factor: level.label for level in draft.levels if level.named})
    labels = _labels(kept, factors, study)
    return tuple(
        _variant(draft, label, made, found) for (draft, made), label, found in zip(kept, labels, factors, strict=True)
    )


def _variant(draft: _Draft, label: str, made: InParts, factors: dict[str, Any]) -> Variant:
    variant = Variant(draft.name, label, made.settings, factors, draft.resolved, draft.place)
    # known already, and takes longer than all else about a variant
    vars(variant)["written"] = made.written
    return variant


def _varying(values: Sequence[InParts]) -> list[str]:
    """Settings that all variants have, and that differ between them. What only some kinds have is told by `kind`."""
    shapes = dict.fromkeys(tuple([part.paths for part in of.parts.values()]) for of in values)
    paths = dict.fromkeys(path for shape in shapes for of_part in shape for path in of_part)
    distinct: dict[str, dict[Part, None]] = {}
    for of in values:
        for name, part in of.parts.items():
            distinct.setdefault(name, {})[part] = None
    varying = []
    for path in paths:
        name = path.partition(".")[0]
        found = [part.at(path) for part in distinct[name]]
        if ABSENT not in found and found.count(found[0]) < len(found) and all(name in of.parts for of in values):
            varying.append(path)
    return varying


def _value(values: dict[str, Any], path: str) -> Any:
    try:
        return value_at(values, path)
    except KeyError:
        return ABSENT


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
