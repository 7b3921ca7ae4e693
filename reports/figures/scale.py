"""Quality and cost over the scale of documents: their length, their mentions and their relations.

Documents are put in bins of about equal numbers by each of the three, and the micro-averaged F1 of a bin, or the time
of its median document, is drawn at the mean of its documents, a line a variant. The median, as a machine that has other
work too makes single documents slow. Documents that have the same value are in one bin, and a bin is closed once
it has its share of the documents and something to find, so that there are fewer bins where there are few documents. Of
more variants than there is room for, those are shown that are best on dev, with their baselines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from reports.corpora import Corpus, corpora, relation_task
from reports.counts import COUNTED, SplitCounts, measured
from reports.figures.labels import budget_told, factor_told, metric_label
from reports.figures.seeds import half_width, mean_title
from reports.figures.shown import Shown, label_of, shown
from reports.figures.style import PAGE, STYLE, legend, sheet, wrapped
from reports.records import StudyResults
from reports.statistics import spread

BINS = 5
FEWEST = 20
"""Documents of a bin."""
LINES: tuple[dict[str, Any], ...] = (
    {"color": "0.45", "marker": "s", "markerfacecolor": "white", "linestyle": (0, (4, 2))},
    {"color": "black", "marker": "o", "linestyle": "-"},
    {"color": "0.45", "marker": "^", "linestyle": (0, (6, 1.5, 1, 1.5))},
    {"color": "0.2", "marker": "D", "markerfacecolor": "white", "linestyle": (0, (1, 1.2))},
    {"color": "0.6", "marker": "v", "linestyle": "-"},
)
"""The first is the baseline's."""
LINE: dict[str, Any] = {"linewidth": 1.0, "markersize": 3.6, "markeredgewidth": 0.8}
SPREAD: dict[str, Any] = {"linewidth": 0.7, "marker": "_", "markersize": 3.0, "markeredgewidth": 0.7}
EDGE: dict[str, Any] = {"color": "0.85", "linewidth": 0.6}
APART = 1.6
"""Points between the marks of two variants in a bin."""


@dataclass(frozen=True, eq=False)
class Bin:
    """Documents of like scale."""

    documents: np.ndarray
    """(documents,): indices."""
    mean: float
    low: float
    high: float
    """Of the quantity."""


Measure = Callable[[SplitCounts, np.ndarray], float]
"""What is drawn of a trial and the documents of a bin."""


def draw(results: StudyResults) -> Figure | None:
    """F1. `None` where no trial has left counts, and where no corpus has documents for two bins."""
    task = relation_task(results)
    metric = metric_label(results, f"{results.report.shown_metrics[0].partition('/')[0]}/{task}_f1")

    def f1(trial: SplitCounts, documents: np.ndarray) -> float:
        return float(measured(trial.of(task)[documents].sum(axis=0), "f1"))

    return _draw(results, corpora(results), metric, f1, 100.0)


def draw_cost(results: StudyResults) -> Figure | None:
    """Seconds to extract from a document. `None` also where no trial has taken them."""
    timed = [corpus.of(lambda trial: trial.seconds is not None) for corpus in corpora(results)]

    def median(trial: SplitCounts, documents: np.ndarray) -> float:
        assert trial.seconds is not None
        return 1000 * float(np.median(trial.seconds[documents]))

    return _draw(results, timed, "time of a document (ms)", median, math.inf)


def _draw(
    results: StudyResults, of_corpora: Sequence[Corpus], title_of_y: str, measure: Measure, most: float
) -> Figure | None:
    rows = [_Row(results, corpus, relation_task(results), measure, most) for corpus in of_corpora]
    rows = [row for row in rows if any(len(bins) > 1 for bins in row.bins.values())]
    if not rows:
        return None
    chosen = shown(results, [row.able for row in rows], len(LINES), len(LINES))
    titles = list(dict.fromkeys(title for row in rows for title in row.bins))
    figure = sheet(PAGE, 0.9 + 1.75 * len(rows))
    grid = figure.subplots(len(rows), len(titles), squeeze=False, sharey="row")
    for of_row, row, variants in zip(grid, rows, chosen.names, strict=True):
        scores: list[float] = []
        for axes, title in zip(of_row, titles, strict=True):
            if title not in row.bins:
                axes.set_visible(False)
                continue
            scores += row.draw(axes, title, variants, chosen)
            axes.set_xlabel(title)
        # the panels of a row share this axis; marks that stand aside are not seen by matplotlib's own choice
        of_row[0].set_ylim(*_with_room(scores))
        of_row[0].yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
        name = f"{row.corpus.title(results)}\n" if len(rows) > 1 else ""
        of_row[0].set_ylabel(name + wrapped(title_of_y, 1.3, STYLE["axes.labelsize"]))
    sizes = [len(one.documents) for row in rows for bins in row.bins.values() for one in bins]
    told = [
        f"bins of {min(sizes)} to {max(sizes)} documents, between the grey lines",
        mean_title(results) if len(results.seeds) > 1 else "one seed",
        *chosen.told(results),
    ]
    entries = [Line2D([], [], label=label, **LINE, **line) for label, line in zip(chosen.labels, LINES, strict=False)]
    legend(figure, entries, ["; ".join(told), *factor_told(results, "variants"), *budget_told(results)])
    return figure


