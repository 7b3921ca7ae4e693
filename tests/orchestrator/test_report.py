"""What a report takes from the store: counts of documents, and trials of other data or code only by force."""

from __future__ import annotations

import json

import numpy as np
import pytest

import model
from orchestrator import report
from orchestrator.plan import plan
from orchestrator.schema import load
from orchestrator.store import Home
from reports.records import StudyResults
from reports.settings import MEASURES
from tests.orchestrator.samples import SWEEP, write
from tests.orchestrator.standin import STANDIN
from tests.orchestrator.test_running import database, home, run  # noqa: F401

pytestmark = pytest.mark.filterwarnings("default")  # mlflow and its parts warn of each other


def planned(tmp_path, text=SWEEP):
    place = Home.at(tmp_path / "home")
    return plan(load(write(tmp_path, text)), "full", place, (), trainable=STANDIN), place


def test_results_of_another_code_epoch_are_taken_only_by_force_and_the_caption_says_so(tmp_path, monkeypatch):
    before = run(tmp_path)
    monkeypatch.setattr(model, "CODE_EPOCH", model.CODE_EPOCH + 1)
    now, place = planned(tmp_path)
    assert not any(trial.is_finished for trial in now.trials)
    assert len(report.outdated(now, place)) == 4
    honest = report.results(now, place)
    assert isinstance(honest, StudyResults) and not honest.trials and honest.mixed is None
    forced = report.results(now, place, force=True)
    assert {trial.key for trial in forced.trials} == set(before.executed)
    assert forced.mixed is not None and forced.mixed.startswith("4 of 4 trials read other data, or ran other code")
    # which of the two it is
    assert f"code epoch {model.CODE_EPOCH - 1})" in forced.mixed and ", data " not in forced.mixed
    made, files = report.write(now, place, None, tmp_path / "out", force=True)
    assert made == forced
    for name in ("table.tex", "table.md"):
        assert "Forced: 4 of 4 trials" in files[name].read_text()


def test_new_trials_beside_outdated_ones_are_mixed_only_by_force(tmp_path, monkeypatch):
    run(tmp_path)
    monkeypatch.setattr(model, "CODE_EPOCH", model.CODE_EPOCH + 1)
    run(tmp_path, SWEEP.replace("[0.0, 0.4]", "[0.4]"))
    now, place = planned(tmp_path)
    assert sum(trial.is_finished for trial in now.trials) == 2 and len(report.outdated(now, place)) == 2
    assert len(report.results(now, place).trials) == 2
    forced = report.results(now, place, force=True)
    assert len(forced.trials) == 4 and {trial.code_epoch for trial in forced.trials} == {
        model.CODE_EPOCH - 1,
        model.CODE_EPOCH,
    }
    # the same record without its warning is refused: what was forced cannot be hidden by hand
    given = json.loads(forced.to_json())
    given["mixed"] = None
    with pytest.raises(ValueError, match="there are trials of the code epochs"):
        StudyResults.from_json(json.dumps(given))


def test_a_report_has_the_counts_of_its_trials_and_leaves_out_what_disagrees(tmp_path, caplog):
    run(tmp_path)
    now, place = planned(tmp_path)
    good, bad, broken = (trial.key for trial in now.trials[:3])
    write_counts(place, good)
    write_counts(place, bad)
    write_counts(place, broken)
    (place.trial(broken) / "counts" / "test.json").write_text("[")
    # the counts are of mentions that were all found
    path = place.trial(good) / "record.json"
    given = json.loads(path.read_text())
    given["metrics"] |= dict.fromkeys((f"test/mention_{name}" for name in MEASURES), 100.0)
    path.write_text(json.dumps(given))
    made = report.results(*planned(tmp_path))
    assert made.counts is not None and list(made.counts.trials) == [(good, "test")]
    assert np.array_equal(made.counts.of_metric(good, "test/mention_f1"), [[0, 0, 0], [1, 0, 0]])
    assert f"{bad}/counts/test.json is left out of the statistics: test/mention_precision is 4" in caplog.text
    assert f"{broken}/counts/test.json is left out of the statistics" in caplog.text


def write_counts(place: Home, key: str) -> None:
    """Counts of two documents, the first without a mention."""
    path = place.trial(key) / "counts" / "test.json"
    path.parent.mkdir(exist_ok=True)
    columns = {"document": [1], "correct": [1], "spurious": [0], "missed": [0]}
    path.write_text(json.dumps({"documents": {"id": ["a", "b"], "words": [3, 4]}, "mention": columns}))
