"""What a home and its MLflow say after all, read without the program that wrote it."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ITS_OWN = ("patches", "cache/encoded")
"""Below them are files whose names hang on the checkout."""


@dataclass(frozen=True)
class Run:
    """A run of MLflow that is not deleted."""

    id: str
    kind: str
    key: str
    status: str
    metrics: dict[tuple[str, int], list[float]]
    """Metric and step → its values: more than one were logged twice."""
    params: dict[str, str]
    tags: dict[str, str]


def records(home: Path) -> dict[str, dict[str, Any]]:
    """Key → record."""
    found = {}
    for path in sorted(home.glob("trials/*/record.json")):
        found[path.parent.name] = json.loads(path.read_text())
    return found


def history(home: Path, key: str) -> list[tuple[int, dict[str, float]]]:
    """Epoch and metrics, without those that tell the time."""
    lines = (home / "trials" / key / "history.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return [
        (one["epoch"], {name: value for name, value in one["metrics"].items() if not name.startswith("seconds/")})
        for one in entries
    ]


def kept_epoch(folder: Path) -> int:
    """The last epoch of the state from which a trial can go on; 0 without one."""
    for name in ("last/state.json", "last/checkpoint.json", ".last.old/checkpoint.json"):
        try:
            return json.loads((folder / name).read_text())["epoch"]
        except (OSError, ValueError):
            continue
    return 0


def runs(database: Path) -> list[Run]:
    """All runs of an MLflow database that are not deleted."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:

        def of(table: str, columns: str, run: str) -> list[Any]:
            return connection.execute(f"select {columns} from {table} where run_uuid = ?", (run,)).fetchall()

        found = []
        rows = connection.execute("select run_uuid, status from runs where lifecycle_stage = 'active'").fetchall()
        for run, status in rows:
            metrics: dict[tuple[str, int], list[float]] = {}
            for name, step, value in of("metrics", "key, step, value", run):
                metrics.setdefault((name, step), []).append(value)
            tags = dict(of("tags", "key, value", run))
            params = dict(of("params", "key, value", run))
            found.append(Run(run, tags.get("kind", ""), tags.get("trial_key", ""), status, metrics, params, tags))
        return found


def files(home: Path) -> set[str]:
    """Every file below a home, without what stands for a run's id or hangs on the checkout."""
    found = set()
    for path in _files(home):
        name = path.relative_to(home).as_posix()
        if not name.startswith(_ITS_OWN):
            found.add(re.sub(r"(mlartifacts/[^/]+/)[0-9a-f]{32}", r"\1…", name))
    return found


def _files(folder: Path) -> Iterator[Path]:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            yield Path(entry.path)
            yield from _files(Path(entry.path))
        else:
            yield Path(entry.path)


def table(home: Path, study: str) -> tuple[str, str]:
    """The scores of the report and the statuses that it counts, without times."""
    folder = home / study / "report"
    lines = (folder / "table.md").read_text().splitlines()
    return (folder / "table.csv").read_text(), "\n".join(line for line in lines if line.startswith("|"))


def indexed(home: Path) -> dict[str, dict[str, Any]]:
    """Key → record as the index has it."""
    with closing(sqlite3.connect(f"{(home / 'runs.db').as_uri()}?mode=ro", uri=True)) as connection:
        return {key: json.loads(text) for key, text in connection.execute("select key, record from trial").fetchall()}


@dataclass(frozen=True)
class Entry:
    """A line of the ledger."""

    at: float
    process: int
    gain: float
    seed: int
    what: str
    epoch: int

    @property
    def trial(self) -> tuple[float, int]:
        return self.gain, self.seed


def ledger(path: Path) -> list[Entry]:
    """What the trials have noted of themselves, in order."""
    try:
        return [Entry(*json.loads(line)) for line in path.read_text().splitlines()]
    except FileNotFoundError:
        return []
