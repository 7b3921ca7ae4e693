"""A command, with the settings in its arguments and its scores in a file.

    trainable:
      kind: command
      command: "{python} train.py --learning-rate {learning_rate} --seed {seed} --out {folder}"
      inputs: [train.py, data]

Placeholders are settings by their dotted paths, and these words:

    {python}           the Python that runs the trials, so with the packages of this environment
    {seed}
    {folder}           the trial's own
    {settings_file}    all settings as JSON, a file in that folder
    {data_path}        the data search path, its folders parted by colons
    {device}           `auto`, `cpu` or `cuda`
    {threads}          how many it may use

The template is split into arguments before it is filled and no shell reads it, so that a value is always one argument;
for pipes and the like say `sh -c '...'`. The command runs in the study's folder and in the environment of its trial,
with the words above as `ORCHESTRATE_SEED`, `ORCHESTRATE_FOLDER` and so on beside. What it prints is in `output.txt`.

It ends with code 0 and leaves `metrics.json` in its folder: `{"test/accuracy": 81.5, ...}`, or `{"metrics": {...}}`
with `selected_epoch` if there is one and whatever else is worth keeping. While it runs it may append lines
`{"epoch": 1, "metrics": {...}}` to `progress.jsonl`, and keep its state in `last/`, to go on from there if it is
started once more. An attempt that finds no `last/` starts afresh, and finds no `progress.jsonl` either; `last/` is
removed in the end. A command that was killed, or ends with code 75 (EX_TEMPFAIL), is tried again. On an interruption it
has ten seconds from SIGTERM to write what it wants to keep. It never outlives its trial, nor does what it has started.

A study file alone runs nothing: the person who types the command allows it.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.overrides import SettingPath
from orchestrator.store import CONFIG, HISTORY, LOG, RECORD, put_state_aside, read_history, write_durably
from orchestrator.trainables import Permissions, Report, Surroundings, Unprepared, guard
from orchestrator.trainables.foreign import (
    LAST,
    PLACEHOLDER,
    Foreign,
    filled,
    finite,
    recorded,
    reported,
    result_of,
)

SETTINGS, OUTPUT = "settings.json", "output.txt"
_TAKEN = (RECORD, CONFIG, LOG, HISTORY, SETTINGS, OUTPUT, LAST)
_ANYWHERE = Surroundings((), Path(), "cpu", 1)
"""For what is asked of a command before it runs."""
_POLL_S = 0.2
_GRACE_S = 10.0
"""Seconds between the request to end and the end."""
_TEMPORARY_FAILURE = 75
_LINES_SHOWN = 20
_BYTES_SHOWN = 20_000


class CommandFailed(RuntimeError):
    """The command ended with another code than 0."""


class CommandCutShort(RuntimeError):
    """The command was killed, or says that it may be tried again."""


@dataclass(frozen=True)
class Command(Foreign):
    """`template`, and the names of the files that it leaves in the trial's folder."""

    template: str
    metrics_file: str
    progress_file: str

    def identity(self) -> dict[str, Any]:
        return {"trainable": {"kind": "command", "command": self.template}, "code": self.code_epoch}

    def refusal(self, permissions: Permissions) -> str | None:
        if permissions.commands:
            return None
        return f"a study file alone runs no command: say --allow-command to run `{self.template}`"

    def faults(self, values: Mapping[str, Any]) -> list[tuple[SettingPath | None, str]]:
        found: list[tuple[SettingPath | None, str]] = []
        try:
            self.arguments(values, 0, Path(), _ANYWHERE)
        except ValueError as error:
            found.append((None, str(error)))
        words = _own_words(0, Path(), _ANYWHERE)
        for name in sorted(set(PLACEHOLDER.findall(self.template)) & words.keys() & values.keys()):
            message = f"'{{{name}}}' is a word of every command, wanted another name for the setting '{name}'"
            found.append(((name,), message))
        files = (self.metrics_file, self.progress_file)
        for name in dict.fromkeys(name for name in files if name in _TAKEN or files.count(name) > 1):
            found.append((None, f"the file '{name}' is taken, wanted another name for what the command leaves"))
        return found

    def arguments(self, values: Mapping[str, Any], seed: int, folder: Path, where: Surroundings) -> list[str]:
        """Raises ValueError for a placeholder that is no setting."""
        own = _own_words(seed, folder, where)
        return [filled(part, values, own) for part in shlex.split(self.template)]

    def preparation(self, values: Mapping[str, Any]) -> str | None:
        return self._program(values)

    def prepare(self, values: Mapping[str, Any], where: Surroundings) -> None:
        program = self._program(values)
        # with a slash it is a path from the folder in which the command runs
        path, place = (str(self.folder / program), self.folder) if "/" in program else (program, "the PATH")
        if shutil.which(path) is None:
            raise Unprepared(None, f"'{program}', with which the command begins, is no program in {place}")

    def _program(self, values: Mapping[str, Any]) -> str:
        return self.arguments(values, 0, Path(), _ANYWHERE)[0]

    def run(
        self, values: Mapping[str, Any], seed: int, folder: Path, where: Surroundings, report: Report
    ) -> Mapping[str, Any]:
        arguments = self.arguments(values, seed, folder, where)
        own = _own_words(seed, folder, where)
        environment = {**os.environ, "OMP_NUM_THREADS": str(where.threads)}
        environment |= {f"ORCHESTRATE_{name.upper()}": value for name, value in own.items()}
        digest = self.data_digest(values, where.data)
        tell = recorded(folder, report)
        progress = _Progress(folder / self.progress_file, (folder / LAST).exists(), read_history(folder))
        (folder / self.metrics_file).unlink(missing_ok=True)
        write_durably(folder / SETTINGS, json.dumps(dict(values), indent=1) + "\n")
        with (folder / OUTPUT).open("ab") as output:
            starts_at = output.tell()
            with _started(arguments, self.folder, environment, output) as process:
                while (code := _ended(process)) is None:
                    for told in progress.new():
                        tell(told)
        if code != 0:
            failure = _failed(code, _last_lines(folder / OUTPUT, starts_at))
            with suppress(ValueError):  # a line that is no report is not what it failed for
                for told in progress.new():
                    tell(told)
            raise failure
        for told in progress.new(ended=True):
            tell(told)
        result = self._result(folder, digest)
        put_state_aside(folder)
        return result

    def _result(self, folder: Path, digest: str) -> Mapping[str, Any]:
        path = folder / self.metrics_file
        try:
            given = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise ValueError(f"the command ended without {path.name} in its folder {folder}") from None
        except ValueError as error:
            raise ValueError(f"{path} is no JSON: {error}") from None
        with_facts = isinstance(given, dict) and isinstance(given.get("metrics"), dict)
        return result_of(given if with_facts else {"metrics": given}, path.name, digest)


