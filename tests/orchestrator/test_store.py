"""Records are whole or not there, and a home has one driver."""

from __future__ import annotations

import os

import pytest

from orchestrator import store
from orchestrator.errors import StudyError
from orchestrator.store import Home, TrialRecord, read_history, read_record, write_durably, write_record

RECORD = TrialRecord(
    key="k",
    study="s",
    budget="full",
    variant="v",
    seed=1,
    status="finished",
    started="2026-01-01T00:00:00+00:00",
    metrics={"test/relation_f1": 12.345678901234567},
    settings={"model": {"dropout": 0.1}},
    data_digest="d",
    code_epoch=1,
)


def test_a_record_comes_back_as_it_was(tmp_path):
    write_record(tmp_path, RECORD)
    assert read_record(tmp_path) == RECORD
    assert read_record(tmp_path / "nowhere") is None


def test_a_write_that_is_cut_off_leaves_the_record_before_and_no_litter(tmp_path, monkeypatch):
    write_record(tmp_path, RECORD)

    def full_disk(number):
        raise OSError("no space left on device")

    monkeypatch.setattr(store.os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_record(tmp_path, RECORD.model_copy(update={"status": "failed"}))
    assert read_record(tmp_path) == RECORD
    assert os.listdir(tmp_path) == ["record.json"]


def test_content_is_on_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(store.os, "fsync", lambda number: (order.append("fsync"), fsync(number))[1])
    monkeypatch.setattr(store.os, "replace", lambda *paths: (order.append("replace"), replace(*paths))[1])
    write_durably(tmp_path / "a", "text")
    assert order == ["fsync", "replace", "fsync"]


def test_what_is_no_record_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "record.json").write_text('{"key": 1}')
    with pytest.raises(StudyError, match="is no trial record"):
        read_record(tmp_path)


def test_a_history_that_was_cut_off_ends_before_the_cut(tmp_path):
    (tmp_path / "history.jsonl").write_text('{"epoch": 1, "metrics": {"dev/relation_f1": 1.0}}\n{"epoch": 2, "met')
    assert read_history(tmp_path) == [(1, {"dev/relation_f1": 1.0})]


def test_a_home_is_held_by_one_driver_and_free_when_that_ends(tmp_path):
    home = Home.at(tmp_path / "home")
    home.refuse_if_not_writable()
    with home.held():
        assert home.is_held()
        with pytest.raises(StudyError, match=f"process {os.getpid()} is running"):
            with Home.at(tmp_path / "home").held():
                pass
    assert not home.is_held()


def test_a_home_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(StudyError, match="cannot be written"):
        Home.at(tmp_path / "home").refuse_if_not_writable()


def test_reduced_budgets_have_reports_of_their_own(tmp_path):
    home = Home.at(tmp_path)
    assert home.report("warmup", "full") == tmp_path / "warmup" / "report"
    assert home.report("warmup", "cpu") == tmp_path / "warmup" / "cpu" / "report"
