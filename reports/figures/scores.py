"""The scores of a study: seeds as dots, their mean as a marker with a bar.

    comparison   a variant a line; a dashed line through the baseline's mean
    sweep        the main metric over the factor; a line joins the values that are numbers, and only those
    by_dataset   a panel a data set, the same lines in each; published numbers as hollow diamonds

The bar is the 95 % interval of the mean over seeds; of a study of two seeds, where that says nothing, their standard
deviation. The legend says which.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from reports.comparison import (
    dataset_axes,
    dataset_published,
    is_number,
    ordered_variants,
    row_label,
)
from reports.figures.labels import budget_told, metric_label
from reports.figures.lines import Lines
from reports.figures.seeds import half_width, mean_title
from reports.figures.shown import Shown, shown
from reports.figures.style import (
    AXIS,
    BAR,
    BASELINE,
    COLUMN,
    MEAN,
    PAGE,
    PUBLISHED,
    REMARK,
    RULE,
    SEED,
    drawable,
    legend,
    sheet,
)
from reports.records import StudyResults
from reports.settings import ByDatasetSettings, SweepSettings
from reports.statistics import Spread, spread

ROOM = 56.0
"""Of the variants of a comparison on a page, in the units of `Lines`."""


def draw(results: StudyResults) -> Figure:
    """The figure of the report. It shows the main metric."""
    if isinstance(results.report, SweepSettings):
        return _sweep(results, results.report)
    if isinstance(results.report, ByDatasetSettings):
        return _by_dataset(results, results.report)
    return _comparison(results)


# --------------------------------------------------------------------------------------------------------------- kinds


def _comparison(results: StudyResults) -> Figure:
    main, *_ = results.report.shown_metrics
    variants = {variant.name: row_label(results, variant) for variant in ordered_variants(results)}
    chosen = _that_fit(results, variants)
    variants = {name: label for name, label in variants.items() if name in chosen.names[0]}
    of_systems = [number for number in results.published if number.system is not None and number.metric == main]
    lines = Lines([*variants.values(), *(f"{number.system} (published)" for number in of_systems)])
    figure = sheet(COLUMN, lines.height)
    axes = figure.subplots()
    for name, y in zip(variants, lines.places, strict=False):
        _line_of_dots(axes, results, name, y)
        for number in results.published:
            if number.variant == name and number.metric == main:
                axes.plot(number.value, y, **PUBLISHED)
    for number, y in zip(of_systems, lines.places[len(variants) :], strict=True):
        axes.plot(number.value, y, **PUBLISHED)
    _baseline_rule(axes, results)
    lines.label(axes)
    axes.set_xlabel(_axis_title(results))
    _legend(figure, results, chosen.told(results))
    return figure


def _that_fit(results: StudyResults, labels: Mapping[str, str]) -> Shown:
    """Of the variants of a comparison as many as a page has room for."""
    rooms = {name: Lines([label]).total for name, label in labels.items()}
    chosen = shown(results, [list(labels)], len(labels), len(labels))
    for most in range(len(labels) - 1, 0, -1):
        if sum(rooms[name] for name in chosen.names[0]) <= ROOM:
            break
        chosen = shown(results, [list(labels)], most, most)
    return chosen


def _by_dataset(results: StudyResults, report: ByDatasetSettings) -> Figure:
    names, rows, variants = dataset_axes(results, report)
    pairs = [(group, row) for group, in_group in rows.items() for row in in_group]
    labels = []
    for group, row in pairs:
        shown = report.name(row) if report.rows else row
        labels.append(shown if group is None else f"{report.name(group)}: {shown}")
    lines = Lines(labels)
    figure = sheet(COLUMN if len(names) == 1 else PAGE, lines.height + 0.2)
    panels = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for axes, name in zip(panels, names, strict=True):
        before = pairs[0][0]
        for (group, row), y, top in zip(pairs, lines.places, lines.tops, strict=True):
            variant = variants.get((group, row, name))
            if variant is not None:
                _line_of_dots(axes, results, variant, y)
            published = dataset_published(results, report, variant, group, row, name)
            if published is not None:
                axes.plot(published, y, **PUBLISHED)
            if group != before:
                axes.axhline(top, color="0.6", linewidth=0.6)
            before = group
        lines.label(axes)
        axes.set_title(drawable(report.name(name)))
        axes.set_xlabel(_axis_title(results, min(AXIS, 90 // len(names))))
    _legend(figure, results)
    return figure


def _sweep(results: StudyResults, report: SweepSettings) -> Figure:
    main, *_ = report.shown_metrics
    variants = ordered_variants(results)
    values = [variant.value(report.x) for variant in variants]
    numbers = all(is_number(value) for value in values)
    places = [float(value) if numbers else float(at) for at, value in enumerate(values)]
    labels = [textwrap.fill(drawable(report.name(value)), max(9, 48 // len(values))) for value in values]
    figure = sheet(COLUMN, 2.35 + 0.12 * max(label.count("\n") for label in labels))
    axes = figure.subplots()
    axes.grid(axis="y")
    beside = axes.transData + ScaledTranslation(5 / 72, 0, figure.dpi_scale_trans)
    joined: list[tuple[float, float]] = []
    for x, value, variant in zip(places, values, variants, strict=True):
        scores = _scores(results, variant.name)
        summary = spread(scores)
        if len(results.seeds) > 1:
            axes.plot([x] * len(scores), scores, transform=beside, zorder=2, **SEED)
        if summary.mean is None:
            axes.annotate("none\nfinished", (x, 0.03), xycoords=("data", "axes fraction"), ha="center", **REMARK)
        else:
            axes.errorbar(x, summary.mean, zorder=3, **_mean(results, variant.name), **_bar(results, summary, "yerr"))
            joined += [(x, summary.mean)] if is_number(value) else []
            _remark_missing(axes, results, variant.name, (x, summary.max or summary.mean))
        for number in results.published:
            if number.variant == variant.name and number.metric == main:
                axes.plot(x, number.value, zorder=4, **PUBLISHED)
    if joined:
        axes.plot(*zip(*joined, strict=True), color="black", zorder=1)
    margin = 0.08 * (max(places) - min(places)) if numbers and len(places) > 1 else 0.5
    axes.set_xlim(min(places) - margin, max(places) + margin)
    axes.margins(y=0.1)
    if not numbers or _apart(places, labels):
        axes.set_xticks(places, labels)
    axes.set_xlabel(drawable(report.x_title))
    axes.set_ylabel(_axis_title(results))
    _legend(figure, results)
    return figure


# --------------------------------------------------------------------------------------------------------------- parts


def _scores(results: StudyResults, variant: str) -> list[float]:
    main, *_ = results.report.shown_metrics
    return [trial.metrics[main] for trial in results.finished(variant)]


def _bar(results: StudyResults, summary: Spread, axis: str) -> dict[str, Any]:
    half = half_width(results, summary)
    return {} if half is None else {axis: half, **BAR}


def _mean(results: StudyResults, variant: str) -> dict[str, Any]:
    return BASELINE if variant == results.baseline else MEAN


def _line_of_dots(axes: Axes, results: StudyResults, variant: str, y: float) -> None:
    """Mean and bar of a variant on its line, its seeds just below; where there is none, that is written."""
    scores = _scores(results, variant)
    summary = spread(scores)
    if summary.mean is None:
        axes.annotate("no finished trial", (0.03, y), xycoords=("axes fraction", "data"), va="center", **REMARK)
        return
    if len(results.seeds) > 1:
        axes.plot(scores, [y + 0.55] * len(scores), zorder=2, **SEED)
    axes.errorbar(summary.mean, y, zorder=3, **_mean(results, variant), **_bar(results, summary, "xerr"))
    _remark_missing(axes, results, variant, (summary.mean, y))


def _remark_missing(axes: Axes, results: StudyResults, variant: str, place: tuple[float, float]) -> None:
    """A mean over fewer seeds than declared says over how many, just above."""
    n, n_declared = len(results.finished(variant)), len(results.seeds)
    if n < n_declared:
        axes.annotate(f"{n} of {n_declared}", place, (0, 4), textcoords="offset points", ha="center", **REMARK)


def _baseline_rule(axes: Axes, results: StudyResults) -> None:
    if results.baseline is not None:
        mean = spread(_scores(results, results.baseline)).mean
        if mean is not None:
            axes.axvline(mean, zorder=1, **RULE)


def _apart(places: Sequence[float], labels: Sequence[str]) -> bool:
    """Whether labels at these places of an axis, which rise, stay clear of each other."""
    inches = 2.4 / ((places[-1] - places[0]) or 1.0)
    widths = [0.06 * max(map(len, label.splitlines())) for label in labels]
    steps = zip(places, places[1:], widths, widths[1:], strict=False)
    return all((right - left) * inches > (one + other) / 2 + 0.06 for left, right, one, other in steps)


def _axis_title(results: StudyResults, width: int = AXIS) -> str:
    main, *_ = results.report.shown_metrics
    return textwrap.fill(drawable(metric_label(results, main)), width)


def _legend(figure: Figure, results: StudyResults, told: Sequence[str] = ()) -> None:
    """What the markers are, below; with the budget if it is a reduced one."""
    one = len(results.seeds) == 1
    mean = "one seed" if one else mean_title(results)
    entries = [Line2D([], [], linestyle="none" if one else "-", label=mean, **MEAN)]
    if results.baseline is not None and not isinstance(results.report, ByDatasetSettings):
        entries.append(Line2D([], [], label="baseline", **BASELINE))
    if not one:
        entries.append(Line2D([], [], label="seed", **SEED))
    main, *_ = results.report.shown_metrics
    if any(number.metric == main for number in results.published):
        entries.append(Line2D([], [], label="published", **PUBLISHED))
    legend(figure, entries, [*told, *budget_told(results)])
