"""The process that ends what a Ray of our own leaves behind when its driver is killed.

    python -I -S guard.py FOLDER

It waits until its standard input is closed, as it is when the driver ends, however that does. Then the processes of
that Ray are killed, and FOLDER, its temporary one, is removed. Left alone, trials would go on for some seconds, and
Ray's agents for as long as they look for a GCS that is gone.

A program of its own, without the package, so that it starts in a few milliseconds.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

MARKER = "ORCHESTRATE_RAY"
"""In the environment of every process of a Ray of our own: its temporary folder."""
_PASSES = 40
_QUIET = 4
"""Passes in a row that find nothing: a process may be between fork and exec."""


def end_left_over(temporary: Path, quiet: int = 1) -> None:
    """End the processes of a Ray that is over: each has a file open in its temporary folder, or the name of it in the
    environment that it began with."""
    n_quiet = 0
    for _ in range(_PASSES):
        left = [process for process in Path("/proc").glob("[0-9]*") if _is_of(temporary, process)]
        for process in left:
            try:
                os.kill(int(process.name), signal.SIGKILL)
            except OSError:
                continue
        n_quiet = 0 if left else n_quiet + 1
        if n_quiet == quiet:
            return
        time.sleep(0.05)


def _is_of(temporary: Path, process: Path) -> bool:
    if int(process.name) == os.getpid():
        return False
    try:
        if f"{MARKER}={temporary}".encode() in (process / "environ").read_bytes().split(b"\0"):
            return True
        return any(os.readlink(file).startswith(f"{temporary}/") for file in (process / "fd").iterdir())
    except OSError:
        return False  # another user's, or gone in this moment


def main(temporary: Path) -> None:
    # Ctrl-C goes to all processes of a terminal, and this one is for what comes after it
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1):
        pass
    end_left_over(temporary, _QUIET)
    shutil.rmtree(temporary, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
