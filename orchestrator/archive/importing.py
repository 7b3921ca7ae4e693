"""`orchestrate import`: what another home has run is taken over.

An archive is verified as a whole before anything is changed. Then each trial of it is

    taken      none is here, or one that has come less far: the whole folder takes the place of the one here, at once
    there      here it has finished with the same scores, or without an end as far or further; nothing is changed
    conflict   both have finished, with other scores: nothing is changed, and both are told
    running    a process here still runs it; nothing is changed

A finished trial takes the place of one without an end, never the other way round; of two without an end, the one that
can go on from a later epoch stays. What a trial is taken for is written into its record (`imported_from`), which else
is as it was written where it ran.

A folder that makes room waits below `<home>/.import-*` until the other is in its place, so that an import that is
killed loses nothing: `put_back` undoes the one step that was half done, and the same command does the rest. A study's
files are added to: a study file that is here stays, of two journals of a search the longer is kept if it begins as the
other, first phases are those of both.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Literal

from pydantic import ValidationError

from orchestrator import first_phases, identity, index
from orchestrator.archive import KEY, File, Manifest, fault, tar
from orchestrator.archive.tar import Damaged
from orchestrator.dashboard import note
from orchestrator.errors import refused
from orchestrator.failures import full_disk, is_full
from orchestrator.provenance import PATCHES
from orchestrator.search import JOURNAL, parse_line
from orchestrator.store import (
    CHECKPOINT,
    HISTORY,
    PUT_ASIDE,
    RECORD,
    STATE,
    ArchiveOrigin,
    Home,
    TrialRecord,
    has_checkpoint,
    held_trial,
    read_history,
    read_record,
    sync_folder,
    write_durably,
)
from orchestrator.trial import now
from orchestrator.words import size

What = Literal["taken", "there", "conflict", "running"]

_STAGING, _OLD = ".import-", "old"
_LARGEST_READ = 64 << 20
"""Bytes of a file that is read as a whole, such as a record."""
_LEFT_FREE = 16 << 20
_MOST_TOLD = 3
_RUNS = "a process here still runs it; import it again once that has ended"


@dataclass(frozen=True)
class Trial:
    """What came of one trial of an archive."""

    record: TrialRecord
    what: What
    told: str = ""
    """Of one that was not taken over: why, in a line."""


@dataclass(frozen=True)
class Imported:
    """What came of one archive."""

    archive: Path
    sha256: str
    trials: tuple[Trial, ...]
    studies: Mapping[str, Sequence[str]]
    """Study → budgets that the trials are of."""
    kept: tuple[str, ...]
    """Files of a study that are other here, and were left so."""

    def of(self, what: What) -> list[Trial]:
        return [trial for trial in self.trials if trial.what == what]


@dataclass(frozen=True)
class Verified:
    """An archive of which every byte is as its manifest says, with what of it is read."""

    path: Path
    sha256: str
    manifest: Manifest
    records: dict[str, TrialRecord]
    epochs: dict[str, int]
    """Key → epochs after which a trial without an end can go on."""
    with_checkpoint: set[str]
    """Keys of the trials whose checkpoint it has."""
    others: dict[str, bytes]
    """Path → content, of what is no trial's."""


def import_archives(home: Home, paths: Sequence[Path]) -> list[Imported]:
    """Take over trials, all archives verified before the first is begun with. Raises StudyError for an archive that
    cannot be used, for a home that another driver holds, and where there is no room."""
    verified = [verify(path) for path in paths]
    home.refuse_if_not_writable()
    with home.held():
        put_back(home)
        home.settle(now())
        try:
            imported = [_take_over(home, one) for one in verified]
        except OSError as error:
            if is_full(error):
                raise refused(full_disk(f"{home.root}: {error.strerror}")) from None
            raise
        finally:
            with index.opened(home.index) as books:
                home.refresh(books)
    return imported


def put_back(home: Home) -> None:
    """After an import that was killed: a trial that had made room for one that never came is put back. To be called by
    one that holds the home."""
    for staging in sorted(home.root.glob(f"{_STAGING}*")):
        for old in sorted((staging / _OLD).glob("*")):
            if not home.trial(old.name).exists():
                old.rename(home.trial(old.name))
        shutil.rmtree(staging)


# ------------------------------------------------------------------------------------------------------------ verifying


