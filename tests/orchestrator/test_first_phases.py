"""Trials of two phases: the first is computed once, before all that start from it, and whatever happens in between."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest

from orchestrator import cleaning, cost, execution, first_phases, reproduction
from orchestrator import report as reporting
from orchestrator.errors import Exit, StudyError
from orchestrator.execution import Options
from orchestrator.plan import plan
from orchestrator.scheduling.queue import Queue
from orchestrator.schema import Resources, load
from orchestrator.store import Failure, Home, TrialRecord, write_record
from orchestrator.tracking import Tracker
from orchestrator.trainables import Permissions, Surroundings
from orchestrator.trial import Job
from tests.orchestrator.samples import write
from tests.orchestrator.standin import DIES_ONCE, RAISES, RAISES_ONCE, SLOW, STANDIN, left, score
from tests.orchestrator.test_command import ENVIRONMENT, ROOT, orchestrate, start

pytestmark = pytest.mark.filterwarnings("default")  # mlflow and its parts warn of each other

STUDY = """\
study: sample
question: Does it help?
seeds: 2
settings:
  data: {name: builtin, train: 4, dev: 2, test: 2}
  training.epochs: 2
grid:
  phases:
    plain: {}
    after: {pretraining: {data: {name: builtin, seed: 14, train: 3, dev: 2, test: 2}, epochs: 3}}
  model.memory.warmup_proportion: [0.0, 0.4]