class _Row:
    """A corpus with its bins."""

    def __init__(self, results: StudyResults, corpus: Corpus, task: str, measure: Measure, most: float) -> None:
        """`most`: the greatest value that the measure can have."""
        self.results, self.measure, self.most = results, measure, most
        self.corpus = corpus.of(lambda trial: task in trial.tasks)
        self.able = list(self.corpus.trials)
        self.bins = self._bins(task) if self.able else {}

    def _bins(self, task: str) -> dict[str, list[Bin]]:
        """Title of each quantity → bins. What is in gold is the same of every trial that has counted it."""
        relations = _gold(self.corpus.trials[self.able[0]][0].of(task))
        mentions = next(
            (t.of("mention") for of in self.corpus.trials.values() for t in of if "mention" in t.tasks), None
        )
        quantities = {"document length (words)": self.corpus.documents.words}
        if mentions is not None:
            quantities["gold mentions of a document"] = _gold(mentions)
        quantities["gold relations of a document"] = relations
        return {title: binned(values, relations) for title, values in quantities.items()}

    def draw(self, axes: Axes, title: str, variants: Sequence[str], chosen: Shown) -> list[float]:
        """Returns the scores that the panel has to have room for."""
        bins = self.bins[title]
        places = [one.mean for one in bins]
        axes.grid(axis="y")
        for left, right in zip(bins, bins[1:], strict=False):
            axes.axvline((left.high + right.low) / 2, zorder=0, **EDGE)
        scores: list[float] = []
        for place, name in enumerate(variants):
            summaries = [
                spread([self.measure(trial, one.documents) for trial in self.corpus.trials[name]]) for one in bins
            ]
            line = {**LINE, **LINES[chosen.labels.index(label_of(self.results, name))]}
            aside = APART * (place - (len(variants) - 1) / 2) / 72
            beside = axes.transData + ScaledTranslation(aside, 0, axes.figure.dpi_scale_trans)
            means = [of.mean or 0.0 for of in summaries]
            axes.plot(places, means, transform=beside, zorder=3, **line)
            scores += means
            for x, of in zip(places, summaries, strict=True):
                half = half_width(self.results, of)
                if half is not None and of.mean is not None:
                    ends = [max(0.0, of.mean - half), min(self.most, of.mean + half)]
                    axes.plot([x] * 2, ends, transform=beside, zorder=2, color=line["color"], **SPREAD)
                    scores += ends
        axes.set_xlim(*_with_room([*places, *(left.high for left in bins[:-1])]))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))
        return scores


def _with_room(values: Sequence[float]) -> tuple[float, float]:
    room = 0.08 * ((max(values) - min(values)) or 1.0)
    return min(values) - room, max(values) + room


def binned(values: np.ndarray, n_gold: np.ndarray) -> list[Bin]:
    """Documents by rising values, in at most `BINS` bins. `values`, `n_gold`: (documents,)."""
    share = max(FEWEST, math.ceil(len(values) / BINS))
    groups: list[list[int]] = [[]]
    for value in np.unique(values):
        if len(groups[-1]) >= share and n_gold[groups[-1]].any():
            groups.append([])
        groups[-1] += np.flatnonzero(values == value).tolist()
    if len(groups) > 1 and (len(groups[-1]) < FEWEST or not n_gold[groups[-1]].any()):
        last = groups.pop()
        groups[-1] += last
    return [
        Bin(np.array(of), float(values[of].mean()), float(values[of].min()), float(values[of].max())) for of in groups
    ]


def _gold(counts: np.ndarray) -> np.ndarray:
    """(documents, 3) → (documents,): items in gold."""
    return counts[:, COUNTED.index("correct")] + counts[:, COUNTED.index("missed")]
