"""Learning curves: the metric by which epochs are selected over the epochs, a panel a variant.

A thick line is the mean over the finished seeds, a thin one a seed, a dotted one a seed that has not finished. A circle
is the epoch that was selected, hollow where the memories were not read yet. In the grey part, up to the dashed line,
nothing is read: it is the memory warm-up, which ends with a training step, so an epoch on the line is one without
reads. All panels have the same axes, and in each is the mean of what the variant is compared with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from reports.comparison import ordered_variants
from reports.figures.labels import budget_told, factor_told, metric_label, variant_title
from reports.figures.style import COLUMN, PAGE, REMARK, STYLE, TALLEST, legend, sheet, wrapped
from reports.records import StudyResults, TrialResult, Variant
from reports.significance import baseline_of

SEED: dict[str, Any] = {"color": "0.55", "linewidth": 0.5}
UNFINISHED: dict[str, Any] = {"color": "0.4", "linewidth": 0.8, "linestyle": (0, (1, 1.2))}
MEAN: dict[str, Any] = {"color": "black", "linewidth": 1.3}
BASELINE: dict[str, Any] = {"color": "0.35", "linewidth": 0.9, "linestyle": (0, (5, 1.2, 1, 1.2))}
SELECTED: dict[str, Any] = {
    "linestyle": "none",
    "color": "black",
    "marker": "o",
    "markersize": 3.2,
    "markeredgewidth": 0.7,
}
NOT_READ: dict[str, Any] = {**SELECTED, "markerfacecolor": "white"}
WARM_UP: dict[str, Any] = {"facecolor": "0.92", "edgecolor": "none"}
BOUNDARY: dict[str, Any] = {"color": "black", "linewidth": 0.8, "linestyle": (0, (3, 2))}
SMALL = 6.3
"""Points."""

PANELS = 24
"""More are not drawn, as nobody could read them; the figure says how many it leaves out."""


def draw(results: StudyResults) -> Figure | None:
    """`None` where no trial tells of its epochs."""
    metric = shown_metric(results)
    if metric is None:
        return None
    variants = ordered_variants(results)
    shown = variants[:PANELS]
    most_columns = next(n for n, most in ((1, 1), (2, 4), (4, PANELS)) if len(shown) <= most)
    n_rows = math.ceil(len(shown) / most_columns)
    n_columns = math.ceil(len(shown) / n_rows)
    width = COLUMN if n_columns <= 2 else PAGE
    inside = (width - 0.6) / n_columns - 0.12
    titles = [wrapped(variant_title(results, variant), inside, STYLE["font.size"], 3) for variant in shown]
    said = [wrapped(_said(results, variant), inside, SMALL) for variant in shown]
    of_titles = 0.13 * (2 + max(title.count("\n") + of.count("\n") for title, of in zip(titles, said, strict=True)))
    figure = sheet(width, min(0.9 + n_rows * ((1.5 if n_columns == 1 else 0.95) + of_titles), TALLEST))
    panels = list(figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True).flat)
    for place, axes in enumerate(panels):
        if place >= len(shown):
            axes.set_visible(False)
            continue
        _panel(axes, results, shown[place], metric)
        _title(axes, titles[place], said[place])
        if place + n_columns >= len(shown):
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("epoch")
    panels[0].set_xlim(0, _last_epoch(results) + 0.4)
    panels[0].xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    panels[0].yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    label = wrapped(metric_label(results, metric), figure.get_figheight() - 1.0, STYLE["axes.labelsize"])
    figure.supylabel(label, fontsize=STYLE["axes.labelsize"])
    _legend(figure, results, shown, len(variants) - len(shown))
    return figure


def shown_metric(results: StudyResults) -> str | None:
    """The metric that selects; if trials keep no history of that, what it or the main metric is on dev; else `None`."""
    kept = {name for trial in results.trials for epoch in trial.history for name in epoch.metrics}
    wanted = (results.select_metric, *results.report.shown_metrics[:1])
    on_dev = [f"dev/{name.partition('/')[2]}" for name in wanted if name is not None]
    return next((name for name in (results.select_metric, *on_dev) if name in kept), None)


def warm_up(results: StudyResults, variant: str) -> float | None:
    """The memory warm-up proportion of a variant; `None` if it never has reads, or does not tell."""
    memory = _memory(results, variant)
    return None if memory is None or memory.get("read") is None else memory.get("warmup_proportion")


def warm_up_told(results: StudyResults, variant: str) -> str | None:
    """In words; nothing of what is not ours."""
    if _memory(results, variant) is None:
        return None
    proportion = warm_up(results, variant)
    if proportion is None:
        return "no reads"
    if proportion == 0:
        return "no warm-up"
    return f"warm-up {100 * proportion:.3g} %" + (", never read" if proportion == 1 else "")


# --------------------------------------------------------------------------------------------------------------- parts


def _panel(axes: Axes, results: StudyResults, variant: Variant, metric: str) -> None:
    axes.grid(axis="y")
    proportion, epochs = warm_up(results, variant.name), _epochs(results, variant.name)
    if proportion is not None and epochs is not None and proportion > 0:
        axes.axvspan(0, proportion * epochs, zorder=0, **WARM_UP)
        if proportion < 1:
            axes.axvline(proportion * epochs, zorder=1, **BOUNDARY)
    baseline = baseline_of(results, variant.name)
    if baseline is not None and results.finished(baseline):
        axes.plot(*_mean(results, baseline, metric), zorder=3, **BASELINE)
    told = {trial.key: _curve(trial, metric) for trial in _told(results, variant.name, metric)}
    finished = [trial for trial in results.finished(variant.name) if trial.key in told]
    curves = [told.pop(trial.key) for trial in finished]
    _together(axes, curves if len(curves) > 1 else [], zorder=2, **SEED)
    _together(axes, list(told.values()), zorder=2, **UNFINISHED)
    for did_not_read, look in ((False, SELECTED), (True, NOT_READ)):
        of_look = [pair for pair in zip(finished, curves, strict=True) if (pair[0].reading is False) == did_not_read]
        marks = [(trial.selected_epoch, curve) for trial, curve in of_look]
        _together(axes, [{at: curve[at]} for at, curve in marks if at is not None and at in curve], zorder=5, **look)
    axes.plot(*_mean(results, variant.name, metric), zorder=4, **MEAN)


def _together(axes: Axes, curves: Sequence[Mapping[int, float]], **look: Any) -> None:
    """Curves of one look, apart from each other: a hundred lines one by one take many times as long to draw."""
    if not curves:
        return
    epochs, scores = [], []
    for curve in curves:
        epochs += [*curve, math.nan]
        scores += [*curve.values(), math.nan]
    axes.plot(epochs, scores, **look)


def _said(results: StudyResults, variant: Variant) -> str:
    """What stands below the name of a variant."""
    none = None if results.finished(variant.name) else "none finished"
    return ", ".join(part for part in (warm_up_told(results, variant.name), none) if part is not None)


def _title(axes: Axes, title: str, said: str) -> None:
    """A variant's name, and below it, smaller, what is said of it."""
    axes.set_title(title, fontsize=STYLE["font.size"], pad=4 + 8 * (said.count("\n") + 1 if said else 0))
    if said:
        axes.annotate(
            said, (0.5, 1), (0, 2.5), xycoords="axes fraction", textcoords="offset points", ha="center",
            linespacing=1.1, **{**REMARK, "fontsize": SMALL},
        )  # fmt: skip