def verify(path: Path) -> Verified:
    """Read an archive to its end, and all that is read of it later. Raises StudyError; nothing is written."""
    try:
        with path.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
            source.seek(0)
            contents: dict[str, io.BytesIO] = {}

            def target(file: File) -> IO[bytes] | None:
                if not _is_read(file):
                    return None
                if file.bytes > _LARGEST_READ:
                    raise Damaged(f"{file.path} has {file.bytes} bytes, wanted {_LARGEST_READ} at most")
                return contents.setdefault(file.path, io.BytesIO())

            manifest = tar.read(source, target)
        read = {name: content.getvalue() for name, content in contents.items()}
        records = {key: _record(key, read[f"trials/{key}/{RECORD}"]) for key in manifest.keys}
        others = {file.path: _checked(file, read[file.path]) for file in manifest.files if file.key is None}
        has_state = {file.key for file in manifest.files if file.name.startswith(f"{STATE}/")}
        histories = {key: read.get(f"trials/{key}/{HISTORY}", b"") for key in has_state if key is not None}
        epochs = {key: len(history.splitlines()) for key, history in histories.items()}
        with_checkpoint = {file.key for file in manifest.files if file.key and file.name.startswith(f"{CHECKPOINT}/")}
        return Verified(path, digest, manifest, records, epochs, with_checkpoint, others)
    except Damaged as error:
        raise refused(f"{path}: {error}; nothing was changed") from None
    except OSError as error:
        raise refused(f"{path}: {error.strerror or error}") from None


def _is_read(file: File) -> bool:
    return file.key is None or file.name in (RECORD, HISTORY)


def _record(key: str, content: bytes) -> TrialRecord:
    try:
        record = TrialRecord.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise Damaged(f"the {RECORD} of trial {key} is none ({place}: {first['msg']})") from None
    if record.status == "running":
        raise Damaged(f"trial {key} is running, wanted one that has come to an end or was interrupted")
    trainable = {"trainable": record.trainable} if record.trainable else {}
    identified = {**trainable, "code": record.code_epoch}
    try:
        written = identity.canonical(record.settings)
        (own,) = identity.keys(written, [record.seed], record.data_digest, identified)
    except ValueError as error:
        raise Damaged(f"the settings of trial {key} are none ({error})") from None
    if (record.key, own) != (key, key):
        raise Damaged(f"trial {key} has the record of another, {record.key}, whose settings and seed make {own}")
    wrong = _wrong(record)
    if wrong is not None:
        raise Damaged(f"the {RECORD} of trial {key} is none ({wrong})")
    return record


def _wrong(record: TrialRecord) -> str | None:
    """What its class does not say of a record: names that become paths, scores and times that others calculate with."""
    if fault(f"{record.study}/{record.budget}/{JOURNAL}") is not None:
        return f"study {record.study!r} under budget {record.budget!r}"
    if record.needs is not None and KEY.fullmatch(record.needs) is None:
        return f"needs {record.needs!r}"
    strange = [name for name, value in record.metrics.items() if not math.isfinite(value)]
    if strange:
        return f"{strange[0]} is no number"
    try:
        for time in (record.started, record.ended):
            datetime.fromisoformat(time or record.started)
    except ValueError as error:
        return str(error)
    return None


def _checked(file: File, content: bytes) -> bytes:
    """The content of a study's file, or of a patch. Raises Damaged if it is not what its name says."""
    name = file.path.rpartition("/")[2]
    wrong = None
    try:
        if file.path.startswith(f"{PATCHES}/"):
            wrong = None if hashlib.sha256(content).hexdigest().startswith(name[:16]) else "its digest is not its name"
        elif name == first_phases.FILE:
            first_phases.parse(content)
        elif name == JOURNAL:
            *lines, rest = content.decode().split("\n")
            wrong = "it has a line that is none" if rest or None in map(parse_line, lines) else None
        else:
            content.decode()
    except ValueError as error:
        wrong = str(error)
    if wrong is not None:
        raise Damaged(f"{file.path} is not what it should be: {wrong}")
    return content


# ------------------------------------------------------------------------------------------------------------- deciding


def _what(home: Home, record: TrialRecord, found: Verified) -> tuple[What, str]:
    """What is to become of a trial of an archive, and why if it is not taken."""
    folder = home.trial(record.key)
    try:
        if folder.is_dir():
            with held_trial(folder, 0):
                pass
    except TimeoutError:
        return "running", _RUNS
    here = read_record(folder)
    if here is None:
        return "taken", ""
    if here.status == "finished":
        if record.status != "finished":
            return "there", "finished here"
        difference = _difference(here, record)
        if difference:
            return "conflict", difference
        is_same = here.model_copy(update={"imported_from": None}) == record.model_copy(update={"imported_from": None})
        brings = record.key in found.with_checkpoint and not has_checkpoint(folder)
        return ("taken", "") if is_same and brings else ("there", "with the same scores")
    if record.status == "finished":
        return "taken", ""
    has_state = (folder / STATE).exists() or (folder / PUT_ASIDE).exists()
    if found.epochs.get(record.key, 0) > (len(read_history(folder)) if has_state else 0):
        return "taken", ""
    return "there", f"{here.status} here, as far or further"


