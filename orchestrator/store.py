"""The run store: what came of each trial, on disk and independent of the tracker.

    <home>/trials/<key>/      record.json, config.json, log.txt and what the model leaves: history, checkpoint, …
    <home>/runs.db            the index of all records (`orchestrator.index`)
    <home>/<study>/study.yaml the study file as it was run last, for the dashboard
    <home>/<study>/report/    tables and figures of the whole protocol
    <home>/<study>/<budget>/report/    those of a reduced budget
    <home>/<study>/[<budget>/]first_phases.json    what its trials start from (`orchestrator.first_phases`)
    <home>/cache              encoded data, shared by all trials
    <home>/.import-*          what an import that is under way has not put in its place (`orchestrator.archive`)
    <home>/patches            what a checkout had changed, by the digest of it
    <home>/mlflow.db, mlartifacts      MLflow, unless `MLFLOW_TRACKING_URI` names another place

A trial belongs to its key, not to a study: two studies that share a cell share its folder. A record takes the place of
the one before at once and is on disk before the call returns. Only the process that runs a trial writes its record, and
the driver once that process is gone.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator import index
from orchestrator.errors import refused
from orchestrator.failures import Cause, full_disk, is_full, may_pass
from orchestrator.index import Index
from orchestrator.schema import FULL

Status = Literal["running", "finished", "failed", "interrupted", "pruned"]
"""`pruned`: ended by a search before its last epoch."""


class Failure(BaseModel):
    """Why a trial failed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    """Class of the exception."""
    message: str
    traceback: str
    cause: Cause = "program"
    """What is to blame; it decides whether the trial is tried again."""

    @property
    def last_lines(self) -> str:
        lines = self.traceback.strip().splitlines()
        # marks below a line of code mean nothing without it
        return "\n".join([line for line in lines if line.strip(" ^~")][-4:])


class Attempt(BaseModel):
    """An attempt at a trial that came to nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    started: str
    ended: str | None
    status: Status
    failure: Failure | None = None
    alone: bool = False


class ArchiveOrigin(BaseModel):
    """The archive that a trial came in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    archive: str
    """Its name, without its folder."""
    sha256: str


class TrialRecord(BaseModel):
    """What came of one trial. `study`, `budget` and `variant` are those under which it ran first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    study: str
    budget: str
    variant: str
    seed: int
    status: Status
    started: str
    """Of the last attempt, ISO 8601 with time zone."""
    ended: str | None = None
    duration_s: float = 0.0
    """Of all attempts that the result rests on."""
    attempts: int = 1
    earlier: tuple[Attempt, ...] = ()
    """The attempts before the last."""
    alone: bool = False
    """The last attempt had a whole GPU, or without one a whole machine, to itself, as the one before had run out of
    memory."""
    metrics: dict[str, float] = {}
    """At the selected epoch, in percent."""
    selected_epoch: int | None = None
    facts: dict[str, Any] = {}
    """What else the model tells of the trial: its size, its device, notes on its data."""
    failure: Failure | None = None
    needs: str | None = None
    """Key of the trial that it starts from."""
    trainable: dict[str, Any] = {}
    """What of the trainable belongs to the key; empty for our models."""
    settings: dict[str, Any]
    data_digest: str
    code_epoch: int
    provenance: dict[str, Any] = {}
    """Of the machine that it ran on, also where it was imported."""
    imported_from: ArchiveOrigin | None = None
    """Of a trial that another home has run, or has begun."""

    @property
    def has_failed_for_good(self) -> bool:
        """By a fault of its own: it would fail again."""
        return self.status == "failed" and self.failure is not None and not may_pass(self.failure.cause)


_FEW = 8
"""So many records are read sooner than the index."""
_NEEDS_BYTES = 2**20
"""Without so much room no trial is worth to be started."""
_LOOKS_S = 0.3
_SETTLES_S = 10.0
"""Seconds in which trials of a driver that was killed have to end."""
STATE, PUT_ASIDE = "last", ".last.old"
"""The folder in which a trial keeps what it would go on from, and what that is called on the way in and out."""
CHECKPOINT = "checkpoint"
RECORD, CONFIG, LOG, HISTORY = "record.json", "config.json", "log.txt", "history.jsonl"
RESULTS = (
    CONFIG, LOG, HISTORY, "predictions", "counts", "seconds", "settings.json", "metrics.json", "output.txt",
)  # fmt: skip
"""What a trial leaves beside its record and its weights; of names without a dot, folders."""


@dataclass(frozen=True)
class Home:
    """The folder under which all state lives. Its path is absolute, as trials run in folders of their own."""

    root: Path

    @classmethod
    def at(cls, folder: Path) -> Home:
        return cls(Path(os.path.abspath(folder.expanduser())))

    @property
    def trials(self) -> Path:
        return self.root / "trials"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def database(self) -> Path:
        return self.root / "mlflow.db"

    @property
    def index(self) -> Path:
        return self.root / "runs.db"

    @property
    def artifacts(self) -> Path:
        return self.root / "mlartifacts"

    def trial(self, key: str) -> Path:
        return self.trials / key

    def report(self, study: str, budget: str) -> Path:
        folder = self.root / study
        return (folder if budget == FULL else folder / budget) / "report"

    def record(self, key: str) -> TrialRecord | None:
        return read_record(self.trial(key))

    def keys(self) -> set[str]:
        """Keys of the trials that have a folder."""
        return set(os.listdir(self.trials)) if self.trials.is_dir() else set()

    def records(self, keys: Iterable[str] | None = None) -> dict[str, TrialRecord]:
        """Key → record, of the given trials or of all, in the order of the keys; from the index what it has."""
        there = self.keys()
        wanted = sorted(there if keys is None else there.intersection(keys))
        rows = index.read_rows(self.index) if len(wanted) > _FEW else {}
        found = {}
        for key in wanted:
            known = rows.get(key)
            if known is not None and known[0] == index.stamp_of(self.trial(key) / RECORD):
                record = TrialRecord.model_validate_json(known[1])
            else:
                record = self.record(key)
            if record is not None:
                found[key] = record
        return found

    def refresh(self, into: Index) -> None:
        """Bring the index up to date with the records."""
        rows = index.read_rows(self.index)
        changed, there = [], self.keys()
        for key in sorted(there):
            stamp = index.stamp_of(self.trial(key) / RECORD)
            if stamp is None or (key in rows and rows[key][0] == stamp):
                continue
            record = self.record(key)
            if record is not None:
                changed.append((record.model_dump(), stamp, record.model_dump_json()))
        into.put(changed)
        into.forget(sorted(set(rows) - there))

    def settle(self, ended: str) -> tuple[TrialRecord, ...]:
        """Trials whose driver was killed are recorded as interrupted; to be called by one that holds the home.

        One whose process lives on is waited for, as it may come to its end, but not for long: then it stays `running`.
        """
        settled = []
        until = time.monotonic() + _SETTLES_S
        for key, known in self.records().items():
            folder = self.trial(key)
            if known.status == "finished":
                forget_state(folder)  # by a process that was killed before it could
            if known.status != "running":
                continue
            try:
                with held_trial(folder, until - time.monotonic()):
                    record = read_record(folder)
                    if record is not None and record.status == "running":
                        settled.append(record.model_copy(update={"status": "interrupted", "ended": ended}))
                        write_record(folder, settled[-1])
            except TimeoutError:
                continue
        return tuple(settled)

    def refuse_if_not_writable(self) -> None:
        """Create the home. Raises StudyError where that cannot be done."""
        try:
            self.trials.mkdir(parents=True, exist_ok=True)
            self.cache.mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root) as file:
                file.write(bytes(_NEEDS_BYTES))
                file.flush()
        except OSError as error:
            if is_full(error):
                raise refused(full_disk(f"{self.root}: {error.strerror}")) from None
            raise refused(
                f"the home {self.root} cannot be written: {error.strerror}; choose another by --home"
            ) from None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the home for one driver: two would train the same trial into one folder.

        The lock goes with the process, however that ends. Raises StudyError if another driver holds it.
        """
        with (self.root / ".lock").open("a+") as file:
            # `is_held` has the lock for a moment
            if not _locked(file, _LOOKS_S):
                file.seek(0)
                raise refused(
                    f"process {file.read().strip() or '?'} is running a study in the home {self.root}; "
                    f"wait for it or choose another home by --home"
                ) from None
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield

    def is_held(self) -> bool:
        """Whether a driver works in this home right now; if not, a trial that is `running` was cut off."""
        try:
            with (self.root / ".lock").open() as file:
                return not _locked(file)
        except FileNotFoundError:
            return False


