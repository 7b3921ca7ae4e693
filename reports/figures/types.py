"""F1 by relation type: a bar a variant, the most frequent types first and the others pooled.

Of more than three variants the one that is best on dev is shown beside its baseline. A bar is the mean over seeds of
the micro-averaged F1 of the relations of a type; the number at the right is how many of them are in gold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from reports.by_type import ByType, by_type
from reports.corpora import relation_task
from reports.figures.labels import budget_told, factor_told, metric_label
from reports.figures.lines import Lines
from reports.figures.seeds import half_width, mean_title
from reports.figures.shown import Shown, label_of, shown
from reports.figures.style import COLUMN, PAGE, REMARK, legend, sheet
from reports.records import StudyResults

ALL_UP_TO = 3
"""Of more variants two are shown."""
FILLS: tuple[dict[str, Any], ...] = (
    {"facecolor": "white"},
    {"facecolor": "0.6"},
    {"facecolor": "0.85", "hatch": "/////"},
)
EDGE: dict[str, Any] = {"edgecolor": "black", "linewidth": 0.6}
SPREAD: dict[str, Any] = {"ecolor": "black", "elinewidth": 0.8, "capsize": 1.6, "capthick": 0.8, "linestyle": "none"}
ENDS = (5, 10, 20, 40, 60, 80, 100)
"""Of the axis of scores."""
BAR = 0.8
"""Thickness of a bar, in the units of `Lines`."""


def draw(results: StudyResults) -> Figure | None:
    """`None` where no trial has left counts by relation type."""
    every = [found.pooled() for found in by_type(results)]
    if not every:
        return None
    chosen = shown(results, [list(found.counts) for found in every], ALL_UP_TO, 2)
    panels = [_Panel(results, found, names) for found, names in zip(every, chosen.names, strict=True) if names]
    task = relation_task(results)
    n_columns = min(2, len(panels))
    rows = [panels[first : first + n_columns] for first in range(0, len(panels), n_columns)]
    heights = [max(panel.lines.height for panel in row) for row in rows]
    figure = sheet(PAGE if n_columns > 1 else COLUMN, sum(heights) + 0.2)
    grid = figure.subplots(len(rows), n_columns, squeeze=False, height_ratios=heights)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    longest = max(panel.draw(axes, chosen) for axes, panel in zip(grid.flat, panels, strict=False))
    for axes, panel in zip(grid.flat, panels, strict=False):
        # one scale for all panels, with room for scores of any size
        axes.set_xlim(0, next(end for end in ENDS if end >= longest))
        # of panels beside each other one that has fewer types ends above the other
        axes.set_ylim(next(max(one.lines.total for one in row) for row in rows if panel in row), 0)
        axes.spines["left"].set_bounds(0, panel.lines.total)
        axes.set_xlabel(metric_label(results, f"{results.report.shown_metrics[0].partition('/')[0]}/{task}_f1"))
        if len(panels) > 1:
            axes.set_title(panel.found.corpus.title(results))
    told = "; ".join([mean_title(results) if len(results.seeds) > 1 else "one seed", *chosen.told(results)])
    entries = [Patch(label=label, **EDGE, **fill) for label, fill in zip(chosen.labels, FILLS, strict=False)]
    legend(figure, entries, [told, *factor_told(results, "variants"), *budget_told(results)])
    return figure


class _Panel:
    """The types of a corpus, and the variants that are shown of it."""

    def __init__(self, results: StudyResults, found: ByType, variants: Sequence[str]) -> None:
        self.results, self.found, self.variants = results, found, variants
        self.lines = Lines([results.report.name(name) for name in found.types], least=BAR * len(variants) + 1.0)

    def draw(self, axes: Axes, chosen: Shown) -> float:
        """Returns the score that the panel has to have room for."""
        longest = 0.0
        for row, (y, gold) in enumerate(zip(self.lines.places, self.found.gold, strict=True)):
            axes.annotate(
                str(gold), (1, y), (3, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center",
                annotation_clip=False, **REMARK,
            )  # fmt: skip
            for place, variant in enumerate(self.variants):
                of = self.found.f1(variant, row)
                assert of.mean is not None, "a corpus has trials of its variants"
                at = y + BAR * (place - (len(self.variants) - 1) / 2)
                fill = FILLS[chosen.labels.index(label_of(self.results, variant))]
                axes.barh(at, of.mean, height=BAR, zorder=2, **EDGE, **fill)
                half = half_width(self.results, of) or 0.0
                longest = max(longest, min(of.mean + half, 100.0))
                if half:
                    ends = [[min(half, of.mean)], [min(half, 100 - of.mean)]]
                    axes.errorbar(of.mean, at, xerr=ends, zorder=3, **SPREAD)
        axes.annotate("gold", (1, 1), (3, 2), xycoords="axes fraction", textcoords="offset points", **REMARK)
        self.lines.label(axes)
        return longest