"""
AFTER = ["after / warmup_proportion=0", "after / warmup_proportion=0.4"]
FIRST = "pre-training of after / warmup_proportion=0 and 1 more"


def behaving(first=2, second=2):
    """STUDY with a stand-in that behaves in a way of its own in either phase."""
    return STUDY.replace("epochs: 3}}", f"epochs: 3, batch_size: {first}}}}}").replace(
        "training.epochs: 2", f"training: {{epochs: 2, batch_size: {second}}}"
    )


@pytest.fixture
def quick(monkeypatch):
    """Without MLflow and the figures, which take longer than all else."""
    monkeypatch.setattr(Tracker, "open", lambda self: setattr(self, "trouble", "not tracked"))
    monkeypatch.setattr("orchestrator.trial.gc.collect", lambda: 0)

    def without_files(planned, home, *_, **__):
        made = reporting.results if planned.search is None else reporting.search_results
        return made(planned, home), {}

    monkeypatch.setattr(reporting, "write", without_files)


def home_in(tmp_path, name="home"):
    return Home.at(tmp_path / name)


def run(tmp_path, text=STUDY, budget="full", home="home", **more):
    options = Options(**{"budget": budget, "data": (), "backend": "inline", "trainable": STANDIN, **more})
    return execution.run(load(write(tmp_path, text)), home_in(tmp_path, home), options)


def planned(tmp_path, text=STUDY, home="home"):
    return plan(load(write(tmp_path, text)), "full", home_in(tmp_path, home), (), trainable=STANDIN)


def by_phase(outcome):
    """State of the first phases, and of the trials by variant."""
    states = {}
    for trial in outcome.plan.trials:
        states.setdefault(trial.variant.name.partition(" ")[0], []).append(trial.state)
    return [trial.state for trial in outcome.plan.first_phases], states


def results(home, keys=None):
    """What came of the trials of a home, by key, without times and places."""
    told = {}
    for key, record in home.records(keys).items():
        files = [home.trial(key) / "checkpoint" / name for name in ("model.safetensors", "weights.json")]
        weights = [file.read_bytes() for file in files if file.exists()]
        assert weights, "a trial that leaves no weights cannot be compared"
        told[key] = (record.variant, record.status, record.metrics, record.selected_epoch, weights)
    return told


# -------------------------------------------------------------------------------------------------------- computed once


def test_a_first_phase_is_computed_once_before_all_that_start_from_it(tmp_path, quick):
    outcome = run(tmp_path)
    home = home_in(tmp_path)
    (first,) = outcome.plan.first_phases
    assert (len(outcome.executed), outcome.cached, outcome.exit_code) == (9, 0, Exit.DONE)
    assert (first.variant.name, first.seed, first.state) == (FIRST, 1, "cached")
    dependents = [trial for trial in outcome.plan.trials if trial.variant.name in AFTER]
    at = {key: n for n, key in enumerate(outcome.executed)}
    assert len(dependents) == 4 and all(at[first.key] < at[trial.key] for trial in dependents)
    # on Ray and here alike, what needs nothing does not wait
    for trial in outcome.plan.trials:
        assert trial.record is not None and trial.record.needs == trial.needs
        assert trial.needs == (first.key if trial in dependents else None)
        settings = STANDIN.settings_model.model_validate(trial.variant.settings)
        given = left(1, 3) if trial in dependents else 0.0
        assert trial.record.metrics["dev/relation_strict_f1"] == pytest.approx(given + score(settings, trial.seed, 2))
    record = first.record
    assert record is not None and record.attempts == 1 and record.provenance["phase"] == "pretraining"
    assert record.settings["training"]["select"]["epoch"] == "last" and record.settings["pretraining"] is None
    assert json.loads((home.trial(dependents[0].key) / "config.json").read_text())["needs"] == first.key

    again = run(tmp_path)
    assert (len(again.executed), again.cached) == (0, 8)


def test_a_first_phase_is_in_no_table_and_in_no_mean(tmp_path, quick):
    outcome = run(tmp_path)
    (first,) = outcome.plan.first_phases
    results = reporting.results(outcome.plan, home_in(tmp_path))
    assert len(results.trials) == 8 and first.key not in {trial.key for trial in results.trials}
    assert results.provenance["trials"].startswith("8 finished of 8, 1 of pre-training, ")
    assert results.provenance["data"].keys() == {"builtin", "builtin after builtin"}


def test_another_study_that_has_the_same_first_phase_finds_it_there(tmp_path, quick):
    run(tmp_path)
    other = STUDY.replace("study: sample", "study: other").replace("[0.0, 0.4]", "[0.9]")
    outcome = run(tmp_path, other)
    (first,) = outcome.plan.first_phases
    assert first.state == "cached" and first.record.study == "sample"
    # two variants of one value and two seeds, and no first phase
    assert len(outcome.executed) == 4 and first.key not in outcome.executed
    assert first_phases.wanted(home_in(tmp_path))[first.key] == {
        t.key for t in (*planned(tmp_path).trials, *outcome.plan.trials) if t.needs
    }


def test_variants_of_other_weights_or_seeds_have_first_phases_of_their_own(tmp_path):
    text = STUDY + "ablate: {model.dropout: {more: 0.3}}\nbaseline: {name: base}\n"
    assert len(planned(tmp_path, text).first_phases) == 2
    assert len(planned(tmp_path, STUDY.replace("epochs: 3}}", "epochs: 3, seed: 7}}")).first_phases) == 1
    keys = {
        planned(tmp_path, t).first_phases[0].key for t in (STUDY, STUDY.replace("epochs: 3}}", "epochs: 3, seed: 7}}"))
    }
    assert len(keys) == 2


def test_the_whole_section_and_both_corpora_are_in_the_key_of_the_second_phase(tmp_path):
    def keys(text):
        return {trial.key for trial in planned(tmp_path, text).trials if trial.needs}

    before = keys(STUDY)
    for change in (
        ("epochs: 3}}", "epochs: 3, seed: 7}}"),
        ("epochs: 3}}", "epochs: 4}}"),
        ("seed: 14", "seed: 15"),
        ("train: 4,", "train: 5,"),
    ):
        assert not before & keys(STUDY.replace(*change)), change
    digests = {trial.data_digest for trial in planned(tmp_path).trials}
    assert len(digests) == 2 and planned(tmp_path).first_phases[0].data_digest not in digests


def test_data_of_the_first_phase_that_is_not_there_is_told_at_its_line(tmp_path):
    text = STUDY.replace("{name: builtin, seed: 14, train: 3, dev: 2, test: 2}", "{name: docred, protocol: distant}")
    with pytest.raises(StudyError) as refusal:
        planned(tmp_path, text)
    (problem,) = refusal.value.problems
    assert (problem.line, problem.path) == (10, "grid.phases.after.pretraining.data")
    assert "docred/train_distant.json" in problem.message and "--protocol distant" in problem.message


def test_data_of_the_first_phase_that_cannot_be_prepared_is_told_at_its_line(tmp_path, quick):
    from orchestrator.trainables.model import Model

    trainable = Model(STANDIN.run_function, "tests.orchestrator.test_first_phases:malformed")
    with pytest.raises(StudyError, match=r"study.yaml:10:40 grid.phases.after.pretraining.data.name: document 3: no"):
        run(tmp_path, trainable=trainable)


def malformed(settings, *, data, cache):
    if settings.data.seed == 14:
        raise ValueError("document 3: no title")


# ------------------------------------------------------------------------------------------------------- shown and told


def test_plan_and_status_show_what_comes_before(tmp_path):
    path, home = write(tmp_path, STUDY), tmp_path / "home"
    told = json.loads(orchestrate("plan", path, "--home", home, "--json")[1])
    (first,) = told["first_phases"]
    assert (first["variant"], first["state"], told["counts"]) == (FIRST, "new", {"new": 8})
    assert {trial["needs"] for trial in told["trials"]} == {None, first["key"]}
    code, output, _ = orchestrate("plan", path, "--home", home)
    assert code == 0 and f"{first['key']}\t{FIRST}\t1\tnew" in output
    assert "8 trials: 8 new; pre-training before: 1 new" in output
    code, output, errors = orchestrate("run", path, "--home", home, "--backend", "inline", "--json")
    assert code == 0, errors
    assert f"finished  {FIRST}, seed 1" in errors and "[9/9]" in errors
    told = json.loads(output)
    assert (told["executed"], told["blocked"]) == (9, []) and told["first_phases"][0]["mlflow_run_id"]
    told = json.loads(orchestrate("status", path, "--home", home, "--json")[1])
    assert told["first_phases"][0]["state"] == "cached" and told["counts"] == {"cached": 8}
    assert orchestrate("status", path, "--home", home)[1].count(FIRST) == 1
    keys = [line.split("\t")[0] for line in orchestrate("runs", "--home", home)[1].splitlines()[1:]]
    assert len(keys) == 9

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    (tracked,) = client.search_runs(experiments, "tags.phase = 'pretraining'")
    assert tracked.data.tags["trial_key"] == first["key"] and tracked.info.status == "FINISHED"
    assert tracked.data.metrics["dev/relation_strict_f1"] > 0
    assert len(client.search_runs(experiments, "tags.kind = 'trial'")) == 9
    (summary,) = client.search_runs(experiments, "tags.kind = 'summary'")
    assert not any("pre-training" in name for name in summary.data.metrics)


def test_what_comes_before_is_counted_in_what_a_study_costs(tmp_path, quick):
    home = home_in(tmp_path)
    before = planned(tmp_path)
    assert [trial.is_first_phase for trial in before.to_run] == [True] + [False] * 8
    weights = STANDIN.disk_bytes(before.trials[0].variant.settings)
    assert cost.disk_bytes(before, before.to_run, home) == (9 + 7) * weights
    run(tmp_path)
    records = home.records()
    (first,) = planned(tmp_path).first_phases
    for key, record in records.items():
        seconds = 7200.0 if key == first.key else 3600.0 if record.needs else 1800.0
        write_record(home.trial(key), record.model_copy(update={"duration_s": seconds}))
    shutil.rmtree(home.trial(first.key) / "checkpoint")
    more = planned(tmp_path, STUDY.replace("seeds: 2", "seeds: 3"))
    # the first phase once more, and a trial of each variant
    expected = cost.estimate(more, more.to_run, home, slots=2)
    assert expected.hours == pytest.approx(2 + 2 * 1 + 2 * 0.5)
    # the two that need it begin once it has ended
    assert expected.wall_hours == pytest.approx(2 + 1)
    done = planned(tmp_path)
    assert done.to_run == () and done.first_phases[0].state == "cleared"


def test_pilots_tell_of_both_phases(tmp_path, quick):
    home = home_in(tmp_path)
    options = Options(budget="full", data=(), backend="inline", trainable=STANDIN)
    execution.run_pilots(load(write(tmp_path, STUDY)), home, options)
    pilots = home.records()
    # an epoch of each variant, whose second phases have those of `plain`, and one of the first phase
    assert len(pilots) == 3
    plan = planned(tmp_path)
    expected = cost.estimate(plan, plan.to_run, home)
    assert expected.unknown == () and set(expected.sources.values()) == {"pilot"}
    assert run(tmp_path).exit_code == Exit.DONE


def test_the_pilot_of_a_first_phase_of_one_epoch_is_the_first_phase(tmp_path, quick):
    text = STUDY.replace("epochs: 3}}", "epochs: 1, seed: 5}}")
    options = Options(budget="full", data=(), backend="inline", trainable=STANDIN)
    execution.run_pilots(load(write(tmp_path, text)), home_in(tmp_path), options)
    (first,) = planned(tmp_path, text).first_phases
    assert first.state == "cached" and first.record.budget == "pilot"
    assert first.key not in run(tmp_path, text).executed


# -------------------------------------------------------------------------------------------------------------- failing


def test_where_a_first_phase_fails_for_good_what_needs_it_is_not_started_and_that_is_told(tmp_path):
    path, home = write(tmp_path, behaving(first=RAISES)), tmp_path / "home"
    for n_executed in (5, 0):
        code, output, errors = orchestrate("run", path, "--home", home, "--backend", "inline", "--json")
        told = json.loads(output)
        assert (code, told["executed"], told["failed"]) == (1, n_executed, 1)
        assert [trial["status"] for trial in told["first_phases"]] == ["failed"]
        assert {t["variant"].split()[0]: t["status"] for t in told["trials"]} == {
            "plain": "finished",
            "after": "not run",
        }
        assert len(told["blocked"]) == 4
        assert f"failed: {FIRST}, seed 1 (program)" in errors and "the loss is not finite" in errors
        assert f"not started: 4 trials of {', '.join(AFTER)}, as {FIRST} ({told['first_phases'][0]['key']})" in errors
        assert "orchestrate retry --failed" in errors
    code, output, _ = orchestrate("status", path, "--home", home)
    assert "8 trials: 4 cached, 4 new; pre-training before: 1 failed" in output


def test_a_first_phase_that_is_run_again_lets_the_rest_follow(tmp_path, quick):
    text = behaving(first=RAISES_ONCE)
    outcome = run(tmp_path, text)
    assert by_phase(outcome) == (["failed"], {"plain": ["cached"] * 4, "after": ["new"] * 4})
    assert outcome.plan.to_run == () and len(outcome.plan.blocked) == 4
    (first,) = outcome.plan.first_phases
    retried = run(tmp_path, text, only=frozenset([first.key]))
    assert retried.executed == (first.key,) and by_phase(retried)[0] == ["cached"]
    rest = run(tmp_path, text)
    assert len(rest.executed) == 4 and rest.exit_code == Exit.DONE
    assert rest.plan.first_phases[0].record.attempts == 2


def test_retry_names_a_first_phase_as_it_does_others(tmp_path):
    path, home = write(tmp_path, behaving(first=RAISES_ONCE)), tmp_path / "home"
    arguments = (path, "--home", home, "--backend", "inline", "--json")
    assert orchestrate("run", *arguments)[0] == 1
    code, output, errors = orchestrate("retry", "--failed", *arguments)
    told = json.loads(output)
    # nothing else is run; the rest is still to be done
    assert (code, told["executed"], told["failed"], told["blocked"]) == (1, 1, 0, []), errors
    assert orchestrate("run", *arguments)[0] == 0


def test_a_trial_that_failed_by_itself_is_run_again_after_its_first_phase_whose_checkpoint_is_gone(tmp_path, quick):
    text = behaving(second=RAISES)
    failed = run(tmp_path, text)
    (first,) = failed.plan.first_phases
    assert first.state == "cached" and len(failed.failed) == 8
    shutil.rmtree(home_in(tmp_path).trial(first.key) / "checkpoint")
    one = next(trial for trial in failed.plan.trials if trial.needs)
    again = run(tmp_path, text, only=frozenset([one.key]))
    assert again.executed == (first.key, one.key)
    assert home_in(tmp_path).record(first.key).status == "finished"


# -------------------------------------------------------------------------------------------------------- interruptions


def test_an_interrupted_first_phase_goes_on_and_the_rest_follows(tmp_path, quick, monkeypatch):
    import tests.orchestrator.standin as standin

    def interrupted(seconds):
        raise KeyboardInterrupt

    text = behaving(first=SLOW)
    monkeypatch.setattr(standin.time, "sleep", interrupted)
    cut = run(tmp_path, text)
    assert cut.exit_code == Exit.INTERRUPTED
    assert by_phase(cut) == (["interrupted"], {"plain": ["new"] * 4, "after": ["new"] * 4})
    monkeypatch.setattr(standin.time, "sleep", lambda seconds: None)
    rest = run(tmp_path, text)
    assert rest.exit_code == Exit.DONE
    (first,) = rest.plan.first_phases
    assert "resuming after epoch 1" in (home_in(tmp_path).trial(first.key) / "log.txt").read_text()
    run(tmp_path, text, home="whole")
    assert results(home_in(tmp_path)) == results(home_in(tmp_path, "whole"))


@pytest.mark.parametrize(("phase", "backend"), [(1, "ray"), (2, "inline")])
def test_a_driver_that_is_killed_in_either_phase_leaves_what_the_next_goes_on_from(tmp_path, phase, backend):
    slow = behaving(first=SLOW) if phase == 1 else behaving(second=SLOW)
    slow = slow.replace("seeds: 2", "seeds: 1")
    path, home = write(tmp_path, slow), home_in(tmp_path)
    arguments = (path, "--home", home.root, "--cpus", 2, "--backend", backend, "--json")
    if phase == 2:
        # what needs nothing would sleep as well
        path.write_text(slow.replace("    plain: {}\n", "    plain: {training.batch_size: 2}\n"))
    process = start("run", *arguments)
    assert process.stderr is not None
    waited_for = f"epoch 1   {FIRST}" if phase == 1 else "epoch 1   after"
    assert any(waited_for in line for line in iter(process.stderr.readline, ""))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    code, output, errors = orchestrate("run", *arguments)
    assert code == 0, errors
    told = json.loads(output)
    assert {trial["status"] for trial in (*told["trials"], *told["first_phases"])} == {"finished"}
    cut = told["first_phases"] if phase == 1 else [t for t in told["trials"] if t["attempts"] > 1]
    assert cut and all(trial["attempts"] == 2 for trial in cut)
    # a second slot may have begun its trial only just
    logs = [(home.trial(trial["key"]) / "log.txt").read_text() for trial in cut]
    assert any("resuming after epoch 1" in log for log in logs)

    from tests.orchestrator import standin

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(standin.time, "sleep", lambda seconds: None)
        patch.setattr(Tracker, "open", lambda self: setattr(self, "trouble", "not tracked"))
        options = Options(budget="full", data=(), backend="inline", trainable=STANDIN)
        execution.run(load(path), home_in(tmp_path, "whole"), options)
    assert results(home) == results(home_in(tmp_path, "whole"))


def test_on_ray_two_slots_share_one_first_phase_that_survives_the_death_of_its_process(tmp_path):
    path, home = write(tmp_path, behaving(first=DIES_ONCE)), home_in(tmp_path)
    code, output, errors = orchestrate("run", path, "--home", home.root, "--cpus", 2, "--json")
    assert code == 0, errors
    told = json.loads(output)
    (first,) = told["first_phases"]
    assert (told["executed"], first["attempts"], first["status"]) == (9, 2, "finished")
    assert f"again     {FIRST}, seed 1 (infrastructure" in errors
    log = (home.trial(first["key"]) / "log.txt").read_text()
    assert log.count("attempt 1") == log.count("attempt 2") == 1 and "resuming after epoch 1" in log
    started = [line for line in errors.splitlines() if " started   after" in line]
    end = next(n for n, line in enumerate(errors.splitlines()) if f"finished  {FIRST}" in line)
    assert len(started) == 4 and all(errors.splitlines().index(line) > end for line in started)


def test_on_ray_a_first_phase_that_fails_ends_the_run_without_what_needs_it(tmp_path):
    path = write(tmp_path, behaving(first=RAISES).replace("    plain: {}\n", ""))
    code, output, errors = orchestrate("run", path, "--home", tmp_path / "home", "--cpus", 2, "--json")
    told = json.loads(output)
    assert (code, told["executed"], len(told["blocked"])) == (1, 1, 4), errors
    assert {trial["status"] for trial in told["trials"]} == {"not run"}


REAL = """\
study: real
question: Are the weights the same when either phase was cut short?
seeds: 1
settings:
  data: {name: builtin, train: 12, dev: 3, test: 3}
  model.encoder: {name: random}
  training: {epochs: 5, learning_rate: 1.0e-3}
  pretraining: {data: {name: builtin, seed: 14, train: 12, dev: 3, test: 3}, epochs: 5, learning_rate: 1.0e-3}