@contextmanager
def held_trial(folder: Path, seconds: float) -> Iterator[None]:
    """Hold a trial's folder for this process, by a lock that goes with it. Raises TimeoutError.

    A process whose driver was killed lives on for some seconds, and would write into the folder beside its successor.
    """
    with (folder / ".running").open("a") as file:
        if not _locked(file, seconds):
            raise TimeoutError(f"another process still runs the trial in {folder}")
        yield


def _locked(file: IO[str], seconds: float = 0.0) -> bool:
    """Lock a file, and wait so long for it at most."""
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.05)


def read_record(folder: Path) -> TrialRecord | None:
    """The record in a trial's folder, if there is one. Raises StudyError for one that is not a record."""
    path = folder / RECORD
    try:
        return TrialRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        raise refused(
            f"{path} is no trial record ({'.'.join(map(str, first['loc']))}: {first['msg']}); move its folder away "
            f"to run that trial again"
        ) from None


def write_record(folder: Path, record: TrialRecord) -> None:
    """Put a record in place of the one before, all at once and for good."""
    write_durably(folder / RECORD, record.model_dump_json(indent=1) + "\n")


def write_durably(path: Path, content: str | bytes) -> None:
    """Write a file so that after a crash either the old or the new content is there, whole."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    # the new name itself is durable only once its folder is
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def put_state_aside(folder: Path) -> None:
    """Of a trial that has come to its end nothing is left to go on from, unless it is killed before that is recorded.

    At once: a state of which a part is removed would be taken for a whole one.
    """
    shutil.rmtree(folder / PUT_ASIDE, ignore_errors=True)
    if (folder / STATE).exists():
        (folder / STATE).rename(folder / PUT_ASIDE)


def recover_state(folder: Path) -> bool:
    """Whether there is a state to go on from; one that was put aside is if there is no other."""
    if not (folder / STATE).exists() and (folder / PUT_ASIDE).exists():
        (folder / PUT_ASIDE).rename(folder / STATE)
    return (folder / STATE).exists()


def forget_state(folder: Path) -> None:
    """Remove what a trial that is recorded as finished cannot need any more."""
    for name in (STATE, PUT_ASIDE, f".{STATE}.new"):
        if (folder / name).exists():
            shutil.rmtree(folder / name, ignore_errors=True)


def has_checkpoint(folder: Path) -> bool:
    """Whether a trial has left what others may start from."""
    return (folder / CHECKPOINT).is_dir()


def read_history(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Epoch and metrics of each line that the model wrote; a line cut off by a crash ends the history."""
    try:
        lines = (folder / HISTORY).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    history = []
    for line in lines:
        try:
            entry = json.loads(line)
            history.append((int(entry["epoch"]), dict(entry["metrics"])))
        except (ValueError, KeyError, TypeError):
            break
    return history
