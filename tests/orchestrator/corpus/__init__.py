"""Good and bad studies, and what `orchestrate validate` says of each.

    good/name.yaml   is accepted; together they use every key of the language
    bad/name.yaml    is refused with `bad/name.txt` on standard error, the golden file

A new bad study gets its golden file by `python -m tests.orchestrator.corpus --write`; without `--write` the differences
are only shown. Each line of a golden file is to be read as a user would: does it say where, what was found, what is
wanted, and what to do?
"""

from __future__ import annotations

import contextlib
import difflib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from orchestrator import cli

FOLDER = Path(__file__).parent
GOOD = sorted(FOLDER.glob("good/*.yaml"))
BAD = sorted(FOLDER.glob("bad/*.yaml"))


def validated(path: Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `orchestrate validate`, called in the study's folder."""
    with contextlib.chdir(path.parent):
        return called("validate", path.name)


def called(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `orchestrate`, in this process."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as output,
        contextlib.redirect_stderr(io.StringIO()) as error,
        mock.patch.object(sys, "argv", ["orchestrate", *arguments]),
    ):
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            assert end.code is None or isinstance(end.code, int)
            code = end.code or 0
    return code, output.getvalue(), error.getvalue()


def golden(path: Path) -> Path:
    return path.with_suffix(".txt")


def difference(path: Path, told: str) -> str:
    """How the golden file of a bad study differs from what is told now; empty if it does not."""
    file = golden(path)
    before = file.read_text(encoding="utf-8") if file.is_file() else ""
    lines = difflib.unified_diff(
        before.splitlines(), told.splitlines(), f"{file.name}, golden", "now", lineterm="", n=0
    )
    return "\n".join(lines)


def stale() -> Iterator[Path]:
    """Golden files without a study."""
    return (file for file in sorted(FOLDER.glob("bad/*.txt")) if not file.with_suffix(".yaml").is_file())
