"""The studies that are run to pieces, and what they come to when nobody disturbs them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from textwrap import dedent
from typing import Any

from tests.chaos import homes
from tests.chaos.homes import Run
from tests.chaos.moments import Trace
from tests.chaos.processes import ROOT, Driver


@dataclass(frozen=True)
class Study:
    """A study file, and how it is run."""

    name: str
    text: str
    options: tuple[str, ...] = ()
    notes: bool = False
    """Whether its trials write the ledger."""

    def write(self, folder: Path) -> Path:
        path = folder / "study.yaml"
        path.write_text(dedent(self.text))
        return path


def _of_the_standin(name: str, *, epochs: int, epoch_s: float, seeds: int) -> str:
    return f"""\
    study: {name}
    question: Does the result hang on who was killed when?
    trainable: {{kind: function, function: "tests.chaos.trial:train"}}
    settings: {{gain: 1.0, epochs: {epochs}, epoch_s: {epoch_s}}}
    baseline: {{name: plain}}
    ablate: {{gain: {{half: 0.5}}}}
    seeds: {seeds}
    select: {{metric: score}}
    report: {{metrics: [test/score]}}
    resources: {{cpus: 1}}
    """


_ON_RAY = ("--allow-import", "--cpus", "2")
STANDIN = Study("chaos", _of_the_standin("chaos", epochs=5, epoch_s=0.3, seeds=3), _ON_RAY, notes=True)
SHORT = Study("short", _of_the_standin("short", epochs=4, epoch_s=0.25, seeds=2), _ON_RAY, notes=True)
BRIEF = Study(
    "brief",
    _of_the_standin("brief", epochs=4, epoch_s=0.5, seeds=1),
    ("--allow-import", "--backend", "inline"),
    notes=True,
)
REAL = Study(
    "real",
    """\
    study: real
    question: Is a network the same when its training was interrupted?
    settings:
      data: {name: builtin, train: 12, dev: 4, test: 4}
      model.encoder.name: tiny
      training.epochs: 3
    seeds: 2
    resources: {cpus: 1}
    """,
    ("--cpus", "2"),
)


@dataclass(frozen=True)
class Reference:
    """A study that was run to its end without a kill."""

    study: Study
    home: Path
    seconds: float
    trace: Trace

    @cached_property
    def records(self) -> dict[str, dict[str, Any]]:
        return homes.records(self.home)

    @cached_property
    def runs(self) -> dict[str, Run]:
        """Key → run; the summary has the key ''."""
        return {run.key: run for run in homes.runs(self.home / "mlflow.db")}

    @cached_property
    def files(self) -> set[str]:
        return homes.files(self.home)

    @cached_property
    def table(self) -> tuple[str, str]:
        return homes.table(self.home, self.study.name)

    @property
    def n_epochs(self) -> int:
        """Of all trials together."""
        return sum(len(homes.history(self.home, key)) for key in self.records)


def reference(study: Study, folder: Path, temporary: Path, database: Path) -> Reference:
    """Run a study undisturbed, in `folder`, and keep what its processes did."""
    home, trace = folder / "home", folder / "trace"
    home.mkdir(parents=True)
    trace.mkdir()
    shutil.copy(database, home / "mlflow.db")
    driver = Driver(
        ["run", study.write(folder), "--home", home, *study.options, "--json"],
        folder / "run",
        temporary,
        ledger=folder / "ledger",
        home=home,
        trace=trace,
    )
    code = driver.end()
    seconds = driver.seconds
    driver.strays_end()
    assert code == 0, f"the run without a kill ended with {code}:\n{driver.told()}"
    return Reference(study, home, seconds, _trace(trace, home))


def _trace(folder: Path, home: Path) -> Trace:
    driver: list[tuple[str, str]] = []
    trials: dict[str, list[tuple[str, str]]] = {}
    epochs: list[str] = []
    calls: Counter[str] = Counter()
    for path in sorted(folder.iterdir()):
        for line in path.read_text().splitlines():
            event, told = json.loads(line)
            if event == "chaos.epoch":
                epochs.append(told)
            elif event == "chaos.mlflow":
                calls[told] += 1
            elif f"{home}/" not in told:
                continue
            elif path.name.startswith("driver"):
                driver.append((event, told))
            elif trial := re.search(r"/trials/(\w+)/", told):
                trials.setdefault(trial[1], []).append((event, told))
    changes = {key: tuple(changes) for key, changes in trials.items()}
    return Trace(tuple(driver), changes, tuple(sorted(epochs)), dict(calls))


def empty_database(folder: Path, temporary: Path) -> Path:
    """A database of MLflow without runs: to make one takes longer than all else in a short run."""
    folder.mkdir(parents=True)
    path = folder / "mlflow.db"
    make = f"from mlflow import MlflowClient; MlflowClient('sqlite:///{path}').search_experiments()"
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(temporary),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    subprocess.run([sys.executable, "-c", make], cwd=ROOT, env=environment, check=True, capture_output=True)
    return path