def _own_words(seed: int, folder: Path, where: Surroundings) -> dict[str, str]:
    return {
        "python": sys.executable,
        "seed": str(seed),
        "folder": str(folder),
        "settings_file": str(folder / SETTINGS),
        "data_path": os.pathsep.join(map(str, where.data)),
        "device": where.device,
        "threads": str(where.threads),
    }


# -------------------------------------------------------------------------------------------------------------- process


@contextmanager
def _started(
    arguments: list[str], folder: Path, environment: Mapping[str, str], output: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """The command as a group of processes, none of which outlives the block, or this process."""
    guarded = [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), *arguments]
    process = subprocess.Popen(
        guarded, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    except BaseException:
        _signal(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
        raise
    finally:
        _signal(process, signal.SIGKILL)
        process.wait()


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    """Its code as soon as it ends; `None` after a moment in which it did not."""
    try:
        return process.wait(_POLL_S)
    except subprocess.TimeoutExpired:
        return None


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _failed(code: int, last_lines: str) -> Exception:
    # one that was killed by signal n is told as -n, by the guard and by shells as 128 + n
    number = -code if code < 0 else code - 128
    name = signal.Signals(number).name if number in set(signal.Signals) else None
    what = f"the command was ended by {name}" if name else f"the command ended with code {code}"
    if number in (signal.SIGKILL, signal.SIGTERM):
        return CommandCutShort(f"{what}\n{last_lines}")
    if code == _TEMPORARY_FAILURE:
        return CommandCutShort(f"{what}, which asks for another try\n{last_lines}")
    return CommandFailed(f"{what}\n{last_lines}")


def _last_lines(path: Path, starts_at: int) -> str:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(starts_at, size - _BYTES_SHOWN))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-_LINES_SHOWN:])


# ------------------------------------------------------------------------------------------------------------- progress


class _Progress:
    """The lines that a command appends while it runs, each handed out once.

    Of an earlier attempt those lines stay from which the command goes on; what the history does not have yet of them is
    handed out too, as the process that followed that attempt may have been killed before it came to that.
    """

    def __init__(self, path: Path, goes_on: bool, history: Sequence[tuple[int, dict[str, float]]]) -> None:
        self.path = path
        self._seen: list[bytes] = []
        self._stamp: tuple[int, int] | None = None
        if not goes_on:
            path.unlink(missing_ok=True)
            return
        good, n_told = [], 0
        for line in self._lines():
            with suppress(ValueError):
                epoch, metrics = reported(json.loads(line), path.name)
                good.append(line)
                if history and (epoch, finite(metrics)) == history[-1]:
                    n_told = len(good)
        if path.exists():
            # a line that was cut off would run into the next one
            write_durably(path, "".join(f"{line.decode()}\n" for line in good))
        self._seen = good[:n_told]

    def new(self, *, ended: bool = False) -> Iterator[dict[str, Any]]:
        """Reports since the last call. A last line without an end is one only once the command has ended.

        Raises ValueError for a line that is no report.
        """
        stamp = self._stamp_now()
        if stamp == self._stamp and not ended:
            return
        self._stamp = stamp
        lines = self._lines(ended)
        # a file that has become shorter, or has other lines, was begun again
        known = _common(self._seen, lines) if len(lines) >= len(self._seen) else 0
        self._seen = lines
        for n_line, line in enumerate(lines[known:], known + 1):
            place = f"line {n_line} of {self.path.name}"
            try:
                epoch, metrics = reported(json.loads(line), place)
            except (json.JSONDecodeError, UnicodeDecodeError):
                shown = line[:80].decode(errors="replace")
                raise ValueError(f'{place} is \'{shown}\', wanted {{"epoch": …, "metrics": {{…}}}}') from None
            yield {"epoch": epoch, "metrics": metrics}

    def _stamp_now(self) -> tuple[int, int] | None:
        with suppress(FileNotFoundError):
            found = self.path.stat()
            return found.st_size, found.st_mtime_ns
        return None

    def _lines(self, ended: bool = False) -> list[bytes]:
        """Whole lines, without blank ones."""
        try:
            *lines, rest = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        return [line.strip() for line in [*lines, *([rest] if ended else [])] if line.strip()]


def _common(a: Sequence[bytes], b: Sequence[bytes]) -> int:
    """How many lines two beginnings share."""
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
