"""The store's index: one SQLite file that holds what the records say, so that a thousand of them are read at once,
which study uses which trial, and which run of a tracker mirrors it.

The records are the truth. A row carries the stamp of the file that it was read from, and is believed only as long as
the file has that stamp; an index that is lost, damaged or of another version is made again. One process writes, the
driver that holds the home; any number may read.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

log = logging.getLogger("orchestrator.index")

VERSION = 1
_TABLES = """
create table trial (
    key text primary key, study text, budget text, variant text, seed integer, status text, attempts integer,
    started text, ended text, duration_s real, stamp text not null, record text not null
);
create index trial_by_status on trial (status);
create table cell (
    study text, budget text, variant text, seed integer, key text, primary key (study, budget, variant, seed)
);
create index cell_by_key on cell (key);
create table mirror (tracker text, key text, run_id text, stamp text, primary key (tracker, key));
"""


@dataclass(frozen=True)
class Mirror:
    """A run of a tracker, and the stamp of the record that it shows; empty if it does not show one yet."""

    run_id: str
    stamp: str


def stamp_of(path: Path) -> str | None:
    """Changes whenever a file is replaced; `None` if there is none."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return f"{found.st_mtime_ns}-{found.st_size}-{found.st_ino}"


def read_rows(path: Path) -> dict[str, tuple[str, str]]:
    """Key → stamp and record as JSON; empty if there is no index that can be read."""
    return {key: (stamp, record) for key, stamp, record in _read(path, "select key, stamp, record from trial")}


def read_mirrors(path: Path, tracker: str) -> dict[str, Mirror]:
    rows = _read(path, "select key, run_id, stamp from mirror where tracker = ?", tracker)
    return {key: Mirror(run_id, stamp) for key, run_id, stamp in rows}


def read_run_ids(path: Path) -> dict[str, str]:
    """Key → run, of whichever tracker."""
    return dict(_read(path, "select key, run_id from mirror"))


def read_cells(path: Path) -> list[tuple[str, str, str, int, str]]:
    """Study, budget, variant, seed and key of all cells that were ever planned to be run."""
    return _read(path, "select study, budget, variant, seed, key from cell")


def _read(path: Path, query: str, *values: Any) -> list[Any]:
    if not path.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as database:
            if database.execute("pragma user_version").fetchone()[0] != VERSION:
                return []
            return database.execute(query, values).fetchall()
    except sqlite3.Error:
        return []


def _derived(method: Callable[..., None]) -> Callable[..., None]:
    """What goes wrong with the index stays there: the records have all of it."""

    @wraps(method)
    def guarded(self: Index, *arguments: Any) -> None:
        if self.trouble is not None:
            return
        try:
            method(self, *arguments)
        except sqlite3.Error as error:
            self.trouble = str(error)
            log.warning("the index %s cannot be written (%s); the records have all that it would", self.path, error)

    return guarded


class Index:
    """The driver's hand on the index."""

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self.path = path
        self.trouble: str | None = None
        """Why it is not up to date, if it is not."""
        self._database = database

    @_derived
    def put(self, rows: Iterable[tuple[Mapping[str, Any], str, str]]) -> None:
        """Records as mappings, with their stamps and as JSON."""
        columns = ("key", "study", "budget", "variant", "seed", "status", "attempts", "started", "ended", "duration_s")
        with self._database:
            self._database.executemany(
                f"insert or replace into trial ({', '.join(columns)}, stamp, record) values ({'?, ' * 11}?)",
                [(*(record[column] for column in columns), stamp, text) for record, stamp, text in rows],
            )

    @_derived
    def forget(self, keys: Sequence[str]) -> None:
        with self._database:
            self._database.executemany("delete from trial where key = ?", [(key,) for key in keys])

    @_derived
    def put_cells(self, study: str, budget: str, cells: Iterable[tuple[str, int, str]]) -> None:
        """Variant, seed and key of every cell of a study under a budget, in place of those before."""
        with self._database:
            self._database.execute("delete from cell where study = ? and budget = ?", (study, budget))
            self._database.executemany(
                "insert or replace into cell values (?, ?, ?, ?, ?)",
                [(study, budget, variant, seed, key) for variant, seed, key in cells],
            )

    @_derived
    def put_mirror(self, tracker: str, key: str, mirror: Mirror) -> None:
        with self._database:
            self._database.execute(
                "insert or replace into mirror values (?, ?, ?, ?)", (tracker, key, mirror.run_id, mirror.stamp)
            )


@contextmanager
def opened(path: Path) -> Iterator[Index]:
    """The index for writing; an unreadable one is put aside and made again, empty."""
    try:
        database = _open(path)
    except sqlite3.DatabaseError as error:
        if "full" in str(error) or "I/O" in str(error) or "unable to open" in str(error):
            with closing(sqlite3.connect(":memory:")) as nowhere:
                index = Index(path, nowhere)
                index.trouble = str(error)
                log.warning("the index %s cannot be written (%s); the records have all that it would", path, error)
                yield index
            return
        log.warning("the index %s is damaged (%s) and is made again", path, error)
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        database = _open(path)
    with closing(database):
        yield Index(path, database)


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=30)
    try:
        database.execute("pragma journal_mode = wal")
        # a crash of the machine may lose the last rows, which their records then bring back
        database.execute("pragma synchronous = normal")
        if database.execute("pragma user_version").fetchone()[0] != VERSION:
            with database:
                for (name,) in database.execute("select name from sqlite_master where type = 'table'").fetchall():
                    database.execute(f"drop table {name}")
                for statement in filter(str.strip, _TABLES.split(";")):
                    database.execute(statement)
                database.execute(f"pragma user_version = {VERSION}")
        database.execute("select count(*) from trial").fetchone()
    except BaseException:
        database.close()
        raise
    return database
