"""What benchmarks have in common: how a line is told, and how a process is timed.

These machines are noisy, so everything is measured several times and the least counts, and what is compared is measured
in turns within one run.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
"""Of the checkout."""


@dataclass(frozen=True)
class Line:
    """One number of a benchmark."""

    name: str
    value: float
    unit: str
    """Empty for a ratio."""
    goal: str = ""
    """In words; empty for what is there to be compared with."""
    at_most: float | None = None
    """The goal in numbers, if there is one."""
    at_least: float | None = None
    """Or this."""

    @property
    def is_met(self) -> bool | None:
        if self.at_most is None and self.at_least is None:
            return None
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    def __str__(self) -> str:
        verdict = {True: ", met", False: ", missed", None: ""}[self.is_met]
        goal = f" ({self.goal}{verdict})" if self.goal else ""
        return f"{self.name}: {self.value:.3g}{f' {self.unit}' if self.unit else ''}{goal}"


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, and of CPU time: the second hardly depends on what else the machine does."""

    wall: float
    cpu: float


def least(all_took: Sequence[Took]) -> Took:
    return Took(min(one.wall for one in all_took), min(one.cpu for one in all_took))


def process(command: Sequence[str], environment: Mapping[str, str], folder: Path = ROOT) -> Took:
    """Run a command that has to succeed. Its output is shown only where it does not."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with code {done.returncode}:\n{done.stdout}{done.stderr}")
    return Took(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


_CHILD = """
import json, sys
from tests.benchmarks.measuring import called
print(json.dumps(called(sys.argv[1], json.loads(sys.argv[2]))))
"""


def in_a_process(function: str, **arguments: Any) -> Any:
    """What `module:function` of this package returns in a process of its own: no cache and no garbage of another
    measurement."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, function, json.dumps(arguments)], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{function} ended with code {done.returncode}:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def called(function: str, arguments: Mapping[str, Any]) -> Any:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(f"tests.benchmarks.{module}"), name)(**arguments)


@contextmanager
def timed(into: list[Took]) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    into.append(Took(time.perf_counter() - wall, time.process_time() - cpu))


def environment(**more: str) -> dict[str, str]:
    """Of a process as an installation has it: byte code is kept, no home and no tracker is set from outside."""
    unset = (
        "PYTHONDONTWRITEBYTECODE",
        "ORCHESTRATE_HOME",
        "MLFLOW_TRACKING_URI",
        "RAY_ADDRESS",
        "COVERAGE_PROCESS_START",
    )
    return {name: value for name, value in os.environ.items() if name not in unset} | more
