"""Disk: clear checkpoints that no report needs.

A report is made from `record.json`, `history.jsonl`, `predictions/`, `counts/` and `seconds/`, and nothing here touches
those; what takes the disk are checkpoints.

checkpoint/   the selected network of a trial
    best           (the default) kept of the best finished trial of each variant of each report in the home, by the
                   metric that the study selects by, so that every variant can still be used. Where the best one has
                   none any more, the best that has one counts. Of a search, the best of all. A trial that is in no
                   report keeps its record only.
    all-finished   kept of every finished trial
    none           kept of none
    A trial that goes on from `last/` needs its checkpoint too, as its best epoch may be over: they stay together.
    That of a first phase stays, whatever is to be kept, as long as a trial that starts from it has not ended; it is
    then in no report, and if a trial needs it again, the first phase is computed again.
last/         what a trial goes on from: weights and state of the optimiser. Kept of trials that can go on (running,
              failed, interrupted) unless `interrupted` gives these up; they then begin again. Left over in all others.
temporary     what a killed process was writing when it died. While a driver is at work, only what is a day old; so are
              the files of a report, which is written without holding the home.

Where MLflow keeps artifacts as files, `tracking` gives it links, not copies: a file's disk is free only once all its
links are gone. So the links among `mlartifacts/` to a file that is cleared go with it, and the run keeps its other
artifacts. Copies, as on a server, stay. Reports outside of the home (`report --out`) are not seen. The cache of encoded
data and of the vectors of frozen encoders is left alone.

Bytes are those of allocated blocks, each file once however many links it has, and count as freed only if no link to it
is left; folders are not counted.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from orchestrator import first_phases
from orchestrator.errors import refused
from orchestrator.provenance import PATCHES
from orchestrator.report import reports_in
from orchestrator.schema import FULL
from orchestrator.store import CHECKPOINT, Home, TrialRecord
from orchestrator.words import size
from reports.records import StudyResults, TrialResult
from reports.search import SearchResults

Keep = Literal["best", "all-finished", "none"]
What = Literal["checkpoint", "last", "temporary"]

LAST = "last"
OLD_CHECKPOINT, OLD_LAST = f".{CHECKPOINT}.old", f".{LAST}.old"
GOES_ON = ("running", "interrupted", "failed")
"""States of a trial that the next `orchestrate run` takes up where it stopped."""
STALE_S = 24 * 3600
"""Seconds after which nobody is still writing a temporary file."""


@dataclass(frozen=True)
class Item:
    """Something to clear, or to keep."""

    what: What
    paths: tuple[Path, ...]
    why: str
    key: str | None = None
    """Of the trial; this and what follows are `None` for what belongs to none."""
    study: str | None = None
    budget: str | None = None
    variant: str | None = None
    seed: int | None = None
    links: tuple[Path, ...] = ()
    """The same files among MLflow's artifacts."""
    bytes: int = 0
    """What clearing it frees; of something kept, what it takes. A file that two items share counts for the first."""
    bytes_elsewhere: int = 0
    """What stays on disk all the same, as files have links that are not cleared."""

    @property
    def owner(self) -> str:
        """The trial, or what belongs to none."""
        return self.key or str(self.paths[0])


@dataclass(frozen=True)
class Cleaning:
    """What is to be cleared, or what has been."""

    home: Home
    keep: Keep
    interrupted: bool
    items: tuple[Item, ...]
    kept: tuple[Item, ...]
    """Checkpoints and states that stay, and why."""
    in_use: bool
    """A driver is at work: what it may be writing is not listed."""

    @property
    def bytes(self) -> int:
        return sum(item.bytes for item in self.items)

    def apply(self) -> Cleaning:
        """Clear it, and return what was cleared. Raises StudyError while a driver holds the home.

        The home is looked at again once it is held: a trial of which by then something else is to be cleared is left
        for the next time. Cut short, it leaves what the next cleaning finds.
        """
        if not self.items:
            return self
        with self.home.held():
            now = _plan(self.home, self.keep, self.interrupted, in_use=False)
            told, found = _paths_by_owner(self.items), _paths_by_owner(now.items)
            items = _counted(self.home, [i for i in now.items if found[i.owner] == told.get(i.owner)], now.kept)
            for item in items:
                _clear(item, self.home)
        return replace(self, items=items, kept=now.kept, in_use=False)


