"""The process between a trial and its command: when the trial's process ends, however it does, the command ends too.

    python -I -S guard.py PARENT PROGRAM [ARGUMENT]...

It leads a process group, runs PROGRAM in that group, waits for it and ends with its code, or with 128 + n if signal n
ended it. Once process PARENT is gone the group is killed, with all that PROGRAM has started. SIGTERM to the group is
for PROGRAM to heed; the guard waits on. That PARENT is gone is noticed on Linux only.

A program of its own, since code between fork and exec is not safe in a process with threads, and without the package,
so that it starts in a few milliseconds and nothing in the study's folder stands in for what it imports.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> int:
    """The exit code."""
    # handlers are not inherited as ignored signals are: the command starts with the defaults
    signal.signal(signal.SIGHUP, lambda number, frame: os.killpg(0, signal.SIGKILL))
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGHUP)
    if os.getppid() != parent:
        return 128 + signal.SIGKILL
    try:
        # Python ignores these two itself, and what is ignored is inherited
        child = os.posix_spawnp(command[0], command, os.environ, setsigdef=(signal.SIGPIPE, signal.SIGXFSZ))
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", flush=True)
        return 127
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
