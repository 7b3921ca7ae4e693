"""An environment with torch, transformers and the light dependencies, and with nothing else: those that the README
names, and what they need, are linked into a folder that is all Python has besides its own library."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

import orchestrator

ROOT = Path(orchestrator.__file__).parents[1]
LEFT_OUT = ("ray", "mlflow", "pandas", "matplotlib", "optuna", "syntok", "pooch")


def named_in_the_readme() -> list[str]:
    (line,) = re.findall(
        r"^pip install -c constraints\.txt (torch .+)$", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    return line.split()


def make(folder: Path) -> Path:
    for name in _with_what_they_need(named_in_the_readme()):
        distribution = metadata.distribution(name)
        root = Path(str(distribution.locate_file("")))
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).exists():
                (folder / top).symlink_to(root / top)
    return folder


def _with_what_they_need(names: list[str]) -> set[str]:
    found, waiting = set[str](), list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        found.add(name)
        for written in metadata.requires(name) or ():
            needed = Requirement(written)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(needed.name)
    return found


def python(site: Path, *arguments: object, **more) -> subprocess.Popen[str]:
    # without `-S` the packages of the interpreter would be there too
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "MLFLOW_"))}
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT), str(site)]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-S", *map(str, arguments)],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more,
    )  # fmt: skip


def orchestrate(site: Path, *arguments: object) -> tuple[int, str, str]:
    process = python(site, "-m", "orchestrator.cli", *arguments)
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors
