"""The index says what the records say, and is made again whenever it does not."""

from __future__ import annotations

import sqlite3

import pytest

from orchestrator import index
from orchestrator.index import Mirror
from orchestrator.store import Home, write_record
from tests.orchestrator.test_store import RECORD


@pytest.fixture
def home(tmp_path):
    home = Home.at(tmp_path / "home")
    home.refuse_if_not_writable()
    for n_trial in range(12):
        put(home, f"{n_trial:016x}", seed=n_trial)
    return home


def put(home, key, **changes):
    home.trial(key).mkdir(exist_ok=True)
    write_record(home.trial(key), RECORD.model_copy(update={"key": key, **changes}))


def indexed(home):
    with index.opened(home.index) as books:
        home.refresh(books)
        assert books.trouble is None


def test_records_come_back_the_same_with_and_without_an_index(home):
    without = home.records()
    indexed(home)
    assert home.records() == without and len(without) == 12
    assert home.records(["0" * 15 + "3", "nobody"]) == {"0" * 15 + "3": without["0" * 15 + "3"]}


def test_what_the_index_has_is_read_from_it(home, monkeypatch):
    indexed(home)
    monkeypatch.setattr(Home, "record", lambda self, key: pytest.fail(f"{key} was read from its file"))
    assert len(home.records()) == 12


def test_a_record_that_was_replaced_after_the_index_was_written_is_read_from_its_file(home):
    indexed(home)
    put(home, "0" * 16, status="failed")
    assert home.records()["0" * 16].status == "failed"


def test_a_trial_whose_folder_is_gone_is_gone_from_the_index(home):
    indexed(home)
    (home.trial("0" * 16) / "record.json").unlink()
    home.trial("0" * 16).rmdir()
    assert len(home.records()) == 11
    indexed(home)
    assert len(index.read_rows(home.index)) == 11


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4000])
def test_an_index_that_is_damaged_is_made_again_from_the_records(home, content):
    indexed(home)
    for suffix in ("-wal", "-shm"):
        home.index.with_name(home.index.name + suffix).unlink(missing_ok=True)
    home.index.write_bytes(content)
    assert len(home.records()) == 12
    indexed(home)
    assert len(index.read_rows(home.index)) == 12


def test_an_index_of_another_version_is_made_again(home):
    indexed(home)
    with sqlite3.connect(home.index) as database:
        database.execute("pragma user_version = 99")
    database.close()
    assert index.read_rows(home.index) == {} and len(home.records()) == 12
    indexed(home)
    assert len(index.read_rows(home.index)) == 12


def test_an_index_that_cannot_be_written_keeps_nobody_from_working(tmp_path):
    with index.opened(tmp_path / "nowhere" / "runs.db") as books:
        books.put_mirror("t", "k", Mirror("r", "s"))
        assert books.trouble is not None


def test_the_index_is_in_wal_mode_so_that_readers_and_the_writer_do_not_wait_for_each_other(home):
    indexed(home)
    with index.opened(home.index) as books:
        assert books._database.execute("pragma journal_mode").fetchone() == ("wal",)
        books._database.execute("begin immediate")
        assert len(index.read_rows(home.index)) == 12


def test_trials_whose_driver_is_gone_are_settled_as_interrupted(home):
    put(home, "a" * 16, status="running")
    indexed(home)
    (settled,) = home.settle("2026-01-02T00:00:00+00:00")
    assert (settled.key, settled.status) == ("a" * 16, "interrupted")
    assert home.record("a" * 16) == settled and home.settle("") == ()


def test_the_runs_that_mirror_trials_are_known_by_tracker(home):
    with index.opened(home.index) as books:
        books.put_mirror("here", "k", Mirror("r1", ""))
        books.put_mirror("there", "k", Mirror("r2", "s"))
        books.put_cells("s", "full", [("v", 1, "k")])
        books.put_cells("s", "full", [("w", 2, "k")])
    assert index.read_mirrors(home.index, "there") == {"k": Mirror("r2", "s")}
    assert index.read_run_ids(home.index)["k"] in ("r1", "r2")
    assert index.read_cells(home.index) == [("s", "full", "w", 2, "k")]