def _paths_by_owner(items: Iterable[Item]) -> dict[str, set[tuple[What, Path]]]:
    found: dict[str, set[tuple[What, Path]]] = {}
    for item in items:
        found.setdefault(item.owner, set()).update((item.what, path) for path in item.paths)
    return found


def plan_cleaning(home: Home, keep: Keep = "best", interrupted: bool = False) -> Cleaning:
    """What can be cleared; changes nothing.

    Raises StudyError for a home without trials, and for a report that cannot be read, as it may need any of them.
    """
    if not home.trials.is_dir():
        raise refused(f"there are no trials under {home.root}; name another home by --home")
    return _plan(home, keep, interrupted, in_use=home.is_held())


def _plan(home: Home, keep: Keep, interrupted: bool, in_use: bool) -> Cleaning:
    records = home.records()
    needed, other = _wanted_by_reports(home, records) if keep == "best" else ({}, {})
    started_from = _started_from(home, records)
    clear: list[Item] = []
    kept: list[Item] = []
    for record in records.values():
        if record.status == "running" and in_use:
            continue
        trial = _Trial(home.trial(record.key), record)
        checkpoint = trial.item("checkpoint", trial.checkpoint)
        if trial.goes_on and not interrupted:
            clear += trial.temporary(in_use, (OLD_CHECKPOINT, OLD_LAST))
            why = f"the trial is {record.status} and goes on from here"
            kept += [replace(item, why=why) for item in (*trial.item("last", trial.last[-1:]), *checkpoint)]
            continue
        clear += trial.temporary(in_use, (OLD_CHECKPOINT,))
        # before the checkpoint, without which a trial could not go on
        why = f"the {record.status} trial is given up" if trial.goes_on else f"left over: the trial is {record.status}"
        clear += [replace(item, why=why) for item in trial.item("last", trial.last)]
        if record.status != "finished":
            why = "ended before its last epoch" if record.status == "pruned" else "begins again"
            clear += [replace(item, why=f"the trial is {record.status} and {why}") for item in checkpoint]
        elif record.key in started_from:
            n = _many(started_from[record.key], "trial")
            kept += [replace(item, why=f"{n} that did not end yet start from it") for item in checkpoint]
        elif keep == "all-finished":
            kept += [replace(item, why="the trial has finished") for item in checkpoint]
        elif keep == "none":
            clear += [replace(item, why="none is to be kept") for item in checkpoint]
        elif record.key in needed:
            kept += [replace(item, why=needed[record.key]) for item in checkpoint]
        else:
            is_first = "phase" in record.provenance
            why = other.get(record.key, "all that starts from it has ended" if is_first else "in no report")
            clear += [replace(item, why=why) for item in checkpoint]
    clear += _temporary_of_home(home, in_use)
    kept = [replace(item, bytes=sum(blocks.values())) for item, blocks in _blocks_by_item(kept)]
    return Cleaning(home, keep, interrupted, _counted(home, clear, kept), tuple(kept), in_use)


