"""What a figure shows, read from its parts; that nothing is cut off is measured on the drawn figure."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.figures import of_study, scores
from reports.figures.style import SEED, TALLEST, style
from reports.records import StudyResults
from reports.settings import ComparisonSettings, MetricInfo
from tests.reports import samples
from tests.reports.figured import LONG
from tests.reports.legible import faults, is_grey

SAMPLES = {
    "comparison": samples.comparison(),
    "twelve": samples.hostile(),
    "forty": samples.study({f"{n}: {LONG}"[:90]: [40.0 + n] for n in range(40)}, seeds=(1,)),
    "one_seed": samples.study({"a": [40.0], LONG: [41.0]}, seeds=(1,)),
    "nothing_yet": samples.study({"a": [], "b": ["failed"]}),
    "sweep": samples.sweep(x_label="memory warm-up proportion"),
    "sweep_of_twelve": samples.sweep([at / 11 for at in range(12)]),
    "sweep_of_sizes": samples.sweep((None, 32, 128, 64), samples.SLOT, names={None: "encoder width"}),
    "sweep_of_words": samples.sweep(("rescaled over all the spans", "kept", None, True), "model.x"),
    "by_dataset": samples.by_dataset(),
    "foreign": samples.foreign(),
    "foreign_sweep": samples.foreign_sweep(),
    "long_title": samples.foreign(
        ComparisonSettings(metrics=("test/accuracy",), metric_info={"test/accuracy": MetricInfo(label=LONG)}),
        select_metric="dev/f1_macro",
    ),
}


def test_of_more_variants_than_fit_on_a_page_the_best_on_dev_are_shown_with_the_baseline():
    figure = drawn(SAMPLES["forty"])
    labels = [label.get_text().split(":")[0] for label in figure.axes[0].get_yticklabels()]
    assert 8 < len(labels) < 40 and labels == ["0", *(str(n) for n in range(41 - len(labels), 40))]
    told = figure.legends[0].get_title().get_text().replace("\n", " ")
    assert f"{40 - len(labels)} further variants are not drawn" in told
    short = samples.study({f"v{n}": [40.0 + n] for n in range(28)}, seeds=(1,))
    assert len(drawn(short).axes[0].get_yticklabels()) == 28


def drawn(results: StudyResults) -> Figure:
    with style():
        figure = scores.draw(results)
        figure.canvas.draw()
    return figure


def xs(line: Line2D) -> list[float]:
    return np.asarray(line.get_xdata(), dtype=float).tolist()


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("name", SAMPLES)
def test_all_text_can_be_read_and_nothing_is_told_by_colour(name: str):
    figure = drawn(SAMPLES[name])
    with style():
        assert faults(figure) == [] and is_grey(figure)
    assert figure.get_size_inches()[1] <= TALLEST
    (legend,) = figure.legends
    of_legend = legend.get_window_extent()
    assert not any(of_legend.overlaps(axes.get_tightbbox()) for axes in figure.axes)


def bars(axes: Axes) -> list[tuple[float, float]]:
    """Ends of the bars of a figure of lines, from the top."""
    found = [[point[0] for point in of] for bar in axes.containers for part in bar[2] for of in part.get_segments()]
    return [(min(ends), max(ends)) for ends in found]


def test_the_bar_is_the_interval_of_the_mean_from_three_seeds_on_and_else_the_deviation():
    three = drawn(samples.study({"a": [40.0, 41.0, 42.0], "b": [50.0, 50.0, 53.0]}, seeds=(1, 2, 3)))
    # the t of 2 degrees of freedom at 0.975 is 4.3027; sd / sqrt(3) is 0.57735, and 1 for b
    assert bars(three.axes[0]) == [
        (pytest.approx(41 - 2.4841, abs=1e-3), pytest.approx(41 + 2.4841, abs=1e-3)),
        (pytest.approx(51 - 4.3027, abs=1e-3), pytest.approx(51 + 4.3027, abs=1e-3)),
    ]
    assert three.legends[0].get_texts()[0].get_text() == "mean, 95 % interval"
    two = drawn(samples.study({"a": [40.0, 42.0]}, seeds=(1, 2)))
    assert bars(two.axes[0]) == [(pytest.approx(41 - 2**0.5), pytest.approx(41 + 2**0.5))]
    assert two.legends[0].get_texts()[0].get_text() == "mean ± sd"
    # of three seeds two have finished: an interval of two says nothing
    cut = drawn(samples.study({"a": [40.0, 42.0, "failed"]}, seeds=(1, 2, 3)))
    assert bars(cut.axes[0]) == [] and texts(cut.axes[0]) == ["2 of 3"]


def test_a_comparison_has_a_line_for_each_variant_with_its_seeds_and_the_baseline_on_top():
    (axes,) = drawn(samples.comparison()).axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["JEREX (baseline)", "ours + memory", "ours, no read", "cut short"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    seeds = [xs(line) for line in axes.lines if line.get_markersize() == SEED["markersize"]]
    assert seeds[1] == [41.0, 42.0, 43.0, 44.0, 45.0]
    assert texts(axes) == ["2 of 5"]


def test_a_variant_without_scores_is_named_and_said_to_have_none():
    (axes,) = drawn(samples.study({"a": [40.0, 41.0], "b": ["failed"]}, seeds=(1, 2))).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a (baseline)", "b"]
    assert texts(axes) == ["no finished trial"]


def joined(axes: Axes) -> list[float]:
    lines = [line for line in axes.lines if line.get_marker() == "None" and line.get_zorder() == 1]
    return [x for line in lines for x in xs(line)]


def test_a_sweep_joins_numbers_in_their_order_and_leaves_words_apart():
    (axes,) = drawn(samples.sweep((0.4, 0.0, 1.0, 0.2))).axes
    assert joined(axes) == [0.0, 0.2, 0.4, 1.0]
    (axes,) = drawn(samples.sweep((None, 128, 32), samples.SLOT)).axes
    assert joined(axes) == [0.0, 1.0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["32", "128", "null"]
    (axes,) = drawn(samples.sweep(("dot", "cosine"), "model.x")).axes
    assert joined(axes) == []


def test_a_data_set_has_its_panel_with_the_published_numbers():
    figure = drawn(samples.by_dataset())
    assert [axes.get_title() for axes in figure.axes] == ["CDR", "Re-DocRED"]
    diamonds = [[xs(line)[0] for line in axes.lines if line.get_marker() == "D"] for axes in figure.axes]
    assert diamonds[0] == [42.04, 42.04, 42.18, 40.2, 42.88, 43.12, 43.75]
    assert diamonds[1] == [43.46, 43.64, 44.77, 45.56, 44.93, 44.37]


def test_axes_have_units_and_a_reduced_budget_is_written_into_the_figure():
    figure = drawn(samples.by_dataset())
    assert figure.axes[0].get_xlabel() == "strict relation F1 on test (%)"
    assert figure.legends[0].get_title().get_text() == "reduced budget “cpu”"
    assert drawn(samples.comparison()).legends[0].get_title().get_text() == ""


def test_the_axis_of_another_trainables_metric_has_its_name_and_a_unit_where_one_is_told():
    (axes,) = drawn(samples.foreign_sweep()).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("seed", "dev · f1_macro")
    (axes,) = drawn(samples.foreign()).axes
    assert axes.get_xlabel() == "Accuracy (%)"


def test_the_users_settings_of_matplotlib_are_as_before():
    with matplotlib.rc_context({"font.size": 17.0}):
        of_study(samples.sweep(), "origin")
        assert matplotlib.rcParams["font.size"] == 17.0
