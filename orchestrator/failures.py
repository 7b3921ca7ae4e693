"""What is to blame when a trial fails, and whether it may go well another time.

program          a fault of the trial itself, or of its data: it would fail again
memory           no memory left: tried again with a whole GPU, or without one a whole machine, to itself
infrastructure   its process or node is gone, a file system or network did not answer
preemption       its node was taken back
disk             the disk is full: nothing more is started until somebody has made room
"""

from __future__ import annotations

import errno
from typing import Literal

Cause = Literal["program", "memory", "infrastructure", "preemption", "disk"]

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PASSING = {
    errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED, errno.EPIPE,
    errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EREMOTEIO, errno.EAGAIN, errno.EMFILE, errno.ENFILE,
}  # fmt: skip
_MEMORY_WORDS = ("out of memory", "cublas_status_alloc_failed", "cannot allocate memory", "can't allocate memory")
_INFRASTRUCTURE_WORDS = (
    "uncorrectable ecc", "gpu has fallen off the bus", "unspecified launch failure", "cuda error: system not yet",
    "cuda driver version", "nvml", "device is busy",
)  # fmt: skip
_MEMORY_NAMES = {"OutOfMemoryError", "MemoryError"}
_PASSING_NAMES = {"CommandCutShort"}


def may_pass(cause: Cause) -> bool:
    """Whether another attempt makes sense, now or in the next run."""
    return cause != "program"


def is_retried(cause: Cause) -> bool:
    """Whether another attempt makes sense at once."""
    return cause in ("memory", "infrastructure", "preemption")


def is_full(error: OSError) -> bool:
    """Whether it is for want of room on a disk."""
    return error.errno in _DISK


def full_disk(what: str) -> str:
    """What a run that ends for it says."""
    return f"the disk is full ({what}): make room, and the same command goes on from here"


def cause_of(error: BaseException) -> Cause:
    """By the error, or by one that led to it. What is not known is the program's fault."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        cause = _cause(current)
        if cause != "program":
            return cause
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "program"


def _cause(error: BaseException) -> Cause:
    # torch's errors are told by their names and words, as torch is not loaded here
    names = {cls.__name__ for cls in type(error).__mro__}
    words = str(error).lower()
    if isinstance(error, OSError):
        if is_full(error):
            return "disk"
        if error.errno == errno.ENOMEM:
            return "memory"
        if error.errno in _PASSING or isinstance(error, ConnectionError | TimeoutError):
            return "infrastructure"
        return "program"
    if names & _MEMORY_NAMES or (isinstance(error, RuntimeError) and any(word in words for word in _MEMORY_WORDS)):
        return "memory"
    if names & _PASSING_NAMES:
        return "infrastructure"
    # "No space left on device" arrives in a library's own error too
    if "no space left on device" in words or "os error 28" in words:
        return "disk"
    if isinstance(error, RuntimeError) and any(word in words for word in _INFRASTRUCTURE_WORDS):
        return "infrastructure"
    return "program"
