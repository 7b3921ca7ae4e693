"""The studies that come with the project: each validates under every budget and says what it cuts."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.settings import ExperimentSettings
from orchestrator.plan import plan
from orchestrator.schema import load
from orchestrator.store import Home
from orchestrator.variants import check
from reports.settings import word
from tests.data.test_catalog import CDR_FILES, docred, pubtator, put

STUDIES = Path(__file__).parents[2] / "studies"
FILES = sorted(STUDIES.glob("*.yaml"))
OF_THE_PAPER = [path for path in FILES if path.stem != "quickstart" and load(path).study.trainable.kind == "model"]
N_VARIANTS = {
    "document_scale": 6,
    "lookup": 7,
    "lookup_command": 3,
    "memory_architecture": 5,
    "memory_parts": 11,
    "pretraining": 12,
    "quickstart": 3,
    "read_normalisation": 3,
    "relation_classifier": 2,
    "search": 1,
    "similarity": 12,
    "slot_size": 4,
    "table1": 10,
    "table2": 12,
    "warmup": 6,
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_study_validates_under_every_budget(path):
    loaded = load(path)
    assert loaded.study.study == path.stem
    for budget, expansion in check(loaded).items():
        assert len(expansion.variants) == N_VARIANTS[path.stem], budget
        assert expansion.baseline is not None or path.stem in (
            "document_scale",
            "pretraining",
            "search",
            "table1",
            "table2",
        )


@pytest.mark.parametrize("path", OF_THE_PAPER, ids=lambda path: path.stem)
def test_the_full_budget_is_the_papers_and_a_smaller_one_says_what_it_cuts(path):
    loaded = load(path)
    expansions = check(loaded)
    assert len(loaded.study.seeds) == (5 if loaded.study.search is None else 1)
    for variant in expansions["full"].variants:
        settings = ExperimentSettings.model_validate(variant.settings)
        training, data = settings.training, settings.data
        assert (training.epochs, training.batch_size, training.learning_rate) == (20, 2, 5e-5)
        assert (data.limit.train, data.limit.dev, data.limit.test) == (None, None, None)
        assert settings.model.encoder.name in ("allenai/scibert_scivocab_cased", "bert-base-cased")
    assert {"cpu", "smoke"} <= set(loaded.study.budgets)
    for budget in loaded.study.budgets.values():
        assert budget.note


def test_the_warm_up_study_sweeps_the_proportion():
    variants = check(load(STUDIES / "warmup.yaml"))["full"].variants
    assert [word(v.settings["model"]["memory"]["warmup_proportion"]) for v in variants] == [
        "0",
        "0.2",
        "0.4",
        "0.6",
        "0.8",
        "1",
    ]
    assert {(v.settings["data"]["name"], v.settings["model"]["relation"]["pairs"]["kind"]) for v in variants} == {
        ("cdr", "multi_instance")
    }


def planned_in(tmp_path, name, budget):
    data = tmp_path / "data"
    for file in ("docred/train_joint", "docred/dev_joint", "docred/test_joint", "docred/train_distant"):
        put(data, f"{file}.json", docred("a"))
    for file in ("train_revised", "dev_revised", "test_revised"):
        put(data, f"redocred/{file}.json", docred("a"))
    put(data, "docred/docred_200.json", docred("a"))
    for file in CDR_FILES:
        put(data, f"cdr/{file}", pubtator(1))
    return plan(load(STUDIES / f"{name}.yaml"), budget, Home.at(tmp_path / "home"), [data])


@pytest.mark.parametrize("budget", ["full", "cpu", "smoke"])
def test_pre_training_is_done_once_for_all_that_share_it_in_both_studies(tmp_path, budget):
    table, pretraining = (planned_in(tmp_path, name, budget) for name in ("table1", "pretraining"))
    wanted = {trial.key for trial in pretraining.first_phases}
    assert wanted == {trial.key for trial in table.first_phases}
    # JEREX and ours; at the smaller budgets each corpus is pre-trained on another
    assert len(wanted) == (2 if budget == "full" else 4)
    for trial in pretraining.first_phases:
        data, training = trial.variant.settings["data"], trial.variant.settings["training"]
        if budget == "full":
            assert (data["name"], data["protocol"], training["epochs"], training["learning_rate"]) == (
                "docred", "distant", 1, 5e-5,
            )  # fmt: skip
    for trial in pretraining.trials:
        given = trial.variant.settings
        assert (trial.needs is None) == (given["pretraining"] is None)
        if given["pretraining"] is not None:
            # no document is in both phases
            assert given["pretraining"]["data"]["protocol"] != given["data"]["protocol"]
    shared = {trial.key for trial in table.trials} & {trial.key for trial in pretraining.trials}
    n_seeds = len(table.seeds)
    assert len(shared) == 8 * n_seeds and len(table.trials) == 10 * n_seeds


def test_tables_1_and_2_share_the_trials_that_they_have_in_common(tmp_path):
    for budget in ("full", "cpu", "smoke"):
        one, two = ({t.key for t in planned_in(tmp_path, name, budget).trials} for name in ("table1", "table2"))
        # JEREX and ours + memory, with the multi-instance classifier, on CDR and Re-DocRED
        assert len(one & two) >= 4


def test_document_scale_costs_nothing_after_table_2(tmp_path):
    for budget in ("full", "cpu"):
        scale, two = (
            {t.key for t in planned_in(tmp_path, name, budget).trials} for name in ("document_scale", "table2")
        )
        assert scale < two


def test_quickstart_needs_nothing_from_outside():
    for variant in check(load(STUDIES / "quickstart.yaml"))["full"].variants:
        assert variant.settings["data"]["name"] == "builtin"
        assert variant.settings["model"]["encoder"]["name"] == "minilm"


def test_the_lookup_baseline_is_the_same_as_a_function_and_as_a_command():
    for budget in ("full", "smoke"):
        function, command = (
            {variant.name: variant.settings for variant in check(load(STUDIES / f"{name}.yaml"))[budget].variants}
            for name in ("lookup", "lookup_command")
        )
        assert command.items() <= function.items()
