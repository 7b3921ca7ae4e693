"""`orchestrate export`: what is to leave a home, in one file.

A trial goes as it is while its folder is held, and what still runs stays. Of the weights, which are most of the bytes,
go

    needed   (the default) the state that a trial without an end goes on from, with the best epoch so far beside it, and
             the checkpoints of first phases that a trial without an end starts from
    best     those, and the checkpoint of the best trial of each variant, by the metric that its study selects by
    all      those, and every checkpoint that is there
    none     none: what has not finished begins again elsewhere
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from orchestrator import first_phases, index
from orchestrator.archive import KEY, File, Manifest, fault, tar
from orchestrator.dashboard import note
from orchestrator.difference import find
from orchestrator.errors import StudyError, did_you_mean, refused
from orchestrator.failures import full_disk, is_full
from orchestrator.provenance import PATCHES
from orchestrator.schema import FULL, PILOT, load
from orchestrator.search import JOURNAL
from orchestrator.store import (
    CHECKPOINT,
    RECORD,
    RESULTS,
    STATE,
    Home,
    TrialRecord,
    held_trial,
    read_record,
    recover_state,
    sync_folder,
)
from orchestrator.trial import now

Checkpoints = Literal["needed", "best", "all", "none"]
GOES_ON = ("interrupted", "failed")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Exported:
    """What has left a home."""

    file: Path
    sha256: str
    bytes: int
    """Of the archive."""
    unpacked_bytes: int
    trials: dict[str, int]
    """Status → how many."""
    studies: dict[str, list[str]]
    """Study → budgets."""
    left_out: tuple[str, ...]
    """What stayed, and why."""


@dataclass
class _Chosen:
    """What goes, as it was when it was looked at."""

    files: dict[str, tuple[File, Path | bytes]] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)

    def put(self, path: str, content: Path | bytes) -> None:
        told = fault(path)
        if told is None and isinstance(content, Path) and not stat.S_ISREG(content.lstat().st_mode):
            told = "is a link or no plain file"
        if told is not None:
            self.left_out.append(f"{path} {told}")
            return
        digest, n_bytes = hashlib.sha256(), 0
        for chunk in _chunks(content):
            digest.update(chunk)
            n_bytes += len(chunk)
        try:
            tar.header(path, n_bytes)
        except ValueError:
            self.left_out.append(f"{path} is too long for an archive, or has more than {tar.LARGEST_FILE} bytes")
            return
        self.files[path] = (File(path=path, bytes=n_bytes, sha256=digest.hexdigest()), content)


def export(
    home: Home, out: Path, studies: Sequence[str] = (), keys: Sequence[str] = (), checkpoints: Checkpoints = "needed"
) -> Exported:
    """Write trials into an archive: those of some studies, those of some keys (their first letters will do), or all.
    Trials take with them the first phases that they start from. Nothing in the home is changed, but that trials of a
    driver that was killed are recorded as interrupted. Raises StudyError."""
    _settle(home)
    records = home.records()
    cells = index.read_cells(home.index)
    named, of_studies = _named(home, records, cells, studies, keys)
    named |= {need for key in named if (need := records[key].needs) is not None and need in records}
    if not named:
        raise refused(f"no trial under {home.root} has been started; run a study first")
    budgets = _budgets(records, cells, named, of_studies)
    with_checkpoint = _with_checkpoint(home, records, named, checkpoints)
    chosen = _Chosen()
    try:
        for key in sorted(named):
            _add_trial(chosen, home, key, key in with_checkpoint, checkpoints != "none")
        for study in sorted(budgets):
            _add_study(chosen, home, study, with_books=study in of_studies)
        manifest = Manifest(studies=budgets, files=[chosen.files[path][0] for path in sorted(chosen.files)])
        digest = _write(out, manifest, chosen)
    except (OSError, tar.Damaged) as error:
        if isinstance(error, OSError) and is_full(error):
            raise refused(full_disk(f"{out}: {error.strerror}")) from None
        raise refused(f"{out} cannot be written: {error}") from None
    return Exported(
        out, digest, out.stat().st_size, manifest.bytes, dict(chosen.statuses), budgets, tuple(chosen.left_out)
    )


def _settle(home: Home) -> None:
    try:
        with home.held():
            home.settle(now())
    except StudyError:
        pass  # a driver is at work, and knows what runs
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES):
            raise


# -------------------------------------------------------------------------------------------------------- what is meant


_Cells = Sequence[tuple[str, str, str, int, str]]


def _named(
    home: Home, records: dict[str, TrialRecord], cells: _Cells, studies: Sequence[str], keys: Sequence[str]
) -> tuple[set[str], set[str]]:
    """Keys of the trials that are meant, and the studies that are meant as a whole."""
    ours = {key for key in records if KEY.fullmatch(key)}
    known = {record.study for record in records.values()} | {study for study, *_ in cells}
    if not studies and not keys:
        return ours, known
    found = set[str]()
    for study in studies:
        if study not in known:
            told = ", ".join(sorted(known)) or "none"
            raise refused(f"no study '{study}' was run under {home.root}{did_you_mean(study, known)}; there are {told}")
        found |= {key for key, record in records.items() if record.study == study}
        found |= {key for name, _, _, _, key in cells if name == study and key in records}
    found |= {find(home, key).key for key in keys}
    return found & ours, set(studies)


def _budgets(
    records: dict[str, TrialRecord], cells: _Cells, named: set[str], of_studies: set[str]
) -> dict[str, list[str]]:
    """Studies that the trials are of, each with its budgets."""
    found: dict[str, set[str]] = {}
    covered = set[str]()
    for study, budget, _, _, key in cells:
        if key in named and study in of_studies:
            found.setdefault(study, set()).add(budget)
            covered.add(key)
    for record in (records[key] for key in named):
        # another study may have run it first; a first phase is in no report
        if record.study in of_studies or not ("phase" in record.provenance or record.key in covered):
            found.setdefault(record.study, set()).add(record.budget)
    return {study: sorted(some - {PILOT}) for study, some in sorted(found.items())}


def _with_checkpoint(
    home: Home, records: dict[str, TrialRecord], named: set[str], checkpoints: Checkpoints
) -> set[str]:
    """Keys of the finished trials whose checkpoint goes."""
    finished = {key for key in named if records[key].status == "finished"}
    if checkpoints == "none":
        return set()
    if checkpoints == "all":
        return finished
    ended = {key for key, record in records.items() if record.status in ("finished", "pruned")}
    wanted = first_phases.wanted(home)
    for record in records.values():
        if record.needs is not None:
            wanted.setdefault(record.needs, set()).add(record.key)
    needed = {key for key in finished if wanted.get(key, set()) - ended}
    return needed | (_best(home, [records[key] for key in finished]) if checkpoints == "best" else set())


def _best(home: Home, finished: Iterable[TrialRecord]) -> set[str]:
    """Of each variant the best trial that has its checkpoint; of equal ones the first."""
    groups: dict[tuple[str, str, str], list[TrialRecord]] = {}
    for record in sorted(finished, key=lambda record: (record.seed, record.key)):
        if (home.trial(record.key) / CHECKPOINT).is_dir() and "phase" not in record.provenance:
            groups.setdefault((record.study, record.budget, record.variant), []).append(record)
    best = set[str]()
    for (name, _, _), group in groups.items():
        path = note.path_of(home, name)
        try:
            study = load(path).study
        except (StudyError, OSError) as error:
            told = str(error).splitlines()[0]
            raise refused(f"{path} does not tell by what {name} selects ({told}); say --checkpoints all") from None
        metric = study.select.full_name
        sign = -1 if study.report.info(metric).better == "lower" else 1
        best.add(max(group, key=lambda record: sign * record.metrics.get(metric, -sign * float("inf"))).key)
    return best


# ------------------------------------------------------------------------------------------------------------ what goes


def _add_trial(chosen: _Chosen, home: Home, key: str, with_checkpoint: bool, with_state: bool) -> None:
    folder = home.trial(key)
    try:
        with _held(folder):
            record = read_record(folder)
            if record is None or record.status == "running":
                chosen.left_out.append(f"trial {key} runs")
                return
            goes_on = with_state and record.status in GOES_ON and recover_state(folder)
            weights = [CHECKPOINT] if with_checkpoint or goes_on else []
            chosen.put(f"trials/{key}/{RECORD}", (folder / RECORD).read_bytes())
            for name in (*RESULTS, *weights, *([STATE] if goes_on else [])):
                for path in _below(folder / name):
                    chosen.put(f"trials/{key}/{path.relative_to(folder).as_posix()}", path)
            chosen.statuses[record.status] += 1
    except TimeoutError:
        chosen.left_out.append(f"trial {key} runs")
        return
    _add_patch(chosen, home, record)


def _add_patch(chosen: _Chosen, home: Home, record: TrialRecord) -> None:
    digest = (record.provenance.get("code") or {}).get("diff")
    if isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{64}", digest):
        path = f"{PATCHES}/{digest[:16]}.patch"
        if path not in chosen.files and (home.root / path).is_file():
            chosen.put(path, home.root / path)


def _add_study(chosen: _Chosen, home: Home, study: str, *, with_books: bool) -> None:
    """The study file; and of a study that goes as a whole what a run needs to know of it, under all its budgets."""
    folder = home.report(study, FULL).parent
    names = [note.STUDY]
    if with_books:
        names += [name for book in (JOURNAL, first_phases.FILE) for name in (book, f"*/{book}")]
    for path in (path for name in names for path in folder.glob(name)):
        content = path.read_bytes()
        if path.name == JOURNAL:
            content = content[: content.rfind(b"\n") + 1]  # without what a crash has left of a line
        chosen.put(path.relative_to(home.root).as_posix(), content)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a trial; in a home that cannot be written nothing runs. Raises TimeoutError."""
    with ExitStack() as stack:
        try:
            stack.enter_context(held_trial(folder, 0))
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES):
                raise
        yield


def _below(path: Path) -> Iterator[Path]:
    """A file, or all below a folder; a link counts as a file."""
    if path.is_symlink() or path.is_file():
        yield path
    elif path.is_dir():
        for inside in sorted(path.iterdir()):
            yield from _below(inside)


# -------------------------------------------------------------------------------------------------------------- writing


def _chunks(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _write(out: Path, manifest: Manifest, chosen: _Chosen) -> str:
    """The digest of the archive, which is there all at once."""
    new = out.with_name(f"{out.name}.new")
    try:
        with new.open("wb") as target:
            tar.write(out, target, manifest, lambda file: _chunks(chosen.files[file.path][1]))
            target.flush()
            os.fsync(target.fileno())
        with new.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        new.replace(out)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync_folder(out.parent)
    return digest
