"""A study comes to its trials, and what is there already is known by its key."""

from __future__ import annotations

import pytest

from orchestrator.errors import StudyError
from orchestrator.plan import plan
from orchestrator.store import Failure, Home, TrialRecord, write_record
from tests.orchestrator.samples import HEAD, SWEEP, loaded


def planned(tmp_path, text=SWEEP, budget="full"):
    return plan(loaded(tmp_path, text), budget, Home.at(tmp_path / "home"), ())


def record(trial, status):
    return TrialRecord(
        key=trial.key,
        study="sample",
        budget="full",
        variant=trial.variant.name,
        seed=trial.seed,
        status=status,
        started="2026-01-01T00:00:00+00:00",
        settings=trial.variant.settings,
        data_digest=trial.data_digest,
        code_epoch=1,
        failure=Failure(kind="ValueError", message="", traceback="") if status == "failed" else None,
    )


def test_every_variant_has_the_same_seeds_and_every_trial_a_key_of_its_own(tmp_path):
    trials = planned(tmp_path).trials
    assert [(trial.variant.name, trial.seed) for trial in trials] == [
        ("warmup_proportion=0", 1),
        ("warmup_proportion=0", 2),
        ("warmup_proportion=0.4", 1),
        ("warmup_proportion=0.4", 2),
    ]
    assert len({trial.key for trial in trials}) == 4


def test_a_finished_trial_is_cached_and_one_that_failed_by_its_own_fault_is_left_alone(tmp_path):
    home = Home.at(tmp_path / "home")
    for trial, status in zip(planned(tmp_path).trials, ("finished", "failed", "interrupted"), strict=False):
        home.trial(trial.key).mkdir(parents=True)
        write_record(home.trial(trial.key), record(trial, status))
    again = planned(tmp_path)
    assert [trial.state for trial in again.trials] == ["cached", "failed", "interrupted", "new"]
    assert [trial.state for trial in again.missing] == ["interrupted", "new"]
    assert [trial.state for trial in again.failed] == ["failed"]


def test_a_further_value_and_a_further_seed_leave_the_keys_of_the_others(tmp_path):
    before = {trial.key for trial in planned(tmp_path).trials}
    more = SWEEP.replace("[0.0, 0.4]", "[0.0, 0.4, 0.8]").replace("seeds: 2", "seeds: 3")
    after = {trial.key for trial in planned(tmp_path, more).trials}
    assert before < after and len(after) == 9


def test_the_name_of_a_study_is_in_no_key(tmp_path):
    other = SWEEP.replace("study: sample", "study: other")
    assert [t.key for t in planned(tmp_path).trials] == [t.key for t in planned(tmp_path, other).trials]


def test_trials_are_run_seed_by_seed(tmp_path):
    assert [trial.seed for trial in planned(tmp_path).missing] == [1, 1, 2, 2]


def test_a_budget_may_take_fewer_seeds(tmp_path):
    assert len(planned(tmp_path, SWEEP + "budgets:\n  cpu: {note: one seed, seeds: [7]}\n", "cpu").trials) == 2


def test_data_that_is_not_there_is_told_at_the_line_that_asks_for_it(tmp_path):
    text = HEAD.replace("{name: builtin, train: 4, dev: 2, test: 2}", "{name: cdr}")

    study = loaded(tmp_path, text)
    with pytest.raises(StudyError, match=r"study.yaml:5:9 settings.data: .*cdr"):
        plan(study, "full", Home.at(tmp_path), ())
