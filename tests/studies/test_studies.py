"""The studies that come with the project: each validates under every budget and says what it cuts."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.settings import ExperimentSettings
from orchestrator.schema import load
from orchestrator.variants import check
from reports.settings import word

STUDIES = Path(__file__).parents[2] / "studies"
FILES = sorted(STUDIES.glob("*.yaml"))
OF_THE_PAPER = [path for path in FILES if path.stem != "quickstart" and load(path).study.trainable.kind == "model"]
N_VARIANTS = {
    "lookup": 7,
    "lookup_command": 3,
    "memory_parts": 11,
    "quickstart": 3,
    "read_normalisation": 3,
    "relation_classifier": 2,
    "search": 1,
    "similarity": 12,
    "slot_size": 4,
    "table2": 12,
    "warmup": 6,
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_study_validates_under_every_budget(path):
    loaded = load(path)
    assert loaded.study.study == path.stem
    for budget, expansion in check(loaded).items():
        assert len(expansion.variants) == N_VARIANTS[path.stem], budget
        assert expansion.baseline is not None or path.stem in ("search", "table2")


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
