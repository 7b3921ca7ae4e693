"""Two trials that differ say in what; two that do not are told to be the same."""

from __future__ import annotations

import json

import pytest

from orchestrator.difference import ABSENT, Change, as_json, difference, find, lines
from orchestrator.errors import StudyError
from orchestrator.store import Home, TrialRecord, write_record

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def record(key="aaaa000000000001", **fields):
    return TrialRecord(
        **{
            "key": key,
            "study": "warmup",
            "budget": "full",
            "variant": "baseline",
            "seed": 1,
            "status": "finished",
            "started": "2026-01-01T00:00:00+00:00",
            "duration_s": 60.0,
            "metrics": {"dev/relation_f1": 50.0, "test/relation_f1": 40.0, "test/relation_recall": 30.0},
            "settings": {"model": {"memory": {"warmup_proportion": 0.0, "sites": ["tokens"]}, "dropout": 0.1}},
            "data_digest": "d" * 64,
            "code_epoch": 1,
            "provenance": {"code": {"commit": COMMIT, "dirty": False}, "command": ["orchestrate", "run", "a b.yaml"]},
            **fields,
        }
    )


def memory(**settings):
    return {"model": {"memory": {"warmup_proportion": 0.0, "sites": ["tokens"], **settings}, "dropout": 0.1}}


def home_with(folder, *records):
    home = Home.at(folder)
    for one in records:
        home.trial(one.key).mkdir(parents=True)
        write_record(home.trial(one.key), one)
    return home


# ----------------------------------------------------------------------------------------------------------------- find


def test_a_trial_is_found_by_its_key_or_a_unique_start_of_it(tmp_path):
    home = home_with(tmp_path, record(), record("aaaa000000000002"), record("bbbb000000000001"))
    assert find(home, "bbbb").key == "bbbb000000000001"
    assert find(home, "BBBB0").key == "bbbb000000000001"
    assert find(home, "aaaa000000000002").key == "aaaa000000000002"


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("aaaa", "2 keys begin with 'aaaa', give more digits: aaaa000000000001 (warmup, baseline, seed 1); aaaa0"),
        ("bbb", "'bbb' is no trial key, wanted its first 4 or more hex digits"),
        ("baseline", "'baseline' is no trial key"),
        ("bbcb", "has a key that begins with 'bbcb', did you mean 'bbbb'?"),
        ("ffff", "has a key that begins with 'ffff'"),
        ("bbbb0000000000012", "has a key that begins with 'bbbb0000000000012', did you mean 'bbbb000000000001'?"),
    ],
)
def test_what_names_no_trial_or_several_is_refused_with_what_may_be_meant(tmp_path, prefix, message):
    home = home_with(tmp_path, record(), record("aaaa000000000002"), record("bbbb000000000001"))
    with pytest.raises(StudyError) as refusal:
        find(home, prefix)
    assert message in str(refusal.value)


def test_many_candidates_are_counted_not_listed(tmp_path):
    home = home_with(tmp_path, *(record(f"aaaa00000000000{digit}") for digit in range(8)))
    with pytest.raises(StudyError, match="8 keys .*; 2 more$"):
        find(home, "aaaa")


def test_in_a_home_without_trials_nothing_is_found(tmp_path):
    with pytest.raises(StudyError, match="there is no trial under"):
        find(Home.at(tmp_path / "nowhere"), "aaaa")


# ----------------------------------------------------------------------------------------------------------- difference


def test_trials_with_equal_settings_seed_data_and_code_are_the_same_trial():
    again = record("bbbb000000000001", study="other", variant="renamed", duration_s=70.0, metrics={})
    found = difference(record(), again)
    assert found.same_trial and (found.settings, found.rest_of_key) == ((), ())
    assert lines(found)[3].startswith("A and B are the same trial: ")
    assert lines(found)[3].endswith("yet their scores differ")
    assert lines(difference(record(), record()))[3:4] == ["A and B are one trial"]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"seed": 2}, "differ in the seed"),
        ({"data_digest": "e" * 64}, "differ in the data"),
        ({"code_epoch": 2}, "differ in the code epoch"),
        ({"trainable": {"kind": "command", "command": "x"}}, "differ in the trainable"),
        ({"settings": memory(warmup_proportion=0.4)}, "differ in 1 setting"),
        ({"settings": memory(warmup_proportion=0.4, sites=[]), "seed": 2}, "differ in 2 settings, the seed"),
    ],
)
def test_whatever_is_in_a_key_makes_another_trial(other, told):
    found = difference(record(), record("bbbb000000000001", **other))
    assert not found.same_trial and lines(found)[3] == told