ablate: {model.memory.warmup_proportion: {early: 0.2}}
baseline: {name: paper}
"""


@pytest.mark.slow
def test_our_model_has_the_same_weights_when_its_driver_was_killed_in_both_phases(tmp_path):
    path, home, whole = write(tmp_path, REAL), home_in(tmp_path), home_in(tmp_path, "whole")

    def command(home):
        words = [sys.executable, "-m", "orchestrator.cli", "run", path, "--home", home.root, "--backend", "inline",
                 "--json"]  # fmt: skip
        return {"args": list(map(str, words)), "cwd": ROOT, "env": ENVIRONMENT, "text": True}

    for waited_for in ("epoch 2   pre-training of paper and 1 more", "epoch 2   early"):
        with subprocess.Popen(**command(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            assert any(waited_for in line for line in process.stderr)
            process.kill()
    told = []
    for place in (home, whole):
        done = subprocess.run(**command(place), capture_output=True, timeout=300)
        assert done.returncode == 0, done.stderr
        told.append(json.loads(done.stdout))
    trials = [trial for trial in told[0]["trials"] if trial["attempts"] == 2]
    assert trials, "no trial was cut short"
    assert told[0]["first_phases"][0]["attempts"] == 2
    for trial in (*told[0]["first_phases"], *trials):
        assert "resuming after epoch" in (home.trial(trial["key"]) / "log.txt").read_text()
    assert results(home) == results(whole) and len(results(home)) == 3
    (first,) = told[0]["first_phases"]
    facts = home.record(told[0]["trials"][0]["key"]).facts
    assert facts["pretraining"]["parameters_taken"] > 50 and first["metrics"]["dev/mention_f1"] >= 0


# ----------------------------------------------------------------------------------------------------------- cleaning


def test_a_first_phase_keeps_its_checkpoint_as_long_as_a_trial_that_starts_from_it_has_not_ended(tmp_path, quick):
    # only the first phase and what needs nothing has come to its end
    outcome = run(tmp_path, behaving(second=RAISES))
    home = home_in(tmp_path)
    (first,) = outcome.plan.first_phases
    for keep in ("best", "all-finished", "none"):
        found = cleaning.plan_cleaning(home, keep, interrupted=True)
        assert [(item.what, item.key, item.why) for item in found.kept] == [
            ("checkpoint", first.key, "4 trials that did not end yet start from it")
        ]
        assert first.key not in {item.key for item in found.items}


def test_also_for_trials_that_were_never_started(tmp_path, quick):
    home = home_in(tmp_path)
    (first,) = (trial for trial in planned(tmp_path).first_phases)
    run(tmp_path)
    for trial in planned(tmp_path).trials:
        if trial.needs:
            shutil.rmtree(home.trial(trial.key))
    home.index.unlink()  # nothing that matters is kept there alone
    assert [item.key for item in cleaning.plan_cleaning(home, "none").kept] == [first.key]
    # until its study does not want it any more
    run(tmp_path, STUDY.replace("    after: {pretraining", "    other: {model.dropout: 0.3}\n    #"))
    assert first.key in {item.key for item in cleaning.plan_cleaning(home, "none").items}


def test_a_first_phase_that_was_cleared_is_computed_again_to_the_same_weights_once_it_is_needed(tmp_path, quick):
    run(tmp_path)
    home = home_in(tmp_path)
    (first,) = planned(tmp_path).first_phases
    before = results(home, [first.key])
    cleared = cleaning.plan_cleaning(home, "best").apply()
    assert "all that starts from it has ended" in {item.why for item in cleared.items if item.key == first.key}
    assert planned(tmp_path).first_phases[0].state == "cleared"
    assert run(tmp_path).executed == ()  # nothing needs it
    outcome = run(tmp_path, STUDY.replace("seeds: 2", "seeds: 3"))
    assert len(outcome.executed) == 5 and outcome.executed.count(first.key) == 1
    again = outcome.plan.first_phases[0].record
    assert (again.status, again.attempts) == ("finished", 2)
    assert [attempt.status for attempt in again.earlier] == ["finished"]
    assert results(home, [first.key]) == before


def test_what_is_written_down_of_first_phases_and_cannot_be_read_is_told(tmp_path, quick):
    run(tmp_path)
    (tmp_path / "home" / "sample" / "first_phases.json").write_text("[1]")
    with pytest.raises(StudyError, match="first_phases.json cannot be read .* `orchestrate run` of its study"):
        cleaning.plan_cleaning(home_in(tmp_path))


# -------------------------------------------------------------------------------------------------------- reproduction


def test_a_trial_of_two_phases_is_reproduced_with_and_without_the_checkpoint_of_the_first(tmp_path, quick, monkeypatch):
    outcome = run(tmp_path)
    home = home_in(tmp_path)
    monkeypatch.setattr(reproduction, "Model", lambda: STANDIN)
    record = next(trial.record for trial in outcome.plan.trials if trial.needs)
    for is_there in (True, False):
        if not is_there:
            shutil.rmtree(home.trial(record.needs) / "checkpoint")
        done = reproduction.run(record, home, (), study=None, permissions=Permissions())
        assert done.equal and done.again.needs == record.needs
        assert (home.root / "reproduced" / record.needs).exists() != is_there
    first = outcome.plan.first_phases[0].record
    assert reproduction.run(first, home, (), study=None, permissions=Permissions()).equal


# --------------------------------------------------------------------------------------------------------------- search

SEARCH = """\
study: sample
question: Which warm-up, after pre-training?
seeds: 1
settings:
  data: {name: builtin, train: 4, dev: 2, test: 2}
  training.epochs: 4
  pretraining: {data: {name: builtin, seed: 14, train: 3, dev: 2, test: 2}, epochs: 3}