@dataclass(frozen=True)
class _Trial:
    """A trial's folder. `model.training.checkpoint` writes `.X.new`, moves X to `.X.old` and `.X.new` to X, and removes
    `.X.old`: beside X the old one is litter, alone it is X."""

    folder: Path
    record: TrialRecord

    @property
    def goes_on(self) -> bool:
        return self.record.status in GOES_ON and bool(self.last)

    @property
    def last(self) -> list[Path]:
        """What it goes on from stands last; the old one would be gone on from if it were the only one."""
        return self._there(OLD_LAST, LAST)

    @property
    def checkpoint(self) -> list[Path]:
        return self._there(OLD_CHECKPOINT, CHECKPOINT)[-1:]

    def temporary(self, in_use: bool, old: Iterable[str]) -> list[Item]:
        """What was being written or removed, and of the `old` folders those that stand beside their successors."""
        paths = _matching(self.folder, rf"\.({LAST}|{CHECKPOINT})\.new|.*{re.escape(_GOING)}|{_WRITTEN_DURABLY}")
        paths += [path for name in old for path in self._there(name) if self._there(name[1 : -len(".old")])]
        return [
            replace(item, why="left by a process that was killed")
            for item in self.item("temporary", [path for path in paths if not in_use or _is_stale(path)])
        ]

    def _there(self, *names: str) -> list[Path]:
        # a link to a folder elsewhere is a person's doing, and is left to them
        return [path for path in (self.folder / name for name in names) if path.is_dir() and not path.is_symlink()]

    def item(self, what: What, paths: Iterable[Path]) -> list[Item]:
        paths, r = tuple(paths), self.record
        return [Item(what, paths, "", r.key, r.study, r.budget, r.variant, r.seed)] if paths else []


# -------------------------------------------------------------------------------------------------------------- reports


def _wanted_by_reports(home: Home, records: Mapping[str, TrialRecord]) -> tuple[dict[str, str], dict[str, str]]:
    """Key → why, of the trials whose checkpoints are kept, and of the others that are in a report."""
    needed: dict[str, str] = {}
    other: dict[str, str] = {}
    for results, _ in reports_in(home):
        title = results.study if results.budget == FULL else f"{results.study}, budget {results.budget}"
        if isinstance(results, SearchResults):
            ranked = [(one, one.key) for one in results.ranked if one.key is not None]
            other |= {key: f"the search of {title} has found a better one" for _, key in ranked if key not in other}
            able = [(one, key) for one, key in ranked if _has_checkpoint(home, records, key)]
            if able:
                best, key = able[0]
                needed.setdefault(key, f"the best of the search of {title} ({results.metric} {best.score:.2f})")
            continue
        for variant in results.variants:
            finished = results.finished(variant.name)
            for trial in finished:
                other.setdefault(trial.key, f"'{variant.name}' of {title} has a better seed")
            able = [trial for trial in finished if _has_checkpoint(home, records, trial.key)]
            if able:
                best, why = _best(able, results)
                needed.setdefault(best.key, f"the best seed of '{variant.name}' of {title} ({why})")
    return needed, other


def _started_from(home: Home, records: Mapping[str, TrialRecord]) -> dict[str, int]:
    """Key of a first phase → how many trials that start from it have not ended."""
    wanted = first_phases.wanted(home)
    for record in records.values():
        if record.needs is not None:
            wanted.setdefault(record.needs, set()).add(record.key)
    ended = {key for key, record in records.items() if record.status in ("finished", "pruned")}
    return {key: len(of - ended) for key, of in wanted.items() if of - ended}


def _has_checkpoint(home: Home, records: Mapping[str, TrialRecord], key: str) -> bool:
    record = records.get(key)
    return record is not None and record.status == "finished" and bool(_Trial(home.trial(key), record).checkpoint)


def _best(able: Sequence[TrialResult], results: StudyResults) -> tuple[TrialResult, str]:
    """The best of some trials by what their study selects by, and its score; of equal ones the first."""
    metric = results.select_metric
    if metric is None:
        return able[0], "nothing selects"
    sign = -1 if results.report.info(metric).better == "lower" else 1
    best = max(able, key=lambda trial: sign * trial.metrics[metric])
    return best, f"{metric} {best.metrics[metric]:.2f}"


# ------------------------------------------------------------------------------------------------------ temporary files


_GOING = ".going"
"""Ends the name that a folder has while it is removed, so that no half of it passes for a checkpoint."""
_WRITTEN_DURABLY = r"\..+\.(json|jsonl|patch)\.[a-z0-9_]{8}"
"""The name that `store.write_durably` gives a file until it is whole."""


