"""Each benchmark runs, at a small size, and tells its ratio. How fast anything is no test says: machines are noisy."""

from __future__ import annotations

import json
import math

import pytest

from tests.benchmarks import expansion, mirroring, orchestrator, overhead, reading, reporting, startup, statistics
from tests.benchmarks.measuring import Line


def ratios(lines: list[Line]) -> dict[str, float]:
    assert all(math.isfinite(line.value) and line.value > 0 for line in lines)
    return {line.name: line.value for line in lines if not line.unit}


def test_start_up_is_told_beside_the_imports_that_nothing_can_do_without():
    assert len(ratios(startup.measure(rounds=1, keep_byte_code=False))) == 2


def test_expansion_is_told_beside_the_validation_that_nothing_can_leave_out():
    one, other = ((expansion.RATES, expansion.DROPOUT, 2, n_levels, 2) for n_levels in (2, 3))
    assert len(ratios(expansion.measure(rounds=1, sizes=(one,), estimated=other))) == 4


def test_the_index_is_told_beside_the_files_that_it_stands_for():
    assert len(ratios(reading.measure(rounds=1, levels=(2, 5), n_seeds=2))) == 1


def test_the_trackers_share_is_told_of_a_trial_that_was_run():
    assert len(ratios(mirroring.measure(n_trials=1, n_epochs=1))) == 1


def test_resampling_is_told_beside_the_multiplication_that_nothing_can_leave_out():
    assert len(ratios(statistics.measure(rounds=1, n_seeds=2, n_documents=20, resamples=50))) == 3


def test_a_report_is_told_beside_the_parsing_of_what_it_reads():
    assert len(ratios(reporting.measure(rounds=1, n_variants=2, n_seeds=2, n_documents=50, n_epochs=2))) == 1


def test_the_cost_of_a_trial_is_what_more_trials_take_beside_plain_ray_tune(monkeypatch):
    # 10 s to start and 0.1 s a trial, against 5 s and 1 s; Ray itself would take half a minute here
    monkeypatch.setattr(overhead, "_ours", lambda n_trials: 10 + 0.1 * n_trials)
    monkeypatch.setattr(overhead, "_plain", lambda n_trials: 5 + 1.0 * n_trials)
    assert ratios(overhead.measure()) == {"overhead, ours to plain Ray Tune": pytest.approx(0.1)}


def test_a_line_says_whether_its_goal_is_met():
    assert str(Line("a", 0.5, "s")) == "a: 0.5 s"
    assert str(Line("a", 0.5, "", "at most 0.25", 0.25)) == "a: 0.5 (at most 0.25, missed)"
    assert str(Line("a", 0.1, "", "at most 0.25", 0.25)) == "a: 0.1 (at most 0.25, met)"


def test_the_command_prints_and_writes_what_was_asked_for(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(orchestrator, "BENCHMARKS", {"one": lambda: [Line("a", 0.1, "", "at most 0.25", 0.25)]})
    assert orchestrator.main(["one", "--json", str(tmp_path / "told.json")]) == 0
    assert capsys.readouterr().out == "a: 0.1 (at most 0.25, met)\n"
    told = json.loads((tmp_path / "told.json").read_text())
    assert [(line["name"], line["met"]) for line in told["lines"]] == [("a", True)]
    with pytest.raises(SystemExit):
        orchestrator.main(["nothing"])
