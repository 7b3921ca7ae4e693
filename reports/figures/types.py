"""F1 by relation type: a bar a variant, the most frequent types first and the others pooled.

Of more than three variants the one that is best on dev is shown beside its baseline. A bar is the mean over seeds of
the micro-averaged F1 of the relations of a type; the number at the right is how many of them are in gold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from reports.counts import COUNTED, measured
from reports.figures.corpora import Corpus, Shown, corpora, label_of, relation_task, shown
from reports.figures.labels import budget_told, factor_told, metric_label
from reports.figures.lines import Lines
from reports.figures.seeds import half_width, mean_title
from reports.figures.style import COLUMN, PAGE, REMARK, legend, sheet
from reports.records import StudyResults
from reports.statistics import spread

MOST = 15
"""Types with bars of their own."""
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
    task = relation_task(results)
    able = [(corpus, names) for corpus in corpora(results) if (names := _with_types(corpus, task))]
    if not able:
        return None
    chosen = shown(results, [names for _, names in able], ALL_UP_TO, 2)
    panels = [
        _Panel(results, corpus, names, task) for (corpus, _), names in zip(able, chosen.names, strict=True) if names
    ]
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
            axes.set_title(panel.corpus.title(results))
    told = "; ".join([mean_title(results) if len(results.seeds) > 1 else "one seed", *chosen.told(results)])
    entries = [Patch(label=label, **EDGE, **fill) for label, fill in zip(chosen.labels, FILLS, strict=False)]
    legend(figure, entries, [told, *factor_told(results, "variants"), *budget_told(results)])
    return figure


class _Panel:
    """A corpus with the types and the variants that are shown of it."""

    def __init__(self, results: StudyResults, corpus: Corpus, variants: Sequence[str], task: str) -> None:
        self.results, self.corpus = results, corpus
        self.counts = {name: [trial.tasks[task].by_type() for trial in corpus.trials[name]] for name in variants}
        self.n_gold: dict[str, int] = {}
        """Of each type that is in gold or was found."""
        for by_type in (one for trials in self.counts.values() for one in trials):
            self.n_gold |= {name: int(one[_CORRECT] + one[_MISSED]) for name, one in by_type.items()}
        self.groups = _groups(self.n_gold)
        labels = [results.report.name(label) for label in self.groups]
        self.lines = Lines(labels, least=BAR * len(variants) + 1.0)

    def draw(self, axes: Axes, chosen: Shown) -> float:
        """Returns the score that the panel has to have room for."""
        longest = 0.0
        for y, types in zip(self.lines.places, self.groups.values(), strict=True):
            axes.annotate(
                str(sum(self.n_gold[name] for name in types)), (1, y), (3, 0), xycoords=("axes fraction", "data"),
                textcoords="offset points", va="center", annotation_clip=False, **REMARK,
            )  # fmt: skip
            for place, (variant, trials) in enumerate(self.counts.items()):
                of = spread([_f1(by_type, types) for by_type in trials])
                assert of.mean is not None, "a corpus has trials of its variants"
                at = y + BAR * (place - (len(self.counts) - 1) / 2)
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


_CORRECT, _MISSED = COUNTED.index("correct"), COUNTED.index("missed")


def _with_types(corpus: Corpus, task: str) -> list[str]:
    """Variants of which all trials have counted relations by type."""
    rows = {name: [trial.tasks.get(task) for trial in trials] for name, trials in corpus.trials.items()}
    return [name for name, of in rows.items() if all(one is not None and one.type is not None for one in of)]


def _groups(n_gold: Mapping[str, int]) -> dict[str, list[str]]:
    """Label → types: the most frequent ones each by itself, the others together."""
    ordered = sorted(n_gold, key=lambda name: (-n_gold[name], name))
    # one that is pooled would be called more than its name is
    most = MOST if len(ordered) > MOST + 1 else len(ordered)
    rest = ordered[most:]
    return {name: [name] for name in ordered[:most]} | ({f"{len(rest)} other types": rest} if rest else {})


def _f1(by_type: Mapping[str, np.ndarray], types: Sequence[str]) -> float:
    """Micro-averaged over types."""
    none = np.zeros(len(COUNTED), dtype=np.int64)
    return float(measured(np.sum([by_type.get(name, none) for name in types], axis=0), "f1"))