def _temporary_of_home(home: Home, in_use: bool) -> list[Item]:
    ours = [*_matching(home.root, r"\.tune-.*"), *_matching(home.root / PATCHES, _WRITTEN_DURABLY)]
    ours += sorted([*home.root.glob(f"*/.{first_phases.FILE}.*"), *home.root.glob(f"*/*/.{first_phases.FILE}.*")])
    folders = sorted([*home.root.glob("*/report"), *home.root.glob("*/*/report")])
    reports = [path for folder in folders for path in _matching(folder, r"\.report-.*") if _is_stale(path)]
    paths = [*(path for path in ours if not in_use or _is_stale(path)), *reports]
    return [Item("temporary", (path,), "left by a process that was killed") for path in paths]


def _matching(folder: Path, pattern: str) -> list[Path]:
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    return [folder / name for name in names if re.fullmatch(pattern, name)]


def _is_stale(path: Path) -> bool:
    """Whether nothing in it was written for a day."""
    newest = max((found.st_mtime for _, found in _files(path)), default=0.0)
    try:
        newest = max(newest, path.lstat().st_mtime)
    except FileNotFoundError:
        return False  # its writer lives, and has finished
    return time.time() - newest > STALE_S


# ---------------------------------------------------------------------------------------------------------------- bytes


_Inode = tuple[int, int]
"""Device and number: what a file is, whatever its names."""