def test_settings_are_told_by_their_dotted_path_in_the_order_of_a():
    other = memory(sites=["tokens", "mentions"], warmup_proportion=0.4, kind="softmax")
    assert difference(record(), record(settings=other)).settings == (
        Change("model.memory.warmup_proportion", 0.0, 0.4),
        Change("model.memory.sites", ["tokens"], ["tokens", "mentions"]),
        Change("model.memory.kind", ABSENT, "softmax"),
    )


def test_a_part_that_one_trial_does_not_have_is_one_change():
    whole = memory()
    part = whole["model"]["memory"]
    without = {"model": {"memory": None, "dropout": 0.1}}
    assert difference(record(), record(settings=without)).settings == (Change("model.memory", part, None),)
    assert difference(record(settings=without), record()).settings == (Change("model.memory", None, part),)
    empty = {"model": {"memory": {}, "dropout": 0.1}}
    assert difference(record(settings=empty), record()).settings == (Change("model.memory", {}, part),)


def test_values_of_another_type_differ_although_python_takes_them_for_equal():
    others = difference(record(settings=memory(a=1, b=1)), record(settings=memory(a=1.0, b=True))).settings
    assert [change.path for change in others] == ["model.memory.a", "model.memory.b"]


def test_metrics_stand_with_what_b_has_more_than_a():
    other = record("bbbb000000000001", metrics={"test/relation_f1": 41.5, "test/entity_f1": 60.0})
    found = difference(record(), other)
    assert [(score.name, score.difference) for score in found.metrics] == [
        ("test/entity_f1", None),
        ("test/relation_f1", 1.5),
        ("dev/relation_f1", None),
        ("test/relation_recall", None),
    ]


def test_provenance_is_compared_to_its_leaves_code_first():
    common = {"cwd": ".", "more": {"equal": 1}}
    a = {"python": "3.11.1", "hardware": {"cores": 2}, "packages": {"torch": "2.6"}, "code": {"commit": COMMIT}}
    b = {"python": "3.11.2", "hardware": {"cores": 4}, "packages": {}, "code": {"commit": "f" * 40}, "new": 1}
    found = difference(record(provenance={**common, **a}), record(provenance={**common, **b}))
    assert [change.path for change in found.provenance] == [
        "code.commit", "packages", "python", "hardware.cores", "new"
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ rendering


def test_lines_are_aligned_and_the_most_important_stands_first():
    a = record(facts={"device": "cpu"})
    b = record(
        "bbbb000000000001",
        variant="warm",
        seed=2,
        status="failed",
        duration_s=61.25,
        settings=memory(warmup_proportion=0.4, kind="null"),
        metrics={"dev/relation_f1": 50.0, "test/relation_f1": 39.0, "test/relation_recall": 31.0},
        facts={"device": "cuda"},
        provenance={"code": {"commit": "f" * 40, "dirty": True}, "command": ["orchestrate", "run", "x" * 60]},
    )
    assert "\n".join(lines(difference(a, b))) == (
        """\
A  aaaa000000000001  warmup, budget full: baseline, seed 1, finished
B  bbbb000000000001  warmup, budget full: warm, seed 2, failed

differ in 2 settings, the seed

  in the key                      A         B
  model.memory.warmup_proportion  0.0       0.4
  model.memory.kind               (absent)  "null"
  seed                            1         2

  metrics               A      B  B − A
  test/relation_f1  40.00  39.00  -1.00
  dev/relation_f1   50.00  50.00      =
  and 1 more, by --json

  outcome     A         B
  status      finished  failed
  duration_s  60.0 s    61.2 s

  facts   A    B
  device  cpu  cuda

  provenance   A              B
  code.commit  0123456789ab…  ffffffffffff…
  code.dirty   false          true
  command
    A  orchestrate run 'a b.yaml'
    B  orchestrate run """
        + "x" * 60
    )


def test_a_difference_that_two_decimals_would_hide_is_shown():
    a, b = record(metrics={"test/relation_f1": 40.0}), record(metrics={"test/relation_f1": 40.001})
    assert any(line.endswith("40.00  40.00  +1e-03") for line in lines(difference(a, b)))


def test_the_json_has_values_whole_and_no_key_for_what_is_absent():
    other = record("bbbb000000000001", settings=memory(kind="softmax"), provenance={"code": {"commit": "f" * 40}})
    found = json.loads(json.dumps(as_json(difference(record(), other))))
    assert found["settings"] == [{"path": "model.memory.kind", "b": "softmax"}]
    assert {"path": "code.commit", "a": COMMIT, "b": "f" * 40} in found["provenance"]
    assert found["metrics"][0] == {"name": "test/relation_f1", "a": 40.0, "b": 40.0, "difference": 0.0}
    assert found["same_trial"] is False and found["a"]["key"] == "aaaa000000000001"
