"""Figures that are made of counts of documents: by relation type, and over the size of documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from reports.by_type import MOST, table
from reports.corpora import corpora
from reports.counts import StudyCounts, measured
from reports.figures import scale, types
from reports.figures.shown import shown
from reports.figures.style import PAGE, TALLEST, style
from reports.records import StudyResults
from reports.settings import ComparisonSettings
from tests.reports import samples
from tests.reports.figured import LONG, counted, on_two_data_sets
from tests.reports.legible import faults, is_grey

CODES = tuple(f"P{n}" for n in range(96))
NAMES = ("located in the administrative territorial entity", "averylongtypenamewithoutanybreakatallinit", "$x^2$ {b}_")
THREE = counted((0.0, 0.3, 0.6), CODES[:4], labels=("JEREX", "ours", "ours + memory"))
TWELVE = counted([n / 10 for n in range(12)], CODES[:3], labels=[one.label for one in samples.hostile().variants])
NINETY_SIX = counted((0.0, 0.3, 0.1, 0.2), CODES)
TWO_DATA_SETS = on_two_data_sets()
SAMPLES = {
    "three": THREE,
    "one_type": counted((0.0, 0.3)),
    "ninety_six": NINETY_SIX,
    "long": counted((0.0, 0.3), (*NAMES, *CODES), labels=("a", LONG), budget="cpu", budget_note="less"),
    "one_seed": counted((0.0, 0.3), CODES[:4], n_seeds=1),
    "two_seeds": counted((0.0, 0.3), CODES[:4], n_seeds=2),
    "twelve": TWELVE,
    "two_data_sets": TWO_DATA_SETS,
    "few_documents": counted((0.0, 0.3), n_documents=45),
}


Draw = Callable[[StudyResults], Figure | None]
EVERY = pytest.mark.parametrize("draw", [types.draw, scale.draw, scale.draw_cost], ids=["types", "scale", "cost"])


def drawn(draw: Draw, results: StudyResults) -> Figure:
    with style():
        figure = draw(results)
        assert figure is not None
        figure.canvas.draw()
    return figure


@EVERY
@pytest.mark.parametrize("name", SAMPLES)
def test_all_text_can_be_read_and_a_figure_fits_on_a_page(name: str, draw: Draw):
    figure = drawn(draw, SAMPLES[name])
    with style():
        assert faults(figure) == [] and is_grey(figure)
    width, height = figure.get_size_inches()
    assert width <= PAGE and height <= TALLEST


@EVERY
def test_without_counts_there_is_no_figure(draw: Draw):
    assert draw(samples.comparison()) is None
    assert draw(samples.study({"a": [], "b": ["failed"]})) is None
    assert draw(replace(THREE, trials=())) is None


# --------------------------------------------------------------------------------------------------------------- types


def labels(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def bars(axes: Axes) -> list[float]:
    """Lengths, type by type and variant by variant."""
    return [float(patch.get_width()) for bar in axes.containers if isinstance(bar, BarContainer) for patch in bar]


def test_a_bar_is_the_mean_over_seeds_of_the_f1_of_a_type():
    (axes,) = drawn(types.draw, THREE).axes
    trials = {
        name: [THREE.counts.trials[f"{name}-{seed}", "test"] for seed in (1, 2, 3)] for name in ("v0", "v1", "v2")
    }
    gold = {name: int(of[0] + of[2]) for name, of in trials["v0"][0].tasks["relation_strict"].by_type().items()}
    ordered = sorted(gold, key=lambda name: -gold[name])
    assert labels(axes) == ordered
    expected = [
        float(np.mean([measured(one.tasks["relation_strict"].by_type()[of], "f1") for one in trials[name]]))
        for of in ordered
        for name in trials
    ]
    assert bars(axes) == pytest.approx(expected)
    assert [text.get_text() for text in axes.texts] == [*(str(gold[name]) for name in ordered), "gold"]


def test_of_many_types_the_rare_ones_are_pooled():
    (axes,) = drawn(types.draw, NINETY_SIX).axes
    assert len(labels(axes)) == MOST + 1
    n_gold = [int(text.get_text()) for text in axes.texts[:-1]]
    assert n_gold[:-1] == sorted(n_gold[:-1], reverse=True)
    one = NINETY_SIX.counts.trials["v0-1", "test"].tasks["relation_strict"]
    assert sum(n_gold) == int(one.counts[:, [0, 2]].sum())
    # of three variants over three seeds, what one trial has neither found nor in gold another may have found
    assert labels(axes)[-1].endswith(" other types") and int(labels(axes)[-1].split()[0]) >= len(one.by_type()) - MOST
    sixteen = counted((0.0,), CODES[: MOST + 1])
    assert len(labels(drawn(types.draw, sixteen).axes[0])) == MOST + 1
    assert "other" not in " ".join(labels(drawn(types.draw, sixteen).axes[0]))


def test_of_more_than_three_variants_the_best_on_dev_stands_beside_its_baseline():
    figure = drawn(types.draw, NINETY_SIX)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["v0 (baseline)", "v1"]
    assert "2 further variants are not drawn" in figure.legends[0].get_title().get_text().replace("\n", " ")
    # on dev another is the best, whatever the test set says
    trials = [
        replace(trial, metrics={**trial.metrics, samples.ON_DEV: 99.0}) if trial.variant == "v2" else trial
        for trial in NINETY_SIX.trials
    ]
    other = replace(NINETY_SIX, trials=tuple(trials))
    assert [text.get_text() for text in drawn(types.draw, other).legends[0].get_texts()] == ["v0 (baseline)", "v2"]


def test_types_have_the_names_that_the_report_gives_them():
    report = ComparisonSettings(metrics=(samples.MAIN,), names={"P0": "country", "CID": "induces"})
    (axes,) = drawn(types.draw, replace(THREE, report=report)).axes
    assert "country" in labels(axes) and "P0" not in labels(axes)


def test_each_data_set_has_its_panel_with_bars_of_the_same_thickness_and_the_same_variants():
    figure = drawn(types.draw, TWO_DATA_SETS)
    one, other = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["CDR", "Re-DocRED"]
    assert labels(one) == ["CID"] and len(labels(other)) == MOST + 1
    thick = {axes.containers[0][0].get_window_extent().height for axes in figure.axes}
    assert max(thick) == pytest.approx(min(thick))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["JEREX, MRC", "ours + memory, MRC"]


def test_a_table_by_type_has_a_part_for_each_data_set_and_no_scores_of_what_is_not_in_it():
    made = table(TWO_DATA_SETS)
    assert made is not None and [section.title for section in made.sections] == ["CDR", "Re-DocRED"]
    titles = [column.title for column in made.columns]
    assert titles[0] == "in gold" and len(titles) == len(set(titles)) == len(TWO_DATA_SETS.variants) / 2 + 1
    cdr, redocred = made.sections
    assert [row.label for row in cdr.rows] == ["CID"] and len(redocred.rows) == MOST + 1
    assert all(cell.mean is not None for row in (*cdr.rows, *redocred.rows) for cell in row.cells[1:])
    # a variant that was trained on one of them only has no score on the other, and none of a type that is not there
    kept = {key: of for key, of in TWO_DATA_SETS.counts.trials.items() if not key[0].startswith("cdr-v0-")}
    one_only = replace(TWO_DATA_SETS, counts=StudyCounts(kept))
    made = table(one_only)
    assert made is not None
    (cid,) = next(section for section in made.sections if section.title == "CDR").rows
    assert [cell.mean is None for cell in cid.cells[1:]].count(True) == 1


# --------------------------------------------------------------------------------------------------------------- scale


def test_bins_are_the_documents_each_once_by_rising_values_and_of_about_equal_numbers():
    values = np.random.default_rng(0).permutation(np.arange(103))
    bins = scale.binned(values, np.ones(103))
    assert sorted(n for one in bins for n in one.documents) == list(range(103))
    assert [len(one.documents) for one in bins] == [21, 21, 21, 40]
    assert [(one.low, one.high) for one in bins] == [(0, 20), (21, 41), (42, 62), (63, 102)]
    assert bins[0].mean == 10
    assert [len(one.documents) for one in scale.binned(np.arange(500), np.ones(500))] == [100] * 5


def test_documents_of_one_value_are_in_one_bin_and_small_bins_are_pooled():
    values = np.array([1] * 70 + [2] * 40 + [3] * 15)
    bins = scale.binned(values, np.ones(125))
    assert [(one.low, one.high, len(one.documents)) for one in bins] == [(1, 1, 70), (2, 3, 55)]
    assert len(scale.binned(np.arange(39), np.ones(39))) == 1


def test_documents_without_anything_to_find_make_no_bin():
    values = np.arange(200) // 50
    bins = scale.binned(values, values)
    assert [(one.low, one.high) for one in bins] == [(0, 1), (2, 2), (3, 3)]


def test_a_point_is_the_micro_f1_of_its_documents_at_their_mean():
    figure = drawn(scale.draw, THREE)
    length, mentions, relations = figure.axes
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "document length (words)", "gold mentions of a document", "gold relations of a document",
    ]  # fmt: skip
    (corpus,) = corpora(THREE)
    gold = THREE.counts.trials["v0-1", "test"].of("relation_strict")[:, [0, 2]].sum(axis=1)
    bins = scale.binned(corpus.documents.words, gold)
    lines = [line for line in length.lines if line.get_zorder() == 3]
    assert len(lines) == 3
    for name, line in zip(("v0", "v1", "v2"), lines, strict=True):
        trials = [THREE.counts.trials[f"{name}-{seed}", "test"].of("relation_strict") for seed in (1, 2, 3)]
        expected = [np.mean([measured(one[of.documents].sum(axis=0), "f1") for one in trials]) for of in bins]
        assert line.get_ydata() == pytest.approx(expected)
        assert line.get_xdata() == pytest.approx([of.mean for of in bins])
    assert len(relations.lines) > 3 and len(mentions.lines) > 3


def test_marks_are_all_inside_of_their_panel():
    for name in ("three", "few_documents", "two_data_sets"):
        for axes in drawn(scale.draw, SAMPLES[name]).axes:
            low, high = axes.get_xlim()
            bottom, top = axes.get_ylim()
            for line in (line for line in axes.lines if line.get_zorder() >= 2):
                assert low < min(line.get_xdata()) and max(line.get_xdata()) < high
                assert bottom < min(line.get_ydata()) and max(line.get_ydata()) < top


def test_without_documents_for_two_bins_there_is_no_figure():
    assert scale.draw(counted((0.0, 0.3), n_documents=30)) is None


# ------------------------------------------------------------------------------------------------------ what is chosen


def test_of_many_variants_those_that_are_best_on_dev_are_shown_with_the_baseline_first():
    able = [list(corpora(TWELVE)[0].trials)]
    chosen = shown(TWELVE, able, 5, 5)
    assert set(chosen.names[0]) == {"v0", "v11", "v10", "v9", "v8"} and chosen.names[0][0] == "v0"
    assert chosen.n_left_out == 7
    assert shown(TWELVE, able, 12, 5).names[0] == tuple(f"v{n}" for n in range(12))


def test_a_variant_looks_the_same_on_every_data_set():
    able = [list(corpus.trials) for corpus in corpora(TWO_DATA_SETS)]
    chosen = shown(TWO_DATA_SETS, able, 5, 5)
    of_cdr, of_redocred = ([name.rpartition(" ")[0] for name in names] for names in chosen.names)
    assert of_cdr == of_redocred and len(of_cdr) == 5
    # baselines come first, and of two pairs classifiers each has its own
    assert of_cdr[:2] == ["JEREX multi_instance", "JEREX global"]