def _difference(here: TrialRecord, record: TrialRecord) -> str:
    """Which scores differ, with both; empty if none does."""
    names = sorted({*here.metrics, *record.metrics})
    other = [name for name in names if here.metrics.get(name) != record.metrics.get(name)]
    # the one that is looked at first, if it is among them
    other.sort(key=lambda name: not name.endswith("relation_strict_f1"))
    told = [f"{name} {_score(here, name)} here, {_score(record, name)} in the archive" for name in other[:_MOST_TOLD]]
    return "; ".join(told) + (f"; and {len(other) - _MOST_TOLD} more" if len(other) > _MOST_TOLD else "")


def _score(record: TrialRecord, name: str) -> str:
    found = record.metrics.get(name)
    return "none" if found is None else repr(found)


# --------------------------------------------------------------------------------------------------------------- taking


def _take_over(home: Home, found: Verified) -> Imported:
    trials = {key: Trial(record, *_what(home, record, found)) for key, record in found.records.items()}
    taken = {key for key, trial in trials.items() if trial.what == "taken"}
    _refuse_without_room(home, found, taken)
    kept = [path for path, content in found.others.items() if not _merge(home.root / path, content)]
    if taken:
        with _staging(home) as staging:
            _unpack(found, taken, staging)
            # once for all of them: a file after another would take minutes for many trials
            _have_on_disk()
            for key in sorted(taken):
                try:
                    _put(home, key, staging)
                except TimeoutError:
                    trials[key] = Trial(found.records[key], "running", _RUNS)
            sync_folder(home.trials)
    return Imported(found.path, found.sha256, tuple(trials.values()), found.manifest.studies, tuple(kept))


def _refuse_without_room(home: Home, found: Verified, taken: set[str]) -> None:
    needed = sum(file.bytes for file in found.manifest.files if file.key in taken) + _LEFT_FREE
    free = shutil.disk_usage(home.root).free
    if taken and needed > free:
        raise refused(
            f"{found.path} needs about {size(needed)} in {home.root}, which has {size(free)} free; make room "
            f"(`orchestrate gc` clears checkpoints), or choose another by --home"
        )


@contextmanager
def _staging(home: Home) -> Iterator[Path]:
    """A folder beside the trials, on their disk, for as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix=_STAGING, dir=home.root))
    try:
        (folder / _OLD).mkdir()
        yield folder
    finally:
        put_back(home)


def _unpack(found: Verified, taken: set[str], staging: Path) -> None:
    """The files of some trials, each verified once more as it is written; and their records, with where they are
    from."""
    origin = ArchiveOrigin(archive=found.path.name, sha256=found.sha256)
    with found.path.open("rb") as source:

        def target(file: File) -> IO[bytes] | None:
            if file.key not in taken or file.name == RECORD:
                return None
            path = staging / file.key / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("xb")

        def accept(manifest: Manifest) -> None:
            if manifest != found.manifest:
                raise Damaged("it was replaced while it was read")

        for key in taken:
            (staging / key).mkdir()
        try:
            tar.read(source, target, accept)
        except Damaged as error:
            raise refused(f"{found.path}: {error}") from None
    for key in taken:
        record = found.records[key].model_copy(update={"imported_from": origin})
        (staging / key / RECORD).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _have_on_disk() -> None:
    os.sync()


def _put(home: Home, key: str, staging: Path) -> None:
    """Put a trial's folder into its place. Until it is there, the one before can be put back."""
    target = home.trial(key)
    if target.exists():
        with held_trial(target, 0):
            target.rename(staging / _OLD / key)
            (staging / key).rename(target)
    else:
        (staging / key).rename(target)


def _merge(path: Path, content: bytes) -> bool:
    """Add a file that is no trial's to what is here. Whether what is here then has all of it."""
    here = path.read_bytes() if path.is_file() else None
    merged = content
    if here is not None:
        match path.name:
            case note.STUDY:
                return here == content
            case first_phases.FILE:
                merged = first_phases.written(_union(first_phases.parse(here), first_phases.parse(content))).encode()
            case _ if here.startswith(content):
                return True
            case _ if not content.startswith(here):
                return False
    if merged != here:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, merged)
    return True


def _union(a: Mapping[str, set[str]], b: Mapping[str, set[str]]) -> dict[str, list[str]]:
    return {key: sorted(a.get(key, set()) | b.get(key, set())) for key in sorted({*a, *b})}
