"""Files that outlive a crash of the machine."""

from __future__ import annotations

import os
from pathlib import Path


def sync_files(folder: Path) -> None:
    """Have the files of a folder on disk, so that it may be given the name under which it counts as whole."""
    for file in folder.iterdir():
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
