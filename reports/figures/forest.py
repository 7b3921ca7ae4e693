"""Differences to the baseline with their intervals: the comparisons that the study declares, as a forest plot.

A line is a variant: a mark at its difference, a bar over the interval, and beside them both as numbers with the p that
the verdict rests on. The mark is filled where a difference is shown. Where no trials with so few seeds or documents
could have reached alpha, that is said in place of p.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports.comparison import decimals_of, metric_title, ordered_variants, shown_name
from reports.figures.labels import budget_told, factor_told, variant_title
from reports.figures.lines import Lines
from reports.figures.style import COLUMN, PAGE, STYLE, legend, sheet, wrapped
from reports.records import StudyResults
from reports.settings import ByDatasetSettings, SweepSettings
from reports.statistics.family import Comparison
from reports.table import probability, signed

SHOWN: dict[str, Any] = {"linestyle": "none", "marker": "s", "markersize": 4.2, "color": "black"}
NOT_SHOWN: dict[str, Any] = {**SHOWN, "markerfacecolor": "white", "markeredgewidth": 0.9}
UNREACHABLE: dict[str, Any] = {**SHOWN, "marker": "x", "markeredgewidth": 0.9}
INTERVAL: dict[str, Any] = {"color": "black", "linewidth": 0.9, "markeredgewidth": 0.9}
ZERO: dict[str, Any] = {"color": "black", "linewidth": 0.7}
NUMBERS: dict[str, Any] = {"fontsize": 6.5, "va": "center"}
MANY = 12
MOST = 32
"""More comparisons take the width of a page, and a line of text each; and no more than so many fit on one."""


def draw(results: StudyResults, comparisons: Mapping[tuple[str, str], Comparison]) -> Figure | None:
    """Of the main metric; `None` where no two trials are compared by it.

    `comparisons`: variant and metric → what came out.
    """
    main, *_ = results.report.shown_metrics
    compared = [
        (variant, comparisons[variant.name, main])
        for variant in ordered_variants(results)
        if (variant.name, main) in comparisons
    ]
    if all(comparison.difference is None for _, comparison in compared):
        return None
    n_left_out = max(len(compared) - MOST, 0)
    if n_left_out:
        ranked = sorted(compared, key=lambda one: 1.0 if one[1].p_adjusted is None else one[1].p_adjusted)[:MOST]
        compared = [one for one in compared if one in ranked]
    shown = [comparison for _, comparison in compared]
    many = len(shown) > MANY
    labels = [variant_title(results, variant) for variant, _ in compared]
    lines = Lines(labels, least=1.6, inches=2.4) if many else Lines(labels, least=2.6, inches=1.0)
    figure = sheet(PAGE if many else COLUMN, lines.height + 0.3)
    axes = figure.subplots()
    axes.axvline(0, zorder=1, **ZERO)
    limits, decimals = _limits(shown), decimals_of(results, main)
    for y, comparison in zip(lines.places, shown, strict=True):
        _line(axes, comparison, y, limits)
        axes.annotate(
            (",  " if many else "\n").join(_beside(comparison, decimals)), (1.04, y),
            xycoords=("axes fraction", "data"), annotation_clip=False, linespacing=1.25, **NUMBERS,
        )  # fmt: skip
    lines.label(axes)
    room = 0.08 * ((limits[1] - limits[0]) or 1.0)
    axes.set_xlim(limits[0] - room, limits[1] + room)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    width = (PAGE if many else COLUMN) - 0.9
    axes.set_xlabel(wrapped(_axis(results), width, STYLE["axes.labelsize"]))
    _legend(figure, results, shown, n_left_out)
    return figure


def _line(axes: Axes, comparison: Comparison, y: float, limits: tuple[float, float]) -> None:
    if comparison.difference is None:
        return
    if comparison.low is not None and comparison.high is not None:
        # an interval of percentiles need not hold the difference
        ends = {"<": max(comparison.low, limits[0]), ">": min(comparison.high, limits[1])}
        axes.plot(list(ends.values()), [y, y], zorder=2, **INTERVAL)
        for arrow, end in ends.items():
            cut = end not in (comparison.low, comparison.high)
            mark = {"marker": arrow, "markersize": 3.0} if cut else {"marker": "|", "markersize": 5.0}
            axes.plot(end, y, zorder=2, **INTERVAL, **mark)
    axes.plot(comparison.difference, y, zorder=3, **_mark(comparison))


def _mark(comparison: Comparison) -> dict[str, Any]:
    if comparison.verdict == "cannot reach alpha":
        return UNREACHABLE
    return NOT_SHOWN if comparison.verdict == "no difference shown" else SHOWN


def _limits(compared: Iterable[Comparison]) -> tuple[float, float]:
    """Ends of what is drawn, with 0 between them. An interval over two seeds can be a hundred times as wide as what it
    is about; its bar ends in an arrow."""
    of = [comparison for comparison in compared if comparison.difference is not None]
    differences = [comparison.difference or 0.0 for comparison in of]
    ends = [(one.low, one.high) for one in of if one.low is not None and one.high is not None]
    narrowest = min((max(abs(low), abs(high)) for low, high in ends), default=0.0)
    enough = max(4 * max(map(abs, differences)), 2 * narrowest) or 1.0
    low = min([0.0, *differences, *(low for low, _ in ends)])
    high = max([0.0, *differences, *(high for _, high in ends)])
    if max(-low, high) > 1.5 * enough:
        low, high = max(low, -enough), min(high, enough)
    return low, high


def _beside(comparison: Comparison, decimals: int) -> list[str]:
    """Difference and interval, and p, as numbers; these as in the table."""
    if comparison.difference is None:
        return ["no seed of both"]
    numbers = signed(comparison.difference, decimals)
    if comparison.low is not None and comparison.high is not None:
        numbers += f" [{signed(comparison.low, decimals)}, {signed(comparison.high, decimals)}]"
    if comparison.verdict == "cannot reach alpha":
        return [numbers, f"cannot reach {comparison.alpha:g}"]
    assert comparison.p_adjusted is not None, "without p alpha cannot be reached"
    shown = probability(comparison.p_adjusted)
    return [numbers, f"p < {shown[1:]}" if shown.startswith("<") else f"p = {shown}"]


def _axis(results: StudyResults) -> str:
    report = results.report
    main, *_ = report.shown_metrics
    info = report.info(main)
    if isinstance(report, ByDatasetSettings):
        baseline = report.name(report.baseline) if report.rows else report.baseline
    else:
        baseline = None if results.baseline is None else shown_name(results, results.variant(results.baseline))
        baseline = f"{report.x_title} {baseline}" if isinstance(report, SweepSettings) else baseline
    unit = " (points)" if info.percent else ""
    lower = "; lower is better" if info.better == "lower" else ""
    return f"difference to {baseline} in {metric_title(report, main)}{unit}{lower}"


def _legend(figure: Figure, results: StudyResults, compared: Sequence[Comparison], n_left_out: int) -> None:
    verdicts = {one.verdict for one in compared if one.difference is not None}
    first = compared[0]
    level = f"{100 * (1 - first.alpha):.3g} % interval"
    entries = []
    if verdicts & {"better", "worse"}:
        entries.append(Line2D([], [], label="difference shown", **SHOWN))
    if "no difference shown" in verdicts:
        entries.append(Line2D([], [], label="none shown", **NOT_SHOWN))
    if "cannot reach alpha" in verdicts:
        entries.append(Line2D([], [], label="not tested", **UNREACHABLE))
    if any(one.low is not None for one in compared):
        entries.append(Line2D([], [], label=level, **INTERVAL))
    corrected = first.correction == "holm" and first.n_comparisons > 1
    over = [
        _several("document", [one.n_documents for one in compared]),
        _several("seed", [one.n_seeds for one in compared]),
    ]
    units = " and ".join(part for part in over if part)
    correction = f", by Holm over {first.n_comparisons} comparisons" if corrected else ""
    told = [f"p: {first.test}{f', {units}' if units else ''}{correction}"]
    reasons = {one.why for one in compared}
    told += [f"{first.alpha:g} is out of reach: {first.why}"] if len(reasons) == 1 and first.why is not None else []
    told += factor_told(results, "rows")
    if n_left_out:
        told.append(f"those of the smallest p; {n_left_out} further comparisons are in differences.csv")
    legend(figure, entries, [*told, *budget_told(results)])


def _several(what: str, numbers: Iterable[int | None]) -> str:
    """`500 documents`, or `2 to 5 seeds` where comparisons differ."""
    found = sorted({one for one in numbers if one})
    if not found:
        return ""
    range_ = f"{found[0]}" if len(found) == 1 else f"{found[0]} to {found[-1]}"
    return f"{range_} {what}{'' if found == [1] else 's'}"
