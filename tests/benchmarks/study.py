"""How much of the time of a study its trials compute: `python -m tests.benchmarks.study [--json FILE]`.

The ideal is what all trials compute (their epochs' training and evaluation, and extraction from test), spread over the
slots; start-up is what a study with one trial for each slot takes beside what these compute.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Literal

from tests.benchmarks import command
from tests.benchmarks.measuring import Line, environment, process

N_TRIALS = 12
SLOTS = 2
STUDY = """\
study: short
question: How much of a study's time do its trials compute?
seeds: {seeds}
settings:
  data: {{name: builtin, train: {documents}, dev: 20, test: 20}}
  model:
    encoder: {{name: {encoder}}}
    memory: {{read: {{kind: inverse, normalisation: rescaled}}}}
  training: {{epochs: {epochs}, learning_rate: 5.0e-4}}
resources: {{cpus: 1, gpus: 0}}
"""


def measure(
    backend: Literal["ray", "inline"] = "ray",
    encoder: str = "tiny",
    n_trials: int = N_TRIALS,
    documents: int = 80,
    epochs: int = 4,
) -> list[Line]:
    slots = SLOTS if backend == "ray" else 1

    def run(seeds: int) -> tuple[float, float]:
        """Seconds by the clock, and those of them in which the slots had to compute."""
        study = STUDY.format(seeds=seeds, encoder=encoder, documents=documents, epochs=epochs)
        return _run(study, backend, slots)

    wall_of_few, ideal_of_few = run(slots)
    wall, ideal = run(n_trials)
    start = wall_of_few - ideal_of_few
    ratio = (wall - start) / ideal
    return [
        Line(f"study of {n_trials} trials on {slots} slots: all", wall, "s"),
        Line(
            f"study of {n_trials} trials on {slots} slots: what its trials compute, spread over the slots", ideal, "s"
        ),
        Line(f"study of {slots} trials: start-up", start, "s"),
        Line("study, wall time less start-up, to the ideal", ratio, "", "at most 1.1", 1.1),
    ]


def _run(study: str, backend: str, slots: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        file, home = Path(folder, "study.yaml"), Path(folder, "home")
        file.write_text(study, encoding="utf-8")
        call = [
            sys.executable,
            "-c",
            "from orchestrator.cli import main; main()",
            "run",
            str(file),
            "--backend",
            backend,
        ]
        took = process([*call, "--cpus", str(slots), "--home", str(home), "--json"], environment()).wall
        computed = sum(map(_computed, (home / "trials").iterdir()))
    return took, computed / slots


def _computed(trial: Path) -> float:
    history = (trial / "history.jsonl").read_text(encoding="utf-8").splitlines()
    metrics = [json.loads(line)["metrics"] for line in history]
    extraction = json.loads((trial / "seconds" / "test.json").read_text(encoding="utf-8"))["seconds"]
    return sum(one["seconds/training"] + one["seconds/evaluation"] for one in metrics) + sum(extraction)


def main(arguments: list[str]) -> int:
    return command.run({"study": measure}, "tests.benchmarks.study", __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
