"""From baseline, ablations, named variants and a grid to resolved variants."""

from __future__ import annotations

from orchestrator.overrides import value_at
from tests.orchestrator.samples import HEAD, SWEEP, expanded

TABLE = (
    HEAD
    + """\
grid:
  model:
    JEREX:
      model.entity.classifier: {kind: linear}
      model.relation: {classifier: {kind: linear}, type_vectors: {kind: learned}}
      model.memory.read: null
    ours: {model.memory.read: null}
    ours + memory: {}
  pairs:
    GRC: {model.relation.pairs: {kind: global}}
    MRC: {model.relation.pairs: {kind: multi_instance}}
  corpus:
    A: {data.seed: 1}
    B: {data.seed: 2}
"""
)


def names(expansion):
    return [variant.name for variant in expansion.variants]


def test_a_list_of_values_makes_a_variant_of_each(tmp_path):
    expansion = expanded(tmp_path, SWEEP)
    assert names(expansion) == ["warmup_proportion=0", "warmup_proportion=0.4"]
    assert [value_at(variant.settings, "model.memory.warmup_proportion") for variant in expansion.variants] == [
        0.0,
        0.4,
    ]
    assert [variant.factors for variant in expansion.variants] == [
        {"model.memory.warmup_proportion": 0.0},
        {"model.memory.warmup_proportion": 0.4},
    ]


def test_the_baseline_stands_for_an_ablation_at_its_own_value(tmp_path):
    expansion = expanded(tmp_path, SWEEP + "baseline: {name: ours}\n")
    assert names(expansion) == ["ours", "warmup_proportion=0"]
    assert expansion.baseline == "ours"
    assert expansion.notes == ("warmup_proportion=0.4 is the baseline, 'ours', which stands for it",)


def test_a_label_names_an_ablation(tmp_path):
    text = HEAD + "ablate:\n  model.memory.read: {no reads: null, slot-wise: {kind: slot_wise}}\n"
    assert names(expanded(tmp_path, text)) == ["no reads", "slot-wise"]


def test_ablated_settings_of_one_last_name_are_told_apart_by_more_of_it(tmp_path):
    text = HEAD + "ablate:\n  model.entity.classifier.kind: [dot]\n  model.relation.classifier.kind: [dot]\n"
    assert names(expanded(tmp_path, text)) == ["entity.classifier.kind=dot", "relation.classifier.kind=dot"]


def test_variants_differ_from_the_baseline_not_from_the_settings_below_it(tmp_path):
    text = (
        HEAD
        + "baseline: {name: base, settings: {model.dropout: 0.3}}\nvariants:\n  x: {settings: {training.epochs: 3}}\n"
    )
    base, x = expanded(tmp_path, text).variants
    assert (value_at(base.settings, "model.dropout"), value_at(x.settings, "model.dropout")) == (0.3, 0.3)
    assert (value_at(base.settings, "training.epochs"), value_at(x.settings, "training.epochs")) == (2, 3)


def test_a_grid_crosses_its_factors(tmp_path):
    expansion = expanded(tmp_path, TABLE)
    assert len(expansion.variants) == 12
    assert names(expansion)[:3] == ["JEREX / GRC / A", "JEREX / GRC / B", "JEREX / MRC / A"]
    first = expansion.variants[0]
    assert {"model": "JEREX", "pairs": "GRC", "corpus": "A"}.items() <= first.factors.items()
    assert value_at(first.settings, "model.entity.classifier.kind") == "linear"


def test_a_grid_repeats_baseline_and_variants_at_each_of_its_points(tmp_path):
    text = HEAD + (
        "baseline: {name: ours}\nvariants:\n  none: {label: no memory, settings: {model.memory.read: null}}\n"
        "grid:\n  corpus: {A: {data.seed: 1}, B: {data.seed: 2}}\n"
    )
    expansion = expanded(tmp_path, text)
    assert names(expansion) == ["ours / A", "ours / B", "none / A", "none / B"]
    assert expansion.baseline is None


def test_variants_of_one_row_of_a_table_by_data_set_share_their_label(tmp_path):
    report = "report: {kind: by_dataset, columns: data.seed, groups: model.relation.pairs.kind}\n"
    labels = [variant.label for variant in expanded(tmp_path, TABLE + report).variants]
    assert list(dict.fromkeys(labels)) == ["JEREX", "ours", "ours + memory"]
    assert expanded(tmp_path, TABLE).variants[0].label == "JEREX / GRC / A"


def test_a_table_can_be_laid_out_by_the_factors_of_the_grid(tmp_path):
    report = "report: {kind: by_dataset, columns: corpus, groups: pairs, rows: model}\n"
    assert len(expanded(tmp_path, TABLE + report).variants) == 12


def test_a_baseline_may_name_a_point_of_the_grid(tmp_path):
    assert expanded(tmp_path, TABLE + "baseline: ours / GRC / A\n").baseline == "ours / GRC / A"


def test_a_budget_lies_over_every_variant(tmp_path):
    text = SWEEP + "budgets:\n  cpu: {note: one epoch, settings: {training.epochs: 1}}\n"
    assert {value_at(variant.settings, "training.epochs") for variant in expanded(tmp_path, text).variants} == {2}
    assert {value_at(variant.settings, "training.epochs") for variant in expanded(tmp_path, text, "cpu").variants} == {
        1
    }


def test_a_budget_wins_over_what_a_variant_sets_itself(tmp_path):
    text = HEAD + (
        "variants:\n  long: {settings: {training.epochs: 40, model.dropout: 0.2}}\n"
        "budgets:\n  cpu: {note: one epoch, settings: {training.epochs: 1}}\n"
    )
    (long,) = expanded(tmp_path, text, "cpu").variants
    assert (value_at(long.settings, "training.epochs"), value_at(long.settings, "model.dropout")) == (1, 0.2)


def test_a_study_that_varies_nothing_is_one_variant(tmp_path):
    assert names(expanded(tmp_path, HEAD)) == ["sample"]


def test_what_lies_inside_a_part_that_varies_as_a_whole_is_no_factor_of_its_own(tmp_path):
    text = HEAD + "baseline: {name: ours}\nvariants:\n  none: {settings: {model.memory.read: null}}\n"
    assert all(list(variant.factors) == ["model.memory.read"] for variant in expanded(tmp_path, text).variants)


def test_a_budget_may_set_more_for_one_level_of_the_grid(tmp_path):
    text = TABLE + "budgets:\n  small: {note: less, grid: {corpus: {B: {data.train: 3}}}}\n"
    sizes = {v.name: value_at(v.settings, "data.train") for v in expanded(tmp_path, text, "small").variants}
    assert sizes["JEREX / GRC / A"] == 4
    assert sizes["JEREX / GRC / B"] == 3
    assert {value_at(v.settings, "data.train") for v in expanded(tmp_path, text).variants} == {4}


def test_the_points_of_a_grid_are_labelled_by_themselves(tmp_path):
    text = (
        HEAD + "title: A title\ngrid:\n  model.relation.pairs: {GRC: {model.relation.pairs: {kind: global}}, MRC: {}}\n"
    )
    assert [variant.label for variant in expanded(tmp_path, text).variants] == ["GRC", "MRC"]