def _told(results: StudyResults, variant: str, metric: str) -> list[TrialResult]:
    """The trials of a variant that have come to the end of an epoch, in the order of the seeds."""
    trials = (results.trial(variant, seed) for seed in results.seeds)
    return [trial for trial in trials if trial is not None and _curve(trial, metric)]


def _curve(trial: TrialResult, metric: str) -> dict[int, float]:
    """Epoch → score."""
    return {one.epoch: one.metrics[metric] for one in trial.history if metric in one.metrics}


def _mean(results: StudyResults, variant: str, metric: str) -> tuple[list[int], list[float]]:
    """Epochs that all finished seeds have come to, and the mean of their scores."""
    curves = [_curve(trial, metric) for trial in _told(results, variant, metric) if trial.status == "finished"]
    epochs = sorted(set.intersection(*map(set, curves))) if curves else []
    return epochs, [sum(curve[epoch] for curve in curves) / len(curves) for epoch in epochs]


def _memory(results: StudyResults, variant: str) -> dict[str, Any] | None:
    """Its settings of the memory, from the first trial that has them."""
    found = ((_settings(trial, "model") or {}).get("memory") for trial in _trials(results, variant))
    return next((memory for memory in found if isinstance(memory, dict)), None)


def _epochs(results: StudyResults, variant: str) -> int | None:
    found = ((_settings(trial, "training") or {}).get("epochs") for trial in _trials(results, variant))
    return next((epochs for epochs in found if isinstance(epochs, int)), None)


def _trials(results: StudyResults, variant: str) -> list[TrialResult]:
    return [trial for trial in results.trials if trial.variant == variant]


def _settings(trial: TrialResult, part: str) -> dict[str, Any] | None:
    found = (trial.settings or {}).get(part)
    return found if isinstance(found, dict) else None


def _last_epoch(results: StudyResults) -> int:
    """Of all variants, also of epochs that are still to come."""
    declared = [_epochs(results, variant.name) or 1 for variant in results.variants]
    return max(*declared, *(epoch.epoch for trial in results.trials for epoch in trial.history))


def _legend(figure: Figure, results: StudyResults, shown: tuple[Variant, ...], n_left_out: int) -> None:
    names = {variant.name for variant in shown}
    trials = [trial for trial in results.trials if trial.variant in names]
    finished = [trial for trial in trials if trial.status == "finished"]
    entries: list[Line2D | Patch] = []
    if finished:
        of_several = len(results.seeds) > 1
        entries += [Line2D([], [], label="mean over seeds" if of_several else "one seed", **MEAN)]
        entries += [Line2D([], [], label="seed", **SEED)] if of_several else []
    if any(trial.status != "finished" and trial.history for trial in trials):
        entries.append(Line2D([], [], label="unfinished", **UNFINISHED))
    if any(results.finished(baseline) for name in names if (baseline := baseline_of(results, name)) is not None):
        entries.append(Line2D([], [], label="baseline", **BASELINE))
    selected = [trial for trial in finished if trial.selected_epoch is not None]
    if any(trial.reading is not False for trial in selected):
        entries.append(Line2D([], [], label="selected epoch", **SELECTED))
    if any(trial.reading is False for trial in selected):
        entries.append(Line2D([], [], label="selected, without reads", **NOT_READ))
    if any(warm_up(results, name) for name in names):
        entries.append(Patch(label="memory warm-up", **WARM_UP))
    if any(0 < (warm_up(results, name) or 0) < 1 for name in names):
        entries.append(Line2D([], [], label="reads set in", **BOUNDARY))
    told = [*factor_told(results, "panels"), *budget_told(results)]
    if n_left_out:
        told.append(f"{n_left_out} further variants are not drawn; record.json has their curves")
    legend(figure, entries, told)
