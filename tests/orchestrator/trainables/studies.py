"""Studies of functions and commands, run in this process or by the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import orchestrator
from orchestrator import execution
from orchestrator.execution import Options
from orchestrator.schema import load
from orchestrator.store import Home
from orchestrator.trainables import Permissions, Surroundings
from tests.orchestrator.samples import write

ROOT = Path(orchestrator.__file__).parents[1]
FUNCTIONS = "tests.orchestrator.trainables.functions"
ALL = Permissions(imports=True, commands=True)
HERE = Surroundings((Path("/data/one"), Path("/data/two")), Path("/cache"), "cpu", 2)


def study(trainable, settings="rate: 0.5", more="", seeds="1"):
    """A study that selects by accuracy; `trainable` and `settings` are lines of YAML."""

    def inside(text):
        return "".join(f"  {line}\n" for line in text.strip().splitlines())

    head = f"study: sample\nquestion: Does it help?\nseeds: {seeds}\nselect: {{metric: accuracy}}\n"
    return f"{head}trainable:\n{inside(trainable)}settings:\n{inside(settings)}{more}"


def function(name, more=""):
    return f"kind: function\nfunction: {FUNCTIONS}:{name}\n{more}"


def command(text, more=""):
    return f"kind: command\ncommand: {json.dumps(text)}\n{more}"


def run(folder, text, home=None, **more):
    options = Options(**{"budget": "full", "data": (), "backend": "inline", "permissions": ALL, **more})
    return execution.run(load(write(folder, text)), Home.at(home or folder / "home"), options)


def untracked(monkeypatch):
    """To make a database takes longer than most of these tests; one that cannot be had leaves a study as it is."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/nowhere/mlflow.db")


def start(*arguments, **more):
    """The command `orchestrate`, without a tracker."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    environment["MLFLOW_TRACKING_URI"] = "sqlite:////proc/nowhere/mlflow.db"
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator.cli", *map(str, arguments)],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more,
    )  # fmt: skip
