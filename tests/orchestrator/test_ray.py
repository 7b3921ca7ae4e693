"""Trials on Ray: processes that die, GPUs that are shared, clusters of several nodes, and processes that stay warm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.store import Home
from tests.orchestrator.samples import HEAD, write
from tests.orchestrator.standin import DIES_ONCE, GPU, NO_MEMORY_ONCE, SLOW
from tests.orchestrator.test_command import ENVIRONMENT, ROOT, orchestrate, start

pytestmark = pytest.mark.filterwarnings("default")

ONE_SEED = HEAD.replace("seeds: 2", "seeds: 1")


def variants(**batch_sizes):
    lines = [f"  {name}: {{settings: {{training.batch_size: {size}}}}}\n" for name, size in batch_sizes.items()]
    return "variants:\n" + "".join(lines)


def test_a_process_that_is_killed_is_followed_by_another_that_goes_on(tmp_path):
    text = ONE_SEED + variants(good=2, dies=DIES_ONCE, memory=NO_MEMORY_ONCE)
    home = Home.at(tmp_path / "home")
    code, output, errors = orchestrate("run", write(tmp_path, text), "--home", home.root, "--cpus", 2, "--json")
    assert code == 0, errors
    told = {trial["variant"]: trial for trial in json.loads(output)["trials"]}
    assert {name: trial["attempts"] for name, trial in told.items()} == {"good": 1, "dies": 2, "memory": 2}
    assert all(trial["mlflow_run_id"] for trial in told.values())
    records = {record.variant: record for record in home.records().values()}
    assert records["dies"].earlier[0].failure.cause == "infrastructure"
    assert records["memory"].earlier[0].failure.cause == "memory" and records["memory"].alone
    for name in ("dies", "memory"):
        assert "resuming after epoch 1" in (home.trial(records[name].key) / "log.txt").read_text()
    assert "again     dies, seed 1 (infrastructure" in errors


def test_as_many_trials_share_a_gpu_as_their_first_one_tells(tmp_path):
    text = HEAD.replace("seeds: 2", "seeds: 4") + variants(gpu=GPU) + "resources: {gpus: measured}\n"
    home = Home.at(tmp_path / "home")
    arguments = ("--home", home.root, "--cpus", 4, "--gpus", 1, "--json")
    code, output, errors = orchestrate("run", write(tmp_path, text), *arguments)
    assert code == 0, errors
    assert {record.facts["visible_gpus"] for record in home.records().values()} == {"0"}
    # the first alone; of the others, three of which fit, one starts before another has ended
    lines = errors.splitlines()
    first_end = next(n for n, line in enumerate(lines) if "finished" in line)
    assert sum("started" in line for line in lines[:first_end]) == 1
    rest = [line.split()[1] for line in lines[first_end + 1 :] if "started" in line or "finished" in line]
    assert rest[:2] == ["started", "started"]


def test_without_a_gpu_a_trial_that_wants_one_is_refused(tmp_path):
    path = write(tmp_path, ONE_SEED + "resources: {gpus: measured}\n")
    code, _, errors = orchestrate("run", path, "--home", tmp_path / "home", "--gpus", 0)
    assert code == 2 and f"{path}:7:19 resources.gpus: a trial wants 1 GPU, this run has 0" in errors


# ------------------------------------------------------------------------------------------------------------- cluster

CLUSTER = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
node = cluster.add_node(num_cpus=1)
other = cluster.add_node(num_cpus=1)
print(cluster.address, node.all_processes["raylet"][0].process.pid, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture
def cluster(tmp_path):
    """A cluster of a head and two nodes, and the process of one of them."""
    with (tmp_path / "cluster.txt").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", CLUSTER], cwd=ROOT, env=ENVIRONMENT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        for line in process.stdout:
            parts = line.split()
            if len(parts) == 2 and ":" in parts[0]:
                yield parts[0], int(parts[1])
                break
        else:
            pytest.fail((tmp_path / "cluster.txt").read_text())
    finally:
        process.communicate("")


@pytest.mark.slow
def test_on_a_cluster_a_trial_whose_node_is_killed_goes_on_on_another(tmp_path, cluster):
    address, node = cluster
    text = ONE_SEED.replace("training.epochs: 2", "training.epochs: 3") + variants(one=SLOW)
    text += f"  two: {{settings: {{training.batch_size: {SLOW}, model.dropout: 0.2}}}}\n"
    path, home = write(tmp_path, text), Home.at(tmp_path / "home")
    code, _, errors = orchestrate(
        "run", write(tmp_path, text + "resources: {cpus: 2}\n"), "--home", home.root, "--address", address
    )
    assert code == 2 and "a trial wants 2 CPUs" in errors
    write(tmp_path, text)
    process = start("run", path, "--home", home.root, "--address", address, "--json")
    assert process.stderr is not None
    try:
        seen = 0
        for line in process.stderr:
            seen += "epoch 1" in line
            if seen == 2:
                break
        os.kill(node, signal.SIGKILL)
        output, errors = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    records = sorted(home.records().values(), key=lambda record: record.attempts)
    assert [(record.status, record.attempts) for record in records] == [("finished", 1), ("finished", 2)]
    assert "resuming after epoch 1" in (home.trial(records[1].key) / "log.txt").read_text()


def test_an_address_at_which_nothing_answers_is_told(tmp_path):
    path = write(tmp_path, ONE_SEED)
    began = time.monotonic()
    code, _, errors = orchestrate("run", path, "--home", tmp_path / "home", "--address", "127.0.0.1:1")
    assert code == 2 and "no Ray cluster answers at 127.0.0.1:1" in errors and "Traceback" not in errors
    assert time.monotonic() - began < 100


# ------------------------------------------------------------------------------------------------------ warm processes

REAL = """\
study: real
question: Does a warm process change anything?
seeds: 1
settings:
  data: {name: builtin, train: 6, dev: 2, test: 2}
  model.encoder: {name: random}
  training.epochs: 2
  training.learning_rate: 1.0e-3
ablate:
  model.dropout: [0.0, 0.2, 0.3]
"""


@pytest.mark.slow
def test_a_trial_that_is_the_third_in_a_warm_process_has_the_scores_and_weights_of_one_alone(tmp_path):
    def records(folder, text):
        (tmp_path / folder).mkdir()
        arguments = [sys.executable, "-m", "orchestrator.cli", "run", str(write(tmp_path / folder, text))]
        arguments += ["--home", str(tmp_path / folder / "home"), "--cpus", "1"]
        done = subprocess.run(arguments, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        home = Home.at(tmp_path / folder / "home")
        return home, {record.variant: record for record in home.records().values()}

    warm_home, warm = records("warm", REAL)
    alone_home, alone = records("alone", REAL.replace("[0.0, 0.2, 0.3]", "[0.3]"))
    (last,) = alone.values()
    third = warm[last.variant]
    assert third.started == max(record.started for record in warm.values())
    processes = {
        Path(warm_home.trial(r.key) / "log.txt").read_text().split("process ")[1].split()[0] for r in warm.values()
    }
    assert len(processes) == 1
    assert third.metrics == last.metrics
    weights = [home.trial(last.key) / "checkpoint" / "model.safetensors" for home in (warm_home, alone_home)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
