"""What a trial costs beside its training: 40 trials that do nothing, through `orchestrate run` on Ray, beside plain Ray
Tune, which starts a process for each.

Start-up is taken off by a study of two trials: on two CPUs both have started their processes by then. Ours keeps a
durable record, an index, a run in MLflow and a report of all trials; Tune's keeps what it always keeps.
"""

from __future__ import annotations

import sys
import tempfile
import textwrap
from pathlib import Path

from tests.benchmarks.measuring import Line, environment, process

N_TRIALS = 40
N_FOR_START_UP = 2
CPUS = 2
STUDY = """\
study: nothing
question: What does a trial cost that does nothing?
seeds: {seeds}
settings:
  data: {{name: builtin, train: 4, dev: 2, test: 2}}
  training.epochs: 1
"""
PLAIN = textwrap.dedent(
    """
    import sys
    import ray
    from ray import tune

    def trial(config):
        tune.report({"score": float(config["seed"])})

    n_trials, folder = int(sys.argv[1]), sys.argv[2]
    # a Ray of its own, whatever else runs on this machine
    ray.init(
        address="local", num_cpus=int(sys.argv[3]), include_dashboard=False, log_to_driver=False,
        object_store_memory=200_000_000, _temp_dir=sys.argv[4],
    )
    results = tune.Tuner(
        tune.with_resources(trial, {"cpu": 1}),
        param_space={"seed": tune.grid_search(list(range(n_trials)))},
        tune_config=tune.TuneConfig(reuse_actors=False),
        run_config=tune.RunConfig(name="plain", storage_path=folder, verbose=0),
    ).fit()
    assert len(results) == n_trials and not results.errors
    ray.shutdown()
    """
)


def measure(rounds: int = 2, n_trials: int = N_TRIALS) -> list[Line]:
    """In turns; the least of each."""
    sizes = (N_FOR_START_UP, N_FOR_START_UP + n_trials)
    ours: dict[int, list[float]] = {size: [] for size in sizes}
    plain: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for size in sizes:
            ours[size].append(_ours(size))
            plain[size].append(_plain(size))
    start, all_ = sizes
    per_trial = (min(ours[all_]) - min(ours[start])) / n_trials
    per_plain = (min(plain[all_]) - min(plain[start])) / n_trials
    return [
        Line("overhead, start-up of orchestrate run with two trials", min(ours[start]), "s"),
        Line("overhead, start-up of plain Ray Tune with two trials", min(plain[start]), "s"),
        Line("overhead, a trial of orchestrate run", per_trial, "s"),
        Line("overhead, a trial of plain Ray Tune", per_plain, "s"),
        Line("overhead, ours to plain Ray Tune", per_trial / per_plain, "", "at most 0.25", 0.25),
    ]


def _ours(n_trials: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study.yaml"
        study.write_text(STUDY.format(seeds=n_trials), encoding="utf-8")
        command = [sys.executable, "-m", "tests.orchestrator.command", "run", str(study), "--cpus", str(CPUS)]
        return process([*command, "--home", f"{folder}/home", "--json"], environment()).wall


def _plain(n_trials: int) -> float:
    # Ray's sockets lie deep below its folder, and their paths may have 107 letters
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as temporary:
        quiet = environment(RAY_USAGE_STATS_ENABLED="0", RAY_AIR_NEW_OUTPUT="0")
        return process([sys.executable, "-c", PLAIN, str(n_trials), folder, str(CPUS), temporary], quiet).wall
