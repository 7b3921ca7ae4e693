"""Drivers and servers as processes of their own, what they have started, and how they are killed. Linux only.

Everything that a driver starts is in the session that it leads, also once it is gone: that is how the suite knows its
own processes from those of others.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import orchestrator
from tests.chaos.moments import Moment, Point

ROOT = Path(orchestrator.__file__).parents[1]
INSIDE = Path(__file__).parent / "inside"
_ENDS_S = 180.0
"""Seconds in which a run has to end, on a loaded machine."""


def until(there: Callable[[], bool], seconds: float, step_s: float = 0.01) -> bool:
    """Wait; whether it came."""
    end = time.monotonic() + seconds
    while not there():
        if time.monotonic() > end:
            return False
        time.sleep(step_s)
    return True


def members(session: int) -> dict[int, str]:
    """Process → its name, of all that live in a session."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with suppress(OSError):
            name, _, rest = Path(f"/proc/{entry}/stat").read_text().rpartition(")")
            state, _, _, its_session = rest.split()[:4]
            if int(its_session) == session and state not in "ZX":
                found[int(entry)] = name.partition("(")[2]
    return found


def command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text(errors="replace").replace("\0", " ")[:200]
    except OSError:
        return ""


def end(session: int) -> None:
    """Kill all that is left of a session that the suite has started."""
    for _ in range(50):
        left = members(session)
        if not left:
            return
        for process in left:
            kill(process)
        time.sleep(0.05)


def kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def trials_of(processes: Sequence[int]) -> dict[int, str]:
    """Process → key of the trial whose folder it holds."""
    found = {}
    for process in processes:
        with suppress(OSError):
            for link in os.scandir(f"/proc/{process}/fd"):
                with suppress(OSError):
                    held = re.search(r"/trials/(\w+)/\.running$", os.readlink(link.path))
                    if held:
                        found[process] = held[1]
    return found


class Driver:
    """`orchestrate …` in a session of its own, and the moment at which it, or another, is stopped."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        scratch: Path,
        temporary: Path,
        *,
        ledger: Path,
        home: Path,
        moment: Moment | None = None,
        trace: Path | None = None,
        uri: str | None = None,
    ) -> None:
        scratch.mkdir(parents=True)
        self.scratch = scratch
        self.output, self.errors = scratch / "output", scratch / "errors"
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "CHAOS_"))}
        environment |= {
            "PYTHONPATH": f"{INSIDE}:{ROOT}",
            "TMPDIR": str(temporary),
            "CHAOS_LEDGER": str(ledger),
            "COLUMNS": "200",
        }
        if uri is not None:
            environment["MLFLOW_TRACKING_URI"] = uri
        if trace is not None:
            environment["CHAOS_TRACE"] = str(trace)
        if moment is not None and moment.at is None:
            told = {**asdict(moment), "folder": str(scratch)}
            told["pattern"] = moment.pattern.replace("@home@", re.escape(f"{home}/"))
            environment["CHAOS_MOMENT"] = json.dumps(told)
        command = [sys.executable, "-m", "orchestrator.cli", *map(str, arguments)]
        self.began = time.monotonic()
        with self.output.open("w") as output, self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=errors, start_new_session=True
            )

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def stopped_at(self) -> int | None:
        """The process that waits at the moment."""
        try:
            return int((self.scratch / "reached").read_text())
        except FileNotFoundError:
            return None

    def told(self) -> str:
        return self.errors.read_text(errors="replace")

    def go_on(self) -> None:
        (self.scratch / "go").touch()

    def victims(self, point: Point) -> list[int]:
        """The processes that a point kills, as far as they are there now."""
        if point.victim == "driver":
            return [self.process.pid]
        there = members(self.process.pid)
        if point.victim == "node":
            return [process for process, name in there.items() if name == point.name]
        at_work = trials_of([process for process in there if process != self.process.pid])
        stopped = self.stopped_at
        if point.all_workers or stopped not in at_work:
            return list(at_work) if point.all_workers else list(at_work)[:1]
        return [stopped]

    def end(self, seconds: float = _ENDS_S) -> int | None:
        """Wait for the end: the exit code, None if it did not come and all was killed."""
        if not until(lambda: self.has_ended, seconds):
            end(self.process.pid)
            self.process.wait()
            return None
        return self.process.returncode

    def strays_end(self, seconds: float = 20.0) -> tuple[float, list[str]]:
        """Seconds until nothing of the session is left; and what stays longer than it may, which is killed."""
        began = time.monotonic()
        gone = until(lambda: not members(self.process.pid), seconds)
        left = (
            []
            if gone
            else [f"{process} {name} ({command(process)})" for process, name in members(self.process.pid).items()]
        )
        end(self.process.pid)
        return time.monotonic() - began, left


class Server:
    """An MLflow server on loopback, which can be killed and started again on what it has stored."""

    def __init__(self, folder: Path, database: Path, temporary: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.database, self.temporary = folder, database, temporary
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen | None = None
        self.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.database}",
            "--artifacts-destination", str(self.folder / "artifacts"),
        ]  # fmt: skip
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "TMPDIR": str(self.temporary)}
        quiet["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **quiet}, stdout=log, stderr=log, start_new_session=True
            )

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as reply:
                return reply.status == 200
        except OSError:
            return False

    def wait(self) -> None:
        assert until(self.answers, 90, 0.1), (self.folder / "log").read_text()

    def kill(self) -> None:
        """The server and the processes that it has started, with -9."""
        if self.process is not None:
            end(self.process.pid)
            self.process.wait()
            self.process = None
