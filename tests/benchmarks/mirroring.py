"""What share of a trial's time goes into MLflow.

The driver's calls for one trial are timed on a real SQLite: its run with all parameters, an epoch after the other, its
end with its files. A trial's time is that of the trials of a study whose results lie in `studies/results/`: the
shortest of them, so that the share is the greatest.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import ROOT, Line, Took, in_a_process, least, timed

REFERENCE = ROOT / "studies" / "results" / "warmup" / "record.json"
N_EPOCHS, N_METRICS = 20, 25
"""The paper's epochs; losses, scores on dev and seconds."""
CHECKPOINT_BYTES = 18_000_000


def measure(n_trials: int = 12, n_epochs: int = N_EPOCHS) -> list[Line]:
    record = json.loads(REFERENCE.read_text(encoding="utf-8"))
    shortest = min(trial["duration_s"] for trial in record["trials"])
    found = in_a_process("mirroring:once", n_trials=n_trials, n_epochs=n_epochs)
    calls = {call: least([Took(*one) for one in of]) for call, of in found.items()}
    wall, cpu = sum(of.wall for of in calls.values()), sum(of.cpu for of in calls.values())
    return [
        *(Line(f"MLflow, a trial's calls of `{call}`, CPU", of.cpu, "s") for call, of in calls.items()),
        *(Line(f"MLflow, a trial's calls of `{call}`, wall", of.wall, "s") for call, of in calls.items()),
        Line(f"MLflow, all calls of a trial of {n_epochs} epochs, CPU", cpu, "s"),
        Line(f"MLflow, all calls of a trial of {n_epochs} epochs, wall", wall, "s"),
        Line(f"MLflow, shortest trial of the study {record['study']}", shortest, "s"),
        Line("MLflow, share of the shortest trial, wall", wall / shortest, "", "at most 0.02", 0.02),
        Line("MLflow, trial of which it is 2 %", wall / 0.02, "s"),
    ]


def once(n_trials: int, n_epochs: int) -> dict[str, list[list[float]]]:
    """Seconds of each trial, by the kind of call."""
    from orchestrator import index
    from orchestrator.plan import plan
    from orchestrator.schema import load
    from orchestrator.store import Home, write_record
    from orchestrator.tracking import Tracker
    from orchestrator.trainables import Surroundings
    from orchestrator.trial import Job, config

    took: dict[str, list[Took]] = {"started": [], "epoch": [], "ended": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.yaml"
        path.write_text(f"study: mirrored\nquestion: How long?\nseeds: {n_trials + 1}\n", encoding="utf-8")
        home = Home.at(Path(folder) / "home")
        home.refuse_if_not_writable()
        planned = plan(load(path), "full", home, ())
        with index.opened(home.index) as books:
            tracker = Tracker(home, "mirrored", "full", books)
            tracker.open()
            for n_trial, trial in enumerate(planned.trials):
                job = Job(
                    key=trial.key, study="mirrored", budget="full", variant=trial.variant.name, seed=trial.seed,
                    settings=trial.variant.settings, data_digest=trial.data_digest, folder=home.trial(trial.key),
                    where=Surroundings((), home.cache, "cpu", 1), required=(), provenance={},
                    trainable=planned.trainable,
                )  # fmt: skip
                history = [
                    {f"dev/metric_{n}": n_epoch + n / 10 for n in range(N_METRICS)} for n_epoch in range(n_epochs)
                ]
                record = _files(job, config(job), history)
                write_record(job.folder, record)
                calls: dict[str, list[Took]] = {name: [] for name in took}
                with timed(calls["started"]):
                    tracker.started(job)
                with timed(calls["epoch"]):
                    for n_epoch, metrics in enumerate(history, 1):
                        tracker.epoch(job, n_epoch, metrics)
                with timed(calls["ended"]):
                    tracker.ended(job, record)
                assert tracker.trouble is None, tracker.trouble
                if n_trial:  # the first one imports and prepares statements
                    for name, of in calls.items():
                        took[name] += of
    return {name: [[one.wall, one.cpu] for one in of] for name, of in took.items()}


def _files(job: Any, config: str, history: list[dict[str, float]]) -> Any:
    """What a trial leaves in its folder, in number and size as our model does, and its record."""
    from orchestrator.store import CONFIG, HISTORY, LOG
    from tests.benchmarks.samples import finished

    for name in ("predictions", "counts", "checkpoint"):
        (job.folder / name).mkdir(parents=True)
    (job.folder / CONFIG).write_text(config)
    (job.folder / LOG).write_text("a line of some length for each epoch\n" * len(history))
    lines = [json.dumps({"epoch": n, "metrics": metrics}) + "\n" for n, metrics in enumerate(history, 1)]
    (job.folder / HISTORY).write_text("".join(lines))
    for split in ("dev", "test"):
        (job.folder / "predictions" / f"{split}.json").write_text("[]" * 500_000)
        (job.folder / "counts" / f"{split}.json").write_text("{}" * 10_000)
    (job.folder / "checkpoint" / "model.safetensors").write_bytes(bytes(CHECKPOINT_BYTES))
    (job.folder / "checkpoint" / "settings.json").write_text(config)
    return finished(job.key, job.variant, job.seed, job.settings)
