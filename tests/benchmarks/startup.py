"""How long the commands take that only look at a study, beside the imports that nothing can do without."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measuring import ROOT, Line, Took, environment, least, process

LIMIT = "import typer, rich.console, rich.table, ruamel.yaml; from pydantic import BaseModel"
"""`import pydantic` alone loads next to nothing of it."""
_GOAL = "at most 0.4 s on 2 idle cores"


def measure(rounds: int = 5, keep_byte_code: bool = True) -> list[Line]:
    """Fresh processes in turns; byte code is there, as in any installation after the first call."""
    with tempfile.TemporaryDirectory() as folder:
        home = str(Path(folder) / "home")
        ours = [sys.executable, "-m", "orchestrator.cli"]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "third-party imports alone": [sys.executable, "-c", LIMIT],
            "orchestrate --help": [*ours, "--help"],
            "orchestrate plan": [*ours, "plan", *_study(home), "--home", home],
        }
        surroundings = environment(PYTHONPYCACHEPREFIX=f"{folder}/pycache") if keep_byte_code else {**os.environ}
        took: dict[str, list[Took]] = {name: [] for name in commands}
        for n_round in range(rounds + keep_byte_code):
            for name, command in commands.items():
                one = process(command, surroundings)
                if n_round or not keep_byte_code:  # the first writes it
                    took[name].append(one)
    best = {name: least(of) for name, of in took.items()}
    lines = []
    for name, of in best.items():
        goal = (_GOAL, 0.4) if name.startswith("orchestrate") else ("", None)
        lines.append(Line(f"start-up, {name}, CPU", of.cpu, "s", *goal))
        lines.append(Line(f"start-up, {name}, wall", of.wall, "s"))
    limit = best["third-party imports alone"].cpu
    lines += [
        Line(f"start-up, {name} to the third-party imports alone", best[name].cpu / limit, "")
        for name in ("orchestrate --help", "orchestrate plan")
    ]
    return lines


def _study(home: str) -> list[str]:
    """The warm-up study where its data is there, else one that needs none."""
    warmup = ["studies/warmup.yaml", "--budget", "cpu"]
    try:
        process([sys.executable, "-m", "orchestrator.cli", "plan", *warmup, "--home", home], environment(), ROOT)
    except RuntimeError:
        return ["studies/quickstart.yaml"]
    return warmup
