"""The forest plot: its numbers are those of the comparisons, and it says what they rest on."""

from __future__ import annotations

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures import forest
from reports.figures.style import PAGE, TALLEST, style
from reports.records import StudyResults
from reports.settings import ComparisonSettings
from reports.significance import family
from reports.statistics.family import Family
from tests.reports import samples
from tests.reports.figured import counted, many, on_two_data_sets
from tests.reports.legible import faults, is_grey

COUNTED = counted((0.0, 0.8, 0.02, 0.16), labels=("JEREX", "ours + memory", "ours, no read", "slots"), n_seeds=5)
SECONDS = {"test/seconds": samples.FOREIGN["test/seconds"], "dev/loss": samples.FOREIGN["dev/loss"]}
SAMPLES = {
    "counted": COUNTED,
    "comparison": samples.comparison(),
    "two_seeds": counted((0.0, 0.3), n_seeds=2, budget="cpu", budget_note="two seeds"),
    "one_seed": counted((0.0, 0.3), n_seeds=1),
    "hostile": samples.hostile(),
    "sweep": samples.sweep(x_label="memory warm-up proportion"),
    "sixty": many(60),
    "by_dataset": on_two_data_sets(),
    "foreign": samples.foreign(),
    "lower_is_better": samples.foreign(ComparisonSettings(metrics=("test/seconds",), metric_info=SECONDS)),
    "wide": samples.study({"a": [40.0, 41.0], "b": [40.5, 42.5], "c": [41.0, 46.0]}, seeds=(1, 2)),
}


def drawn(results: StudyResults) -> Figure:
    with style():
        figure = forest.draw(results, results.comparisons)
        assert figure is not None
        figure.canvas.draw()
    return figure


def marks(axes: Axes) -> list[tuple[float, str]]:
    """Difference and look, from the top."""
    looks = {id(one): name for name, one in vars(forest).items() if name in ("SHOWN", "NOT_SHOWN", "UNREACHABLE")}
    found = []
    for line in axes.lines:
        for name in looks.values():
            look = getattr(forest, name)
            fill = look.get("markerfacecolor", look["color"])
            if (line.get_marker(), line.get_markersize(), line.get_markerfacecolor()) == (look["marker"], 4.2, fill):
                found.append((float(line.get_xdata()[0]), name))
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_all_text_can_be_read(name: str):
    figure = drawn(SAMPLES[name])
    with style():
        assert faults(figure) == [] and is_grey(figure)


def test_a_line_has_difference_interval_and_p_of_its_comparison():
    figure = drawn(COUNTED)
    (axes,) = figure.axes
    compared = [COUNTED.comparisons[name, samples.MAIN] for name in ("v1", "v2", "v3")]
    verdicts = {"better": "SHOWN", "no difference shown": "NOT_SHOWN"}
    assert {one.verdict for one in compared} == set(verdicts)
    assert marks(axes) == [(one.difference, verdicts[one.verdict]) for one in compared]
    bars = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2 and line.get_zorder() == 2]
    assert [tuple(bar) for bar in bars] == [(one.low, one.high) for one in compared]
    lines = [text.get_text().replace("\N{MINUS SIGN}", "-").splitlines() for text in axes.texts]
    for one, (numbers, p) in zip(compared, lines, strict=True):
        digits = [float(part) for part in numbers.replace("[", "").replace("]", "").replace(",", "").split()]
        assert digits == pytest.approx([one.difference, one.low, one.high], abs=0.051)
        assert p == ("p < 0.001" if one.p_adjusted < 0.001 else f"p = {one.p_adjusted:.3f}")
    # the p of one comparison alone would be another
    assert any(f"{one.p:.3f}" != f"{one.p_adjusted:.3f}" for one in compared)
    low, high = axes.get_xlim()
    assert low < min(0.0, *(one.low for one in compared)) and high > max(one.high for one in compared)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["ours + memory", "ours, no read", "slots"]
    assert axes.get_xlabel().replace("\n", " ") == "difference to JEREX in strict relation F1 on test (points)"
    told = figure.legends[0].get_title().get_text().replace("\n", " ")
    assert told == "p: paired bootstrap, 200 documents and 5 seeds, by Holm over 3 comparisons"


def test_what_cannot_reach_alpha_says_so_and_why_in_place_of_p():
    signs = ComparisonSettings(
        statistics=samples.ComparisonSettings().statistics.model_copy(update={"test": "sign_flip"})
    )
    results = samples.study({"a": [40.0, 41.0], "b": [42.0, 43.5]}, signs, seeds=(1, 2))
    assert family(results) == Family("sign-flip")
    figure = drawn(results)
    (axes,) = figure.axes
    assert [name for _, name in marks(axes)] == ["UNREACHABLE"]
    assert axes.texts[0].get_text().splitlines()[1] == "cannot reach 0.05"
    told = figure.legends[0].get_title().get_text().replace("\n", " ")
    assert "0.05 is out of reach: with 2 seeds p is never below 0.5; 6 would be enough" in told


def test_an_interval_that_is_far_wider_than_what_it_is_about_ends_in_arrows():
    figure = drawn(SAMPLES["wide"])
    (axes,) = figure.axes
    wide = SAMPLES["wide"].comparisons["c", samples.MAIN]
    assert wide.difference is not None and wide.high is not None
    assert wide.low is not None and wide.low < 4 * -wide.difference
    ends = [(line.get_marker(), float(line.get_xdata()[0])) for line in axes.lines if line.get_marker() in ("<", ">")]
    assert [mark for mark, _ in ends] == ["<", ">"]
    assert wide.low < ends[0][1] < 0 < ends[1][1] < wide.high
    # the numbers beside are the whole interval
    assert f"{wide.low:+.1f}".replace("-", "\N{MINUS SIGN}") in axes.texts[1].get_text()


def test_a_variant_that_shares_no_seed_with_the_baseline_has_a_line_that_says_so():
    results = samples.study({"a": [40.0, 41.0, 42.0], "b": ["failed"], "c": [43.0, 43.5, 45.0]}, seeds=(1, 2, 3))
    (axes,) = drawn(results).axes
    assert len(marks(axes)) == 1 and axes.texts[0].get_text() == "no seed of both"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "c"]


def test_of_more_comparisons_than_a_page_has_room_for_those_of_the_smallest_p_are_drawn():
    figure = drawn(SAMPLES["sixty"])
    (axes,) = figure.axes
    width, height = figure.get_size_inches()
    assert width == PAGE and height <= TALLEST
    p = {name: one.p_adjusted for (name, _), one in SAMPLES["sixty"].comparisons.items()}
    numbers = {f"v{label.get_text().split()[2]}" for label in axes.get_yticklabels()}
    assert len(numbers) == forest.MOST
    assert max(p[name] for name in numbers) <= min(p[name] for name in set(p) - numbers)
    told = figure.legends[0].get_title().get_text().replace("\n", " ")
    assert f"{59 - forest.MOST} further comparisons are in differences.csv" in told


def test_without_anything_to_compare_there_is_no_figure():
    for results in (samples.study({"a": [], "b": ["failed"]}), samples.by_dataset(), samples.study({"a": [40.0]})):
        assert forest.draw(results, results.comparisons) is None


def test_in_a_report_by_data_set_a_line_is_named_in_full_and_the_baseline_is_a_row():
    results = on_two_data_sets()
    (axes,) = drawn(results).axes
    labels = [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]
    assert labels[:3] == ["ours, GRC, CDR", "ours, GRC, Re-DocRED", "ours + memory, GRC, CDR"] and len(labels) == 8
    assert axes.get_xlabel().startswith("difference to JEREX")
