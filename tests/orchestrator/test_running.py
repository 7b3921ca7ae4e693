"""A study is run in this process: what is recorded, tracked, reported and told."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import threading
import time
from collections import Counter

import pytest

from orchestrator import execution, reproduction, tracking
from orchestrator.errors import Exit, StudyError
from orchestrator.execution import Options
from orchestrator.schema import load
from orchestrator.store import Home, write_record
from orchestrator.terminal import counts_line
from orchestrator.tracking import Tracker, sync
from orchestrator.trainables import Permissions
from orchestrator.trainables.model import Model
from orchestrator.trial import _start_afresh
from tests.orchestrator.samples import HEAD, SWEEP, write
from tests.orchestrator.standin import NO_MEMORY_ONCE, NO_NUMBER, RAISES, STANDIN, WITHOUT_SCORES

pytestmark = pytest.mark.filterwarnings("default")  # mlflow and its parts warn of each other


def run(tmp_path, text=SWEEP, budget="full", **more):
    options = Options(**{"budget": budget, "data": (), "backend": "inline", "trainable": STANDIN, **more})
    return execution.run(load(write(tmp_path, text)), Home.at(tmp_path / "home"), options)


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """An MLflow database without runs: to make one takes longer than all else in most of these tests."""
    home = Home.at(tmp_path_factory.mktemp("empty"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        tracker = Tracker(home, "empty", "full")
        tracker.open()
    assert tracker.trouble is None
    return home.database


@pytest.fixture(autouse=True)
def home(tmp_path, database, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "home").mkdir()
    shutil.copy(database, tmp_path / "home" / "mlflow.db")


def mlflow_runs(tmp_path, kind="trial"):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/home/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return client, client.search_runs(experiments, f"tags.kind = '{kind}'")


def variant(**settings):
    return HEAD + f"variants:\n  good: {{}}\n  bad: {{settings: {json.dumps(settings)}}}\n"


def test_a_second_run_executes_nothing_and_reports_the_same(tmp_path):
    first = run(tmp_path)
    table = first.files["table.tex"].read_bytes()
    assert (len(first.executed), first.cached, first.exit_code) == (4, 0, Exit.DONE)
    second = run(tmp_path)
    assert (len(second.executed), second.cached) == (0, 4)
    assert second.files["table.tex"].read_bytes() == table
    assert first.files["table.tex"] == tmp_path / "home" / "sample" / "report" / "table.tex"


def test_a_value_or_a_seed_more_runs_only_what_is_new(tmp_path):
    run(tmp_path)
    assert len(run(tmp_path, SWEEP.replace("0.4]", "0.4, 0.8]")).executed) == 2
    assert len(run(tmp_path, SWEEP.replace("seeds: 2", "seeds: 3")).executed) == 2


def test_two_studies_that_share_a_cell_run_it_once(tmp_path):
    run(tmp_path)
    other = run(tmp_path, SWEEP.replace("study: sample", "study: other"))
    assert (len(other.executed), other.cached) == (0, 4)
    assert len(mlflow_runs(tmp_path)[1]) == 4


def test_each_trial_has_exactly_one_flat_run_however_often_it_is_run(tmp_path):
    outcome = run(tmp_path)
    for trial in outcome.plan.trials[:2]:
        # as a driver that was killed leaves them
        record = trial.record.model_copy(update={"status": "running"})
        write_record(tmp_path / "home" / "trials" / trial.key, record)
    assert len(run(tmp_path).executed) == 2
    client, runs = mlflow_runs(tmp_path)
    assert sorted(r.data.tags["trial_key"] for r in runs) == sorted(t.key for t in outcome.plan.trials)
    assert {r.info.status for r in runs} == {"FINISHED"}
    assert not any("mlflow.parentRunId" in r.data.tags for r in runs)
    for found in runs:
        steps = [m.step for m in client.get_metric_history(found.info.run_id, "dev/relation_strict_f1")]
        assert steps == [1, 2, 3]  # two epochs, and the selected one once more


def test_a_home_may_have_letters_in_its_path_that_mean_something_in_an_address(tmp_path, database):
    place = tmp_path / "50%20 or more?"
    (place / "home").mkdir(parents=True)
    shutil.copy(database, place / "home" / "mlflow.db")
    outcome = run(place)
    assert outcome.trouble is None
    with sqlite3.connect(place / "home" / "mlflow.db") as found:
        kinds = found.execute("select value from tags where key = 'kind' order by value").fetchall()
    assert kinds == [("summary",), *[("trial",)] * 4]


def test_a_run_in_mlflow_has_the_scores_settings_tags_and_files_of_its_trial(tmp_path):
    outcome = run(tmp_path)
    client, runs = mlflow_runs(tmp_path)
    (trial,) = [t for t in outcome.plan.trials if t.variant.name == "warmup_proportion=0.4" and t.seed == 2]
    (found,) = [r for r in runs if r.data.tags["trial_key"] == trial.key]
    for name, value in trial.record.metrics.items():
        assert found.data.metrics[name] == value
    assert found.data.params["model.memory.warmup_proportion"] == "0.4"
    assert found.data.tags["study"] == "sample"
    assert found.data.tags["variant"] == "warmup_proportion=0.4"
    assert found.data.tags["seed"] == "2"
    assert {"mlflow.user", "mlflow.source.name", "budget"} <= set(found.data.tags)
    files = {artifact.path for artifact in client.list_artifacts(found.info.run_id)}
    assert files == {"config.json", "log.txt", "history.jsonl", "predictions", "checkpoint"}


def test_a_summary_run_has_means_spreads_counts_and_the_report(tmp_path):
    run(tmp_path)
    run(tmp_path)
    client, runs = mlflow_runs(tmp_path, "summary")
    (summary,) = runs
    name = "warmup_proportion_0.4/test/relation_strict_f1"
    # seeds 1 and 2 score 44.2 and 45.2 on test
    assert summary.data.metrics[f"{name}_mean"] == pytest.approx(44.7)
    assert summary.data.metrics[f"{name}_sd"] == pytest.approx(0.5**0.5)
    assert summary.data.metrics[f"{name}_n"] == 2
    assert len(client.get_metric_history(summary.info.run_id, f"{name}_mean")) == 1
    assert "report/table.tex" in {artifact.path for artifact in client.list_artifacts(summary.info.run_id, "report")}


def test_a_failed_trial_is_recorded_with_its_traceback_and_the_report_is_built_without_it(tmp_path):
    outcome = run(tmp_path, variant(**{"training.batch_size": RAISES}))
    assert outcome.exit_code == Exit.TRIAL_FAILED
    assert [trial.variant.name for trial in outcome.failed] == ["bad", "bad"]
    failure = outcome.failed[0].record.failure
    assert failure.kind == "ValueError" and "the loss is not finite" in failure.last_lines
    log = tmp_path / "home" / "trials" / outcome.failed[0].key / "log.txt"
    assert "the loss is not finite" in log.read_text()
    assert "2 failed" in outcome.files["table.md"].read_text()
    statuses = {r.data.tags["variant"]: r.info.status for r in mlflow_runs(tmp_path)[1]}
    assert statuses == {"good": "FINISHED", "bad": "FAILED"}


@pytest.mark.parametrize(
    ("behaviour", "message"), [(NO_NUMBER, "no numbers"), (WITHOUT_SCORES, "ended without dev/relation_strict_f1")]
)
def test_a_trial_without_a_finite_score_has_failed(tmp_path, behaviour, message):
    outcome = run(tmp_path, variant(**{"training.batch_size": behaviour}).replace("seeds: 2", "seeds: 1"))
    assert message in outcome.failed[0].record.failure.message


def test_a_trial_that_failed_by_its_own_fault_is_run_again_only_on_request(tmp_path):
    text = variant(**{"training.batch_size": RAISES})
    failed = frozenset(trial.key for trial in run(tmp_path, text).failed)
    again = run(tmp_path, text)
    assert (len(again.executed), again.cached, again.exit_code) == (0, 2, Exit.TRIAL_FAILED)
    retried = run(tmp_path, text, only=failed)
    assert set(retried.executed) == failed
    assert {trial.record.attempts for trial in retried.failed} == {2}
    assert {earlier.failure.kind for trial in retried.failed for earlier in trial.record.earlier} == {"ValueError"}


def test_a_record_says_where_its_numbers_come_from(tmp_path):
    record = run(tmp_path).plan.trials[0].record
    assert record.provenance["code"].keys() == {"commit", "dirty", "diff"}
    assert {"torch", "numpy"} <= record.provenance["packages"].keys()
    assert record.provenance["hardware"]["cores"] >= 1
    assert record.settings["model"]["memory"]["warmup_proportion"] == 0.0
    assert record.data_digest and record.duration_s >= 0
    assert record.facts["device"] == "cpu" and record.facts["threads"] == 1


def test_data_is_prepared_once_for_all_trials_that_share_it(tmp_path):
    run(tmp_path)
    assert len((tmp_path / "home" / "cache" / "prepared.txt").read_text().splitlines()) == 1


def test_a_study_runs_on_without_its_tracker_and_is_brought_up_to_date_later(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/nowhere/mlflow.db")
    outcome = run(tmp_path)
    assert outcome.exit_code == Exit.DONE and outcome.trouble is not None
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert len(run(tmp_path).executed) == 0
    _, runs = mlflow_runs(tmp_path)
    assert len(runs) == 4
    assert all(r.data.metrics["test/relation_strict_f1"] > 40 for r in runs)


@pytest.mark.parametrize("answers", [None, 200, 401, 500])
def test_a_server_that_does_not_answer_is_given_up_in_seconds(monkeypatch, answers):
    monkeypatch.setattr(tracking, "_ANSWERS_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            if answers is None:
                time.sleep(1)  # taken, and never answered
            else:
                connection.recv(4096)
                connection.sendall(f"HTTP/1.1 {answers} So\r\nContent-Length: 0\r\n\r\n".encode())
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        uri = f"http://user:secret@127.0.0.1:{server.getsockname()[1]}/mlflow/"
        began = time.monotonic()
        if answers is None:
            with pytest.raises(ConnectionError, match="no answer in 0.3 seconds"):
                tracking.knock(uri)
            assert time.monotonic() - began < 0.9
        else:
            tracking.knock(uri)
        thread.join()
    with pytest.raises(ConnectionError, match="refused"):
        tracking.knock(uri)


def test_a_study_begins_within_seconds_where_no_server_answers(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tracking, "_ANSWERS_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections, and nobody reads from them
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        began = time.monotonic()
        outcome = run(tmp_path)
        assert time.monotonic() - began < 15
    assert outcome.exit_code == Exit.DONE and "no answer in 0.2 seconds" in outcome.trouble
    assert "the study runs on, `orchestrate sync` brings it up to date" in caplog.text


def test_the_report_is_there_before_the_tracker_is_asked_for_what_it_has_missed(tmp_path, monkeypatch):
    seen = []
    reconcile = Tracker.reconcile

    def late(tracker, records):
        seen.append([path.name for path in (tmp_path / "home").glob("*/report/report.html")])
        reconcile(tracker, records)

    monkeypatch.setattr(Tracker, "reconcile", late)
    run(tmp_path)
    assert seen == [["report.html"]]


def test_sync_brings_the_tracker_up_to_date_without_running_anything(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/nowhere/mlflow.db")
    outcome = run(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    home = Home.at(tmp_path / "home")
    # and one trial was running when its driver was killed
    cut = outcome.plan.trials[0].record
    write_record(home.trial(cut.key), cut.model_copy(update={"status": "running"}))
    for _ in range(2):
        synced = sync(home, "2026-01-01T00:00:00+00:00")
        assert (synced.trials, synced.studies, synced.trouble) == (4, 1, None)
        _, runs = mlflow_runs(tmp_path)
        statuses = {r.data.tags["trial_key"]: r.info.status for r in runs}
        assert len(runs) == 4 and statuses.pop(cut.key) == "KILLED" and set(statuses.values()) == {"FINISHED"}
        (summary,) = mlflow_runs(tmp_path, "summary")[1]
        assert summary.data.metrics["warmup_proportion_0.4/test/relation_strict_f1_n"] == 2


def test_of_two_runs_of_one_trial_one_is_left(tmp_path):
    outcome = run(tmp_path)
    client, runs = mlflow_runs(tmp_path)
    first = runs[0]
    double = client.create_run(first.info.experiment_id, tags=dict(first.data.tags))
    run(tmp_path)
    _, runs = mlflow_runs(tmp_path)
    assert len(runs) == 4 and double.info.run_id not in {r.info.run_id for r in runs}
    assert {r.data.tags["trial_key"] for r in runs} == {trial.key for trial in outcome.plan.trials}


def test_a_trial_without_memory_is_tried_again_alone_and_tagged(tmp_path):
    text = variant(**{"training.batch_size": NO_MEMORY_ONCE}).replace("seeds: 2", "seeds: 1")
    outcome = run(tmp_path, text)
    assert outcome.exit_code == Exit.DONE
    record = next(trial.record for trial in outcome.plan.trials if trial.variant.name == "bad")
    assert (record.status, record.attempts, record.alone) == ("finished", 2, True)
    (first,) = record.earlier
    assert (first.status, first.failure.cause, first.alone) == ("failed", "memory", False)
    (tracked,) = [r for r in mlflow_runs(tmp_path)[1] if r.data.tags["trial_key"] == record.key]
    assert "memory" in tracked.data.tags["retried"] and "alone" in tracked.data.tags
    assert tracked.info.status == "FINISHED"


def test_no_attempt_follows_where_none_is_allowed(tmp_path):
    text = variant(**{"training.batch_size": NO_MEMORY_ONCE}).replace("seeds: 2", "seeds: 1")
    outcome = run(tmp_path, text, retries=0)
    assert [trial.record.failure.cause for trial in outcome.failed] == ["memory"]
    # but the next run takes it up again, as it is no fault of its own
    told = counts_line(outcome.plan, Counter(trial.state for trial in outcome.plan.trials))
    assert told.endswith("1 failed (1 of them by no fault of their own, which the next run takes up again)")
    assert run(tmp_path, text).exit_code == Exit.DONE


def test_a_trial_that_is_reproduced_has_the_same_scores(tmp_path):
    outcome = run(tmp_path)
    record = outcome.plan.trials[0].record
    home = Home.at(tmp_path / "home")
    more = {"study": None, "permissions": Permissions()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reproduction, "Model", lambda: STANDIN)
        done = reproduction.run(record, home, (), **more)
        assert done.equal and done.again.metrics == record.metrics
        assert home.record(record.key) == record
        wrong = record.model_copy(update={"metrics": {**record.metrics, "test/relation_strict_f1": 1.0}})
        assert not reproduction.run(wrong, home, (), **more).equal
        with pytest.raises(StudyError, match="digest"):
            reproduction.run(record.model_copy(update={"data_digest": "other"}), home, (), **more)
        with pytest.raises(StudyError, match="code epoch 7"):
            reproduction.run(record.model_copy(update={"code_epoch": 7}), home, (), **more)
    assert reproduction.commands(record, home)[-1].startswith(f"orchestrate reproduce {record.key} --run")


def test_a_request_that_cannot_be_met_is_refused_before_anything_starts(tmp_path):
    text = SWEEP + "resources: {cpus: 4000, gpus: 64}\n"
    with pytest.raises(StudyError) as refusal:
        run(tmp_path, text)
    first, second = refusal.value.problems
    assert (first.line, first.path) == (10, "resources.cpus") and "4000 CPUs" in first.message
    assert second.path == "resources.gpus"
    assert not list((tmp_path / "home" / "trials").iterdir())


def test_an_encoder_that_is_not_there_is_refused_at_its_line(tmp_path):
    text = SWEEP.replace("training.epochs: 2", "model.encoder.name: /no/such/encoder")
    with pytest.raises(StudyError, match=r"study.yaml:6:23 settings.model.encoder.name: the encoder folder"):
        run(tmp_path, text)


def test_data_that_cannot_be_prepared_is_a_fault_of_the_study(tmp_path):
    trainable = Model(STANDIN.run_function, "tests.orchestrator.test_running:malformed")
    with pytest.raises(StudyError, match=r"study.yaml:5:16 settings.data.name: train.txt, document 3: no title"):
        run(tmp_path, trainable=trainable)


def malformed(settings, *, data, cache):
    raise ValueError("train.txt, document 3: no title")


def test_an_interrupted_trial_is_recorded_and_goes_on_from_where_it_was(tmp_path, monkeypatch):
    import tests.orchestrator.standin as standin

    def interrupted(seconds):
        raise KeyboardInterrupt

    text = HEAD.replace("training.epochs: 2", "training: {epochs: 3, batch_size: 92}")
    monkeypatch.setattr(standin.time, "sleep", interrupted)
    cut = run(tmp_path, text)
    assert cut.exit_code == Exit.INTERRUPTED and cut.files == {}
    assert [trial.state for trial in cut.plan.trials] == ["interrupted", "new"]
    assert [r.info.status for r in mlflow_runs(tmp_path)[1]] == ["KILLED"]
    monkeypatch.setattr(standin.time, "sleep", lambda seconds: None)
    rest = run(tmp_path, text)
    assert rest.exit_code == Exit.DONE
    log = (tmp_path / "home" / "trials" / cut.plan.trials[0].key / "log.txt").read_text()
    assert "resuming after epoch 1" in log
    assert rest.plan.trials[0].record.attempts == 2


def test_every_trial_starts_from_the_same_state_of_global_generators():
    import random

    import numpy as np

    def draws(seed):
        _start_afresh(seed)
        return random.random(), float(np.random.random())

    first = draws(1)
    draws(2)
    assert draws(1) == first != draws(2)
