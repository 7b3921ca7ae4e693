"""Small studies as text, and ways to read them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from orchestrator.errors import StudyError
from orchestrator.schema import LoadedStudy, load
from orchestrator.variants import Expansion, check, expand

HEAD = """\
study: sample
question: Does it help?
seeds: 2
settings:
  data: {name: builtin, train: 4, dev: 2, test: 2}
  training.epochs: 2
"""

SWEEP = (
    HEAD
    + """\
ablate:
  model.memory.warmup_proportion: [0.0, 0.4]
report: {kind: sweep, x: model.memory.warmup_proportion}
"""
)


def write(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(dedent(text), encoding="utf-8")
    return path


def loaded(folder: Path, text: str) -> LoadedStudy:
    return load(write(folder, text))


def expanded(folder: Path, text: str, budget: str = "full") -> Expansion:
    return expand(loaded(folder, text), budget)


def faults(folder: Path, text: str) -> list[str]:
    """What `orchestrate validate` says of a study, without the file's folder."""
    path = write(folder, text)
    try:
        check(load(path))
    except StudyError as error:
        return [str(problem).replace(f"{path.parent}/", "") for problem in error.problems]
    return []