search:
  trials: 5
  space:
    model.memory.warmup_proportion: {kind: uniform, low: 0, high: 1}
  pruning: {kind: asha, grace_epochs: 1, reduction_factor: 2}
"""


def test_the_suggestions_of_a_search_share_a_first_phase_and_wait_for_it_one_after_another(tmp_path, quick):
    before = planned(tmp_path, SEARCH)
    (first,) = before.first_phases
    assert before.to_run[0].key == first.key and len(before.to_run) == 6
    path = write(tmp_path, SEARCH)
    code, output, errors = orchestrate("run", path, "--home", tmp_path / "home", "--cpus", 2, "--json")
    assert code == 0, errors
    told = json.loads(output)
    assert (told["executed"], len(told["search"]["suggestions"])) == (6, 5)
    assert {trial["needs"] for trial in told["trials"]} == {first.key}
    assert "finished  pre-training of sample" in next(line for line in errors.splitlines() if "finished" in line)
    assert run(tmp_path, SEARCH).executed == ()


def test_a_search_over_what_the_first_phase_hangs_on_has_one_for_each_suggestion(tmp_path, quick):
    text = SEARCH.replace(
        "model.memory.warmup_proportion: {kind: uniform, low: 0, high: 1}",
        "model.dropout: {kind: choice, values: [0.1, 0.2]}",
    )
    assert planned(tmp_path, text).first_phases == ()  # nothing is suggested yet
    outcome = run(tmp_path, text.replace("trials: 5", "trials: 8"))
    drawn = {trial.key for trial in outcome.plan.trials}
    assert len(drawn) == len(outcome.plan.first_phases) == 2
    assert {trial.needs for trial in outcome.plan.trials} == {trial.key for trial in outcome.plan.first_phases}


def test_a_search_whose_first_phase_fails_stops_without_suggesting_all_in_vain(tmp_path, quick):
    text = SEARCH.replace("epochs: 3}", f"epochs: 3, batch_size: {RAISES}}}")
    outcome = run(tmp_path, text)
    assert len(outcome.plan.search.suggestions) == 2 and "has not finished" in outcome.stopped
    assert outcome.exit_code == Exit.TRIAL_FAILED
    again = run(tmp_path, text)
    assert again.executed == () and len(again.plan.search.suggestions) == 2 and len(again.plan.blocked) == 2


# ---------------------------------------------------------------------------------------------------------------- queue


def job(folder: Path, key: str, first: Job | None = None, *, is_first: bool = False) -> Job:
    where = Surroundings((), folder, "cpu", 1)
    made = {"study": "s", "budget": "full", "variant": key, "seed": 1, "settings": {"key": key}, "data_digest": ""}
    more = {"needs": None if first is None else first.key, "first_phase": first, "is_first_phase": is_first}
    return Job(key=key, **made, folder=folder / key, where=where, required=(), provenance={}, trainable=STANDIN, **more)


def ended(job: Job, status="finished", cause="program", checkpoint=True) -> TrialRecord:
    if checkpoint:
        (job.folder / "checkpoint").mkdir(parents=True, exist_ok=True)
    failure = Failure(kind="E", message="m", traceback="", cause=cause) if status == "failed" else None
    told = {"study": "s", "budget": "full", "variant": job.variant, "seed": 1, "started": "", "code_epoch": 1}
    return TrialRecord(key=job.key, status=status, failure=failure, settings=job.settings, data_digest="", **told)


def taken(queue: Queue) -> list[Job]:
    found = []
    while (start := queue.next()) is not None:
        found.append(start.job)
    return found


def test_a_queue_hands_out_what_waits_for_nothing_and_the_rest_once_its_first_phase_is_there(tmp_path):
    a, b = job(tmp_path, "a", is_first=True), job(tmp_path, "b", is_first=True)
    queue = Queue(
        [job(tmp_path, "a1", a), job(tmp_path, "b1", b), job(tmp_path, "plain"), job(tmp_path, "a2", a)], Resources()
    )
    first = taken(queue)
    assert [one.key for one in first] == ["a", "b", "plain"] and not queue.is_done
    queue.ended(b, ended(b))
    assert [one.key for one in taken(queue)] == ["b1"]
    # a process that died is tried again before anything follows
    assert queue.ended(a, ended(a, "failed", "infrastructure")) is not None
    assert [one.key for one in taken(queue)] == ["a"]
    queue.ended(a, ended(a))
    rest = taken(queue)
    assert [one.key for one in rest] == ["a1", "a2"]
    for one in queue.in_flight:
        queue.ended(one, ended(one))
    assert queue.is_done


@pytest.mark.parametrize("end", [("failed",), ("interrupted",), ("finished", "program", False)])
def test_a_queue_is_done_where_a_first_phase_has_left_nothing(tmp_path, end):
    a = job(tmp_path, "a", is_first=True)
    queue = Queue([job(tmp_path, "a1", a), job(tmp_path, "a2", a)], Resources())
    (first,) = taken(queue)
    assert queue.ended(first, ended(first, *end)) is None
    assert taken(queue) == [] and queue.is_done and queue.n_waiting == 0


def test_a_queue_measures_a_first_phase_by_itself(tmp_path):
    a = job(tmp_path, "a", is_first=True)
    queue = Queue([job(tmp_path, "a1", a), job(tmp_path, "plain")], Resources(gpus="measured"))
    assert [one.key for one in taken(queue)] == ["a", "plain"]
    queue.ended(a, ended(a))
    assert [one.key for one in taken(queue)] == ["a1"]


def test_a_source_is_not_asked_as_long_as_what_it_gave_waits_for_its_first_phase(tmp_path):
    a = job(tmp_path, "a", is_first=True)

    class Source:
        given = deque(job(tmp_path, f"a{n}", a) for n in range(3))

        @property
        def n_left(self):
            return len(self.given)

        def next(self):
            return self.given.popleft() if self.given else None

    queue = Queue([], Resources(), source=Source())
    assert [one.key for one in taken(queue)] == ["a"] and queue.source.n_left == 2
    queue.ended(a, ended(a))
    assert [one.key for one in taken(queue)] == ["a0", "a1", "a2"]
