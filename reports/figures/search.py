"""The figure of a search: its scores on dev in the order of suggestion, and over each setting that was searched.

A circle is a trial that was trained to its end, at its selected epoch; a cross one that was pruned, at the epoch where
it ended. The line is the best so far; the best of all is filled, and what prints the same score. What has no score is
not drawn.
"""

from __future__ import annotations

import math
import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from reports.figures.style import COLUMN, PAGE, REMARK, drawable, legend, sheet, written
from reports.search import Parameter, SearchResults, Tried
from reports.settings import METRICS, word

FINISHED: dict[str, Any] = {
    "linestyle": "none",
    "color": "0.25",
    "marker": "o",
    "markersize": 4.0,
    "markerfacecolor": "white",
    "markeredgewidth": 0.8,
}
PRUNED: dict[str, Any] = {
    "linestyle": "none",
    "color": "0.45",
    "marker": "x",
    "markersize": 3.6,
    "markeredgewidth": 0.8,
}
BEST: dict[str, Any] = {"linestyle": "none", "color": "black", "marker": "o", "markersize": 5.4}
SO_FAR: dict[str, Any] = {"color": "black", "linewidth": 1.0}
PER_ROW = 4
"""Panels of settings beside each other, at most."""


def files(results: SearchResults, origin: str) -> dict[str, bytes]:
    """`search.pdf` and `search.png`."""
    return written("search", lambda: draw(results), origin)


def draw(results: SearchResults) -> Figure:
    n_rows = math.ceil(len(results.space) / PER_ROW)
    n_columns = math.ceil(len(results.space) / n_rows)
    figure = sheet(COLUMN if n_columns == 1 else PAGE, 2.2 + 1.55 * n_rows)
    grid = figure.add_gridspec(1 + n_rows, n_columns, height_ratios=[1.15, *[1.0] * n_rows])
    above = figure.add_subplot(grid[0, :])
    _in_order(above, results)
    for place, parameter in enumerate(results.space):
        axes = figure.add_subplot(grid[1 + place // n_columns, place % n_columns], sharey=above)
        _over(axes, results, parameter)
        if place % n_columns:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel(_title(results, 22))
    _legend(figure, results)
    return figure


def _in_order(axes: Axes, results: SearchResults) -> None:
    axes.grid(axis="y")
    best_so_far: list[tuple[int, float]] = []
    for one in results.tried:
        if one.standing == "finished" and one.score is not None:
            before = best_so_far[-1][1] if best_so_far else one.score
            best = max(before, one.score, key=lambda score: results.sign * score)
            best_so_far.append((one.index, best))
    if best_so_far:
        best_so_far.append((max(results.tried[-1].index, best_so_far[-1][0]), best_so_far[-1][1]))
        axes.step(*zip(*best_so_far, strict=True), where="post", zorder=1, **SO_FAR)
    else:
        axes.annotate("no trial has finished", (0.5, 0.5), xycoords="axes fraction", ha="center", **REMARK)
    for one in results.tried:
        _dot(axes, results, one, one.index)
    axes.set_xlim(0.2, max(results.n_declared, len(results.tried)) + 0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.08)
    scores = {one.score for one in results.tried if one.score is not None}
    if len(scores) == 1:
        axes.set_ylim(min(scores) - 1, min(scores) + 1)
    axes.set_xlabel("suggestion")
    axes.set_ylabel(_title(results, 22))


def _over(axes: Axes, results: SearchResults, parameter: Parameter) -> None:
    axes.grid(axis="y")
    if parameter.kind == "choice":
        places = {word(value): float(at) for at, value in enumerate(parameter.values)}
        labels = [_wrapped(results.report.name(value), 24 // len(places)) for value in parameter.values]
        axes.set_xticks(list(places.values()), labels)
        axes.set_xlim(-0.5, len(places) - 0.5)
    else:
        places = {}
        assert parameter.low is not None and parameter.high is not None
        if parameter.log:
            axes.set_xscale("log")
            ticks = _decades(parameter.low, parameter.high)
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.xaxis.set_minor_formatter(NullFormatter())
        elif parameter.kind == "integer":
            axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True))
        axes.set_xlim(*_widened(parameter.low, parameter.high, parameter.log))
    for one in results.tried:
        value = one.values[parameter.path]
        _dot(axes, results, one, places[word(value)] if parameter.kind == "choice" else float(value))
    axes.set_xlabel(_wrapped(results.names[parameter.path], 24))


def _wrapped(text: str, width: int) -> str:
    """In lines that end where a word does, or a part of one that has underscores or dots."""
    parts = drawable(text).replace("_", "_ ").replace(".", ". ")
    lines = textwrap.wrap(parts, max(width, 6), break_long_words=False)
    return "\n".join(line.replace("_ ", "_").replace(". ", ".") for line in lines)


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten in a range, at most four; its ends where it has less than two."""
    powers = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    found = [10.0**power for power in powers][:: math.ceil(len(powers) / 4) or 1]
    return found if len(found) > 1 else [low, high]


def _widened(low: float, high: float, log: bool) -> tuple[float, float]:
    """A range with a little room at its ends."""
    if log:
        room = (high / low) ** 0.04
        return low / room, high * room
    room = 0.04 * (high - low)
    return low - room, high + room


def _dot(axes: Axes, results: SearchResults, one: Tried, x: float) -> None:
    if one.score is None or one.standing not in ("finished", "pruned"):
        return
    best = results.best
    if one.standing == "pruned":
        axes.plot(x, one.score, zorder=2, **PRUNED)
    elif best is not None and results.shown(one.score) == results.shown(best.score):
        axes.plot(x, one.score, zorder=4, **BEST)
    else:
        axes.plot(x, one.score, zorder=3, **FINISHED)


def _title(results: SearchResults, width: int) -> str:
    is_percent = results.metric in METRICS or results.report.info(results.metric).percent
    return textwrap.fill(drawable(results.title) + (" (%)" if is_percent else ""), width)


def _legend(figure: Figure, results: SearchResults) -> None:
    standings = {one.standing for one in results.tried if one.score is not None}
    entries = [Line2D([], [], label="trained to the end", **FINISHED)]
    if "pruned" in standings:
        entries.append(Line2D([], [], label="pruned", **PRUNED))
    if results.best is not None:
        entries += [Line2D([], [], label="best so far", **SO_FAR), Line2D([], [], label="best", **BEST)]
    told = "one seed each; the scores that the search chose by"
    if results.budget_note is not None:
        told = f"reduced budget “{drawable(results.budget)}”; {told}"
    legend(figure, entries, [told])
