"""A disk that is full in the middle: the run says so and ends, and goes on once there is room."""

from __future__ import annotations

import errno
import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.chaos.lives import Figures, Life
from tests.chaos.moments import Moment, Trace, by_time
from tests.chaos.processes import until

SIZE = 16 * 2**20
"""Bytes of the disk: a study of the stand-in takes an eighth of it."""
_SAYS = "the disk is full"


def refusal() -> str | None:
    """Why no file system can be mounted here, if so."""
    if os.geteuid() != 0:
        return "only root can mount a small disk; `unshare -rm` makes one its root"
    return None


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of `SIZE` bytes at a folder."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise PermissionError(done.stderr.strip())
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all room that is left, by a file."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            with suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    try:
        (folder / "more").write_bytes(b"\0" * 5000)
    except OSError as error:
        assert error.errno == errno.ENOSPC
    (folder / "more").unlink(missing_ok=True)
    return ballast


def moments(seed: int, n: int, trace: Trace) -> list[Moment]:
    """When it is full: from the start, in a trial, before its record, in MLflow, in the report, at any time."""
    draw = random.Random(seed)
    key = draw.choice(sorted(trace.trials))
    epoch, nth = draw.randint(2, 4), draw.randint(8, 20)
    kinds = [
        Moment(f"in the state of epoch {epoch}", event="open", pattern=f"{key}/last/state\\.new", nth=epoch),
        Moment("before a record", event="open", pattern=f"{key}/\\.record\\.json\\.", nth=2),
        Moment(f"before MLflow's log_batch {nth}", event="chaos.mlflow", pattern="^log_batch$", nth=nth, role="driver"),
        Moment("before the report", event="os.mkdir", pattern=r"/\.report-", role="driver"),
        Moment("from the start", at=0.0),
    ]
    return (kinds + [by_time(draw, trace) for _ in range(n)])[:n]


def strike(life: Life, moment: Moment) -> Figures:
    """A run whose disk is full from a moment on; then there is room again."""
    figures = Figures("disk", moment.name)
    before = life.before()
    ballast = fill(life.home) if moment.at == 0.0 else None
    driver = life.run(moment=moment)
    if ballast is None:
        life.wait_for(driver, moment)
        if not driver.has_ended:
            ballast = fill(life.home)
    figures.hit = ballast is not None
    figures.killed_at_s = driver.seconds
    figures.finished_before = len(life.finished())
    driver.go_on()
    until(lambda: _SAYS in driver.told() or driver.has_ended, 120, 0.05)
    figures.noticed_s = driver.seconds - figures.killed_at_s if _SAYS in driver.told() else None
    code = driver.end()
    figures.ended_s = driver.seconds - figures.killed_at_s
    told = driver.told()
    if code not in ((1, 2) if moment.at == 0.0 else (1,)):
        figures.problems.append(f"the run ended with {code}: {told[-1500:]}")
    if _SAYS not in told:
        figures.problems.append(f"the run does not say that {_SAYS}: {told[-1500:]}")
    if "Traceback" in told:
        figures.problems.append(f"the run shows a traceback: {told[-3000:]}")
    life.strays(driver, figures)
    life.compare(before, figures)
    if ballast is not None:
        ballast.unlink()
    life.complete(figures)
    return figures
