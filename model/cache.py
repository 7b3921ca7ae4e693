"""Folders of files that are whole or count for nothing, whatever becomes of a process, a machine or a disk.

A folder of a cache says in `digests.json`, written last, what is in the files beside it. One that is cut short, of
which something is missing, or in which a byte is another, is made again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger("model")

DIGESTS = "digests.json"


def ensure(folder: Path, make: Callable[[Path], None]) -> None:
    """Have a folder of a cache there and whole. `make` is given an empty one to fill, if it has to be.

    Several processes may ask at once: one makes it and the others wait.
    """
    if _is_whole(folder):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if _is_whole(folder):
            return
        if folder.exists():
            log.warning("%s is not whole; it is made again", folder)
        new = folder.with_name(f".{folder.name}.new")
        for left in (new, folder):
            shutil.rmtree(left, ignore_errors=True)
        new.mkdir()
        try:
            make(new)
            (new / DIGESTS).write_text(json.dumps(_digests(new)), encoding="utf-8")
            sync_files(new)
            new.rename(folder)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise


def sync_files(folder: Path) -> None:
    """Have the files of a folder on disk, so that it may be given the name under which it counts as whole."""
    for file in folder.iterdir():
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())


def _is_whole(folder: Path) -> bool:
    try:
        told = json.loads((folder / DIGESTS).read_text(encoding="utf-8"))
        return told == _digests(folder)
    except (OSError, ValueError):
        return False


def _digests(folder: Path) -> dict[str, str]:
    found = {}
    for file in sorted(folder.iterdir()):
        if file.name != DIGESTS:
            with file.open("rb") as handle:
                found[file.name] = hashlib.file_digest(handle, "sha256").hexdigest()
    return found


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; the system takes it from a process that ends, however it does."""
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting for %s, which another trial makes", folder)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