def _files(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """A file, or all below a folder. What goes away meanwhile is left out."""
    folders = os.walk(path) if path.is_dir() and not path.is_symlink() else [(path.parent, [], [path.name])]
    for folder, below, names in folders:
        for name in (*names, *(name for name in below if os.path.islink(os.path.join(folder, name)))):
            inside = Path(folder, name)
            try:
                yield inside, inside.lstat()
            except FileNotFoundError:
                continue


def _inode(found: os.stat_result) -> _Inode:
    return found.st_dev, found.st_ino


def _blocks_by_item(items: Iterable[Item]) -> list[tuple[Item, dict[_Inode, int]]]:
    """Of each item its files with their allocated bytes; a file belongs to the first item that has it."""
    seen: set[_Inode] = set()
    made = []
    for item in items:
        found = {_inode(s): s.st_blocks * 512 for path in item.paths for _, s in _files(path)}
        made.append((item, {inode: n_bytes for inode, n_bytes in found.items() if inode not in seen}))
        seen |= found.keys()
    return made


def _counted(home: Home, items: Iterable[Item], kept: Iterable[Item]) -> tuple[Item, ...]:
    """The items with their links among MLflow's artifacts, and with what clearing all of them frees."""
    items = list(items)
    names: Counter[_Inode] = Counter()
    n_links: dict[_Inode, int] = {}
    for item in items:
        for path in item.paths:
            for _, found in _files(path):
                names[_inode(found)] += 1
                n_links[_inode(found)] = found.st_nlink
    # someone may have linked a checkpoint that is cleared to one that is kept: the run of that one keeps it
    stays = {_inode(found) for item in kept for path in item.paths for _, found in _files(path)}
    linked = _links(home.artifacts, {inode for inode, n in names.items() if n_links[inode] > n and inode not in stays})
    made = []
    for item, blocks in _blocks_by_item(items):
        gone = {inode for inode in blocks if names[inode] + len(linked.get(inode, ())) == n_links[inode]}
        made.append(
            replace(
                item,
                links=tuple(path for inode in blocks for path in linked.get(inode, ())),
                bytes=sum(blocks[inode] for inode in gone),
                bytes_elsewhere=sum(n_bytes for inode, n_bytes in blocks.items() if inode not in gone),
            )
        )
    return tuple(made)


def _links(folder: Path, wanted: set[_Inode]) -> dict[_Inode, list[Path]]:
    """The names below a folder of some files."""
    found: dict[_Inode, list[Path]] = {}
    if wanted and folder.is_dir():
        for path, status in _files(folder):
            if _inode(status) in wanted and stat.S_ISREG(status.st_mode):
                found.setdefault(_inode(status), []).append(path)
    return found


# ------------------------------------------------------------------------------------------------------------- clearing


def _clear(item: Item, home: Home) -> None:
    try:
        # links first: once the trial's own file is gone nothing tells whose they are
        for link in item.links:
            link.unlink(missing_ok=True)
            _remove_empty(link.parent, home.artifacts)
        for path in item.paths:
            _remove(path)
    except OSError as error:
        raise refused(f"{error.filename or item.paths[0]} cannot be removed: {error.strerror}") from None


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    if not path.name.endswith(_GOING):
        going = path.with_name(f".{path.name.lstrip('.')}{_GOING}")
        if going.exists():
            shutil.rmtree(going)
        path = path.rename(going)
    shutil.rmtree(path)


def _remove_empty(folder: Path, below: Path) -> None:
    """Remove a folder of a run's artifacts, and those around it, that nothing is left in."""
    while folder.name != "artifacts" and folder != below:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


# ------------------------------------------------------------------------------------------------------------ rendering


def as_json(cleaning: Cleaning, applied: bool) -> dict[str, Any]:
    """For programs. Paths are relative to the home."""

    def relative(paths: Iterable[Path]) -> list[str]:
        return [path.relative_to(cleaning.home.root).as_posix() for path in paths]

    def item(given: Item) -> dict[str, Any]:
        names = ("what", "key", "study", "budget", "variant", "seed", "bytes", "bytes_elsewhere", "why")
        told = {name: getattr(given, name) for name in names}
        return {**told, "paths": relative(given.paths), "links": relative(given.links)}

    return {
        "applied": applied,
        "keep": cleaning.keep,
        "interrupted": cleaning.interrupted,
        "in_use": cleaning.in_use,
        "bytes": cleaning.bytes,
        "items": [item(one) for one in cleaning.items],
        "kept": [item(one) for one in cleaning.kept],
    }


def lines(cleaning: Cleaning, applied: bool) -> list[str]:
    """For people: an item a line, then totals. `applied` is what `Cleaning.apply` returned."""
    rows = [
        (
            item.what,
            size(item.bytes),
            item.key or item.paths[0].relative_to(cleaning.home.root).as_posix(),
            "" if item.study is None else f"{item.study}, {item.variant}, seed {item.seed}",
            item.why,
        )
        for item in cleaning.items
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    made = ["  ".join(c.ljust(width) for c, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    verb = "cleared" if applied else "to clear"
    made.append(f"{verb}: {_total(cleaning.items)}" if rows else "nothing to clear")
    n_links = sum(len(item.links) for item in cleaning.items)
    if n_links:
        made.append(
            f"{'with them went' if applied else 'with them go'} {_many(n_links, 'link')} among MLflow's artifacts; "
            f"runs keep their parameters, metrics and other artifacts"
        )
    elsewhere = sum(item.bytes_elsewhere for item in cleaning.items)
    if elsewhere:
        made.append(f"{size(elsewhere)} more stay on disk, as these files have links elsewhere")
    if cleaning.kept:
        states = any(item.what == "last" for item in cleaning.kept)
        made.append(f"kept: {_total(cleaning.kept)}{'; --interrupted gives the states up' if states else ''}")
    if cleaning.in_use:
        made.append(
            "a driver is at work in this home: what it runs is not listed, and nothing is cleared until it ends"
        )
    if rows and not applied:
        made.append("nothing was changed; --apply clears it")
    return made


def _total(items: Iterable[Item]) -> str:
    items = list(items)
    titles = {"checkpoint": "checkpoint", "last": "state to go on from", "temporary": "temporary file"}
    plurals = {"last": "states to go on from"}
    parts = []
    for what, title in titles.items():
        some = [item for item in items if item.what == what]
        if some:
            parts.append(f"{_many(len(some), title, plurals.get(what))} ({size(sum(i.bytes for i in some))})")
    return f"{', '.join(parts)}; {size(sum(item.bytes for item in items))} in all"


def _many(n: int, one: str, several: str | None = None) -> str:
    return f"{n} {one if n == 1 else several or f'{one}s'}"
