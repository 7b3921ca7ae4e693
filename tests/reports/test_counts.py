"""Counts of documents: from what a trial leaves to the file of a report and back, and what they give."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from model.data.document import Document, Entity, Mention, Relation
from model.metrics import matching
from model.metrics.evaluation import Evaluation
from reports import counts
from reports.counts import StudyCounts, measured, metric_parts, read_split
from reports.statistics.micro import Statistic
from tests.reports import samples

WORDS = (tuple("aspirin causes fever and nausea in some".split()),)
DRUG, FEVER, NAUSEA = (0, 1), (2, 3), (4, 5)


def document(name: str, *relations: tuple[int, int, str], types: str = "CDD") -> Document:
    spans = (DRUG, FEVER, NAUSEA)
    names = {"C": "Chemical", "D": "Disease"}
    entities = tuple(Entity((Mention(*span, names[of]),)) for span, of in zip(spans, types, strict=True))
    return Document(name, WORDS, entities, tuple(Relation(*one) for one in relations))


GOLD = [document("a", (0, 1, "CID"), (0, 2, "CID")), document("b", (0, 1, "CID")), document("c")]
FOUND = [document("a", (0, 1, "CID"), (0, 2, "other")), document("b", (0, 1, "CID"), types="CCD"), document("c")]


@pytest.fixture
def split(tmp_path: Path) -> counts.SplitCounts:
    Evaluation.of(GOLD, FOUND, [0.25, 0.125, 0.5]).write(tmp_path, "test")
    untimed = read_split((tmp_path / "counts" / "test.json").read_text())
    assert untimed.seconds is None
    return counts.timed(untimed, (tmp_path / "seconds" / "test.json").read_text())


def test_what_a_trial_leaves_gives_its_scores_again(split: counts.SplitCounts):
    scores = Evaluation.of(GOLD, FOUND).scores("test")
    assert split.documents.ids == ("a", "b", "c") and split.documents.words.tolist() == [7, 7, 7]
    for metric, score in scores.items():
        parts = metric_parts(metric)
        assert parts is not None
        assert measured(split.of(parts[1]).sum(axis=0), parts[2]) == pytest.approx(score)
    assert split.disagreement("test", scores) is None
    told = split.disagreement("test", {**scores, "test/entity_f1": 12.5})
    assert told is not None and told.startswith("test/entity_f1 is 12.500000, its counts give 88.8")


def test_counts_are_told_by_document_and_by_type(split: counts.SplitCounts):
    for task in matching.SUBTASKS:
        expected = [matching.count(gold, found)[task] for gold, found in zip(GOLD, FOUND, strict=True)]
        assert split.of(task).tolist() == [[one.correct, one.spurious, one.missed] for one in expected]
    by_type = {name: one.tolist() for name, one in split.tasks["relation"].by_type().items()}
    assert by_type == {"CID": [2, 0, 1], "other": [0, 1, 0]}
    assert split.of("relation", "CID").tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 0]]
    # where one entity has another type, the relation is right and the strict one is wrong
    assert split.of("relation_strict").tolist() == [[1, 1, 1], [0, 1, 1], [0, 0, 0]]
    assert split.of("mention", "CID").sum() == 0


def test_the_file_of_a_report_is_read_back_and_is_the_same_bytes(split: counts.SplitCounts):
    untimed = replace(split, seconds=None)
    made = StudyCounts({("k1", "test"): split, ("k2", "test"): split, ("k2", "dev"): untimed})
    content = counts.render(made)
    again = counts.read(content)
    assert counts.render(again) == content == counts.render(made)
    assert list(again.trials) == list(made.trials)
    timed = again.trials["k2", "test"].seconds
    assert timed is not None and timed.tolist() == [0.25, 0.125, 0.5] and again.trials["k2", "dev"].seconds is None
    stacked = again.stacked(["k1", "k2"], "test/relation_f1")
    assert stacked is not None and stacked.shape == (2, 3, 3)
    assert np.array_equal(stacked[0], split.of("relation"))
    assert again.stacked(["k1", "k2"], "dev/relation_f1") is None  # k1 has none on dev
    assert again.stacked(["k1"], "test/accuracy") is None
    # a list of documents stands there once
    assert sum(len(one) for one in {id(one.documents): "x" for one in again.trials.values()}.values()) == 1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("[0.25, 0.125, 0.5]", "wanted {"),
        ('{"id": ["b", "a", "c"], "seconds": [1, 1, 1]}', "of the documents that were counted"),
        ('{"id": ["a", "b", "c"], "seconds": [1, 1]}', "found 2 `seconds`, wanted one for each of 3"),
        ('{"id": ["a", "b", "c"], "seconds": [1, -1, 1]}', "numbers from 0"),
        ('{"id": ["a", "b", "c"], "seconds": [1, true, 1]}', "numbers from 0"),
        ('{"id": ["a", "b", "c"], "seconds": [1, NaN, 1]}', "numbers from 0"),
        ('{"id": ["a", "b", "c"]}', "numbers from 0"),
    ],
)
def test_seconds_that_are_none_are_told(split: counts.SplitCounts, given: str, told: str):
    with pytest.raises(ValueError, match=told):
        counts.timed(split, given)


def test_trials_on_other_documents_are_not_stacked(split: counts.SplitCounts):
    other = replace(split, documents=replace(split.documents, ids=("a", "b", "d")))
    assert StudyCounts({("k1", "test"): split, ("k2", "test"): other}).stacked(["k1", "k2"], "test/entity_f1") is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("[]", "wanted {"),
        ('{"documents": {"id": ["a"], "words": []}}', "as many of each"),
        ('{"documents": {"id": ["a"], "words": [1]}, "mention": {"document": [0]}}', "no correct, spurious, missed"),
        (
            json.dumps(
                {
                    "documents": {"id": ["a"], "words": [1]},
                    "mention": {"document": [1], "correct": [1], "spurious": [0], "missed": [0]},
                }
            ),
            "name document 1, wanted one of 1",
        ),
        (
            json.dumps(
                {
                    "documents": {"id": ["a"], "words": [1]},
                    "mention": {"document": [0], "correct": [-1], "spurious": [0], "missed": [0]},
                }
            ),
            "have -1, wanted numbers from 0",
        ),
        (
            json.dumps(
                {
                    "documents": {"id": ["a"], "words": [1]},
                    "mention": {"document": [0], "correct": [0.5], "spurious": [0], "missed": [0]},
                }
            ),
            "other values than whole numbers",
        ),
        (
            json.dumps(
                {
                    "documents": {"id": ["a"], "words": [1]},
                    "mention": {"document": [0], "correct": [1, 2], "spurious": [0], "missed": [0]},
                }
            ),
            "columns of [1, 2] rows",
        ),
    ],
)
def test_what_are_no_counts_is_refused(given: str, told: str):
    with pytest.raises(ValueError) as refusal:
        read_split(given)
    assert told in str(refusal.value)
    with pytest.raises(ValueError):
        counts.read(given.encode())


def test_measures_are_those_of_the_model():
    made = np.array([[3, 1, 2], [0, 0, 0], [0, 4, 0]])
    for row, values in zip(
        made, zip(*(measured(made, name) for name in get_args(Statistic)), strict=True), strict=True
    ):
        one = matching.Counts(*map(int, row))
        assert values == pytest.approx((one.precision, one.recall, one.f1))


def test_results_whose_counts_say_otherwise_are_refused(split: counts.SplitCounts):
    results = samples.comparison()
    key = next(trial.key for trial in results.trials if trial.status == "finished")
    with pytest.raises(ValueError, match=f"trial {key} of 'memory': test/.* its counts give"):
        replace(results, counts=StudyCounts({(key, "test"): split}))
