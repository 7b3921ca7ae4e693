"""Studies of functions and commands go through the same store, tracker, reports and backends as those of our models."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from orchestrator.errors import Exit
from orchestrator.schema import load
from orchestrator.variants import check
from tests.orchestrator.samples import write
from tests.orchestrator.trainables.studies import command, function, run, start, study
from tests.orchestrator.trainables.test_command import ended, line, pids

pytestmark = pytest.mark.filterwarnings("default")  # mlflow and its parts warn of each other

SHOWN = """\
baseline: {name: slow}
ablate: {rate: {fast: 1.0}}
report: {kind: comparison, metrics: [test/accuracy]}
"""
LEARNS = """\
import json, os, sys
rate, epochs, seed, folder = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
score = 10 * rate + seed
with open(os.path.join(folder, "progress.jsonl"), "a") as file:
    for epoch in range(1, epochs + 1):
        metrics = {"dev/accuracy": score - 1 + epoch, "loss": 1 / epoch}
        file.write(json.dumps({"epoch": epoch, "metrics": metrics}) + "\\n")
metrics = {"dev/accuracy": score + epochs - 1, "test/accuracy": score}
with open(os.path.join(folder, "metrics.json"), "w") as file:
    json.dump({"metrics": metrics, "selected_epoch": epochs}, file)
"""
KINDS = {
    "function": function("learns"),
    "command": command("{python} learns.py {rate} {epochs} {seed} {folder}", "inputs: [learns.py]\n"),
}


def learns(folder, kind):
    """A study of which the scores are known: 10 times the rate, plus the seed."""
    (folder / "learns.py").write_text(LEARNS)
    return study(KINDS[kind], "rate: 0.5\nepochs: 2", SHOWN, seeds="2").replace("study: sample", f"study: {kind}")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One for both kinds, as to make a database takes longer than all else here."""
    return tmp_path_factory.mktemp("homes") / "home"


@pytest.mark.parametrize("kind", KINDS)
def test_a_study_is_run_recorded_tracked_and_reported_and_a_second_run_executes_nothing(
    tmp_path, monkeypatch, home, kind
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    outcome = run(tmp_path, learns(tmp_path, kind), home)
    assert (len(outcome.executed), outcome.exit_code, outcome.trouble) == (4, Exit.DONE, None)
    records = {(t.variant.name, t.seed): t.record for t in outcome.plan.trials if t.record is not None}
    assert {key: record.metrics["test/accuracy"] for key, record in records.items()} == {
        ("slow", 1): 6.0, ("slow", 2): 7.0, ("fast", 1): 11.0, ("fast", 2): 12.0,
    }  # fmt: skip
    assert {record.selected_epoch for record in records.values()} == {2}
    assert {record.trainable["kind"] for record in records.values()} == {kind}
    assert "| fast | 2 | **11.50** ± 0.71 | +5.00 |" in outcome.files["table.md"].read_text()
    kept = [epoch["metrics"] for one in json.loads(outcome.files["record.json"].read_text())["trials"][:1]
            for epoch in one["history"]]  # fmt: skip
    assert kept == [{"dev/accuracy": 6.0}, {"dev/accuracy": 7.0}] and "learning.pdf" in outcome.files

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    experiment = client.get_experiment_by_name(kind)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.kind = 'trial'")
    assert {found.data.tags["trial_key"]: found.data.metrics["test/accuracy"] for found in runs} == {
        record.key: record.metrics["test/accuracy"] for record in records.values()
    }
    assert {found.data.params["rate"] for found in runs} == {"0.5", "1.0"}
    steps = client.get_metric_history(runs[0].info.run_id, "dev/accuracy")
    assert [point.step for point in steps] == [1, 2, 3]  # two epochs, and the selected one once more

    again = run(tmp_path, learns(tmp_path, kind), home)
    assert (len(again.executed), again.cached) == (0, 4)


# A command that the test kills the worker of: the first attempt waits for that, the second goes on.
WAITS = f"""
cd $ORCHESTRATE_FOLDER
if [ -e last ]; then
    echo '{line(2)}' >> progress.jsonl
    echo '{{"dev/accuracy": 0.5, "test/accuracy": 0.5}}' > metrics.json
    exit
fi
mkdir last
echo '{line(1)}' >> progress.jsonl
sleep 100 &
echo $! $$ $PPID > started
wait
"""


def test_on_ray_a_command_ends_with_its_worker_and_the_trial_is_tried_again(tmp_path):
    home = tmp_path / "home"
    (tmp_path / "train.sh").write_text(WAITS)
    path = write(tmp_path, study(command("sh train.sh")))
    (trial,) = check(load(path))["full"].variants
    driver = start("run", path, "--home", home, "--cpus", 2, "--json", "--allow-command")
    until = time.monotonic() + 60
    while not (found := list(home.glob("trials/*/started"))) and driver.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    *started, guard = pids(found[0], 3)
    worker = int(Path(f"/proc/{guard}/stat").read_text().rpartition(")")[2].split()[1])
    assert worker != driver.pid
    os.kill(worker, signal.SIGKILL)
    assert all(ended(pid) for pid in (*started, guard))
    output, errors = driver.communicate(timeout=120)
    assert driver.returncode == Exit.DONE, errors
    told = json.loads(output)
    assert [(one["variant"], one["status"], one["attempts"]) for one in told["trials"]] == [(trial.name, "finished", 2)]
    assert [one.split(",")[0] for one in (found[0].parent / "history.jsonl").read_text().splitlines()] == [
        '{"epoch": 1', '{"epoch": 2',
    ]  # fmt: skip


def test_on_ray_a_function_is_found_asked_and_followed(tmp_path):
    text = study(
        "kind: function\nfunction: lookup\ninputs: ['catalog:data']",
        "data: {name: builtin, train: 4, dev: 2, test: 2}\nmention_share: [0.3, 0.5]\nrelation_share: [0.2]",
    ).replace("accuracy", "relation_strict_f1")
    driver = start("run", write(tmp_path, text), "--home", tmp_path / "home", "--cpus", 2, "--json")
    output, errors = driver.communicate(timeout=120)
    assert driver.returncode == Exit.DONE, errors
    (trial,) = json.loads(output)["trials"]
    assert trial["status"] == "finished" and trial["metrics"]["test/mention_f1"] > 0
    assert "epoch 2" in errors and "Traceback" not in errors
    (folder,) = (tmp_path / "home" / "trials").iterdir()
    assert {"predictions", "counts", "history.jsonl"} <= {path.name for path in folder.iterdir()}
