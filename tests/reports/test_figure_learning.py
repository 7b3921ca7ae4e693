"""Learning curves: means and seeds, where reads set in, and which epoch was selected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.figures import learning
from reports.figures.style import PAGE, TALLEST, style
from reports.records import EpochScores, StudyResults
from tests.reports import samples
from tests.reports.figured import LONG, many, with_curves
from tests.reports.legible import faults, is_grey

COMPARED = with_curves(samples.comparison(), warm_up=lambda n: [0.4, None, 0.0, 1.0][n])
SAMPLES = {
    "comparison": COMPARED,
    "one_variant": with_curves(samples.study({"a": [40.0, 41.0]}, seeds=(1, 2))),
    "one_seed": with_curves(samples.study({"a": [40.0], LONG: [41.0]}, seeds=(1,))),
    "none_finished": with_curves(samples.study({"a": ["failed", "interrupted"], LONG: ["failed"]})),
    "hostile": with_curves(samples.hostile(), warm_up=lambda n: n / 11),
    "by_dataset": with_curves(samples.by_dataset()),
    "sweep": with_curves(samples.sweep(x_label="memory warm-up proportion")),
    "forty": with_curves(many(40)),
    "sixty": with_curves(many(60, budget="cpu", budget_note="fewer epochs")),
    "one_epoch": with_curves(many(3), epochs=1),
}


def drawn(results: StudyResults) -> Figure:
    with style():
        figure = learning.draw(results)
        assert figure is not None
        figure.canvas.draw()
    return figure


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title(): axes for axes in figure.axes if axes.get_visible()}


def parts(lines: list[Line2D]) -> list[dict[float, float]]:
    """The curves of lines, which gaps divide, and marks likewise."""
    found = []
    for line in lines:
        of_line: dict[float, float] = {}
        for x, y in zip(*(np.asarray(of, dtype=float).tolist() for of in line.get_data()), strict=True):
            if np.isfinite(x):
                of_line[x] = y
            elif of_line:
                found.append(of_line)
                of_line = {}
        found += [of_line] if of_line else []
    return found


def points(line: Line2D) -> dict[float, float]:
    """Of a single curve."""
    (found,) = parts([line]) or [{}]
    return found


def drawn_as(axes: Axes, look: dict) -> list[Line2D]:
    """Lines and marks that are drawn so."""
    width = look.get("linewidth")
    return [
        line
        for line in axes.lines
        if line.get_marker() == look.get("marker", "None")
        and (line.get_linewidth() == width and line.get_color() == look["color"] if width else True)
        and (width is not None or line.get_markerfacecolor() == look.get("markerfacecolor", look["color"]))
    ]


@pytest.mark.parametrize("name", SAMPLES)
def test_all_text_can_be_read_and_a_figure_fits_on_a_page(name: str):
    figure = drawn(SAMPLES[name])
    with style():
        assert faults(figure) == [] and is_grey(figure)
    width, height = figure.get_size_inches()
    assert width <= PAGE and height <= TALLEST


def test_a_panel_has_its_seeds_and_their_mean_and_the_baseline():
    jerex, memory, *_ = panels(drawn(COMPARED)).values()
    # the number of the variant in the study is 0; seeds 1 to 5; the last epoch is 2 lower than it would be
    (mean,) = drawn_as(memory, learning.MEAN)
    assert points(mean) == {float(epoch): epoch + 3.0 for epoch in range(1, 10)} | {10.0: 11.0}
    assert [curve[1.0] for curve in parts(drawn_as(memory, learning.SEED))] == [2.0, 3.0, 4.0, 5.0, 6.0]
    (baseline,) = drawn_as(memory, learning.BASELINE)
    (own,) = drawn_as(jerex, learning.MEAN)
    assert points(baseline) == points(own) and drawn_as(jerex, learning.BASELINE) == []


def test_the_warm_up_is_grey_up_to_a_dashed_line_where_the_reads_set_in_and_is_told_in_words():
    shown = panels(drawn(COMPARED))
    told = {title: axes.texts[0].get_text() for title, axes in shown.items()}
    assert told == {
        "JEREX (baseline)": "no reads",
        "ours + memory": "warm-up 40 %",
        "ours, no read": "no warm-up",
        "cut short": "warm-up 100 %, never read",
    }
    boundaries = {
        title: [list(points(line)) for line in drawn_as(axes, learning.BOUNDARY)] for title, axes in shown.items()
    }
    # 40 % of 10 epochs; of a warm-up that never ends there is no boundary
    assert boundaries == {"JEREX (baseline)": [], "ours + memory": [[4.0]], "ours, no read": [], "cut short": []}
    grey = {title: [patch.get_extents().transformed(axes.transData.inverted()).x1 for patch in axes.patches]
            for title, axes in shown.items()}  # fmt: skip
    assert [pytest.approx(x) for x in grey["ours + memory"]] == [4.0]
    assert [pytest.approx(x) for x in grey["cut short"]] == [10.0]
    assert grey["JEREX (baseline)"] == grey["ours, no read"] == []


def test_the_selected_epoch_is_marked_and_is_hollow_where_nothing_was_read_yet():
    late = with_curves(
        samples.study({"a": [40.0, 41.0], "b": [42.0, 42.5]}, seeds=(1, 2)), warm_up=lambda n: [0.4, 0.95][n]
    )
    figure = drawn(late)
    early_reads, late_reads = panels(figure).values()
    assert parts(drawn_as(early_reads, learning.SELECTED)) == [{9.0: 10.0}, {9.0: 11.0}]
    assert drawn_as(early_reads, learning.NOT_READ) == []
    assert parts(drawn_as(late_reads, learning.NOT_READ)) == [{9.0: 11.0}, {9.0: 12.0}]
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "selected epoch" in named and "selected, without reads" in named
    assert "selected, without reads" not in [text.get_text() for text in drawn(COMPARED).legends[0].get_texts()]


def test_trials_that_have_not_finished_are_dotted_and_in_no_mean():
    cut = panels(drawn(COMPARED))["cut short"]
    assert [len(curve) for curve in parts(drawn_as(cut, learning.UNFINISHED))] == [3, 3]
    (mean,) = drawn_as(cut, learning.MEAN)
    assert points(mean)[1.0] == 1 + 3 + (1 + 5) / 2
    figure = drawn(SAMPLES["none_finished"])
    assert all(drawn_as(axes, learning.MEAN)[0].get_xdata().tolist() == [] for axes in panels(figure).values())
    said = {axes.texts[0].get_text().replace("\n", " ") for axes in panels(figure).values()}
    assert said == {"warm-up 40 %, none finished"}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "unfinished",
        "memory warm-up",
        "reads set in",
    ]


def test_axes_are_shared_and_go_to_the_last_epoch_that_was_declared():
    figure = drawn(SAMPLES["none_finished"])
    limits = {(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes}
    assert len(limits) == 1 and limits.pop()[0] == (0, 10.4)


def test_what_has_no_curves_has_no_figure():
    assert learning.draw(samples.foreign()) is None
    assert learning.draw(samples.study({"a": []})) is None


def test_the_metric_is_the_one_that_selects_or_what_it_is_on_dev():
    assert learning.shown_metric(COMPARED) == samples.ON_DEV
    on_test = replace(COMPARED, select_metric="test/relation_strict_f1")
    assert learning.shown_metric(on_test) == samples.ON_DEV
    trials = [replace(trial, history=(EpochScores(1, {"dev/mention_f1": 1.0}),)) for trial in COMPARED.trials]
    assert learning.shown_metric(replace(COMPARED, trials=tuple(trials))) is None


def test_variants_that_are_not_drawn_are_counted():
    figure = drawn(SAMPLES["sixty"])
    assert len(panels(figure)) == learning.PANELS
    assert "36 further variants are not drawn" in figure.legends[0].get_title().get_text()
