"""What holds for the faults of every study: all at once, each at its place, none that only follows from another.

Each kind of fault has a study of its own in `tests/orchestrator/corpus/bad`.
"""

from __future__ import annotations

import resource
import time

import pytest

from orchestrator.errors import StudyError
from orchestrator.schema import load
from tests.orchestrator.samples import HEAD, SWEEP, faults, write

N = len(HEAD.splitlines())
"""Lines of the head, so that what a case adds begins on line N + 1."""


def test_a_good_study_has_no_faults(tmp_path):
    assert faults(tmp_path, SWEEP) == []


def test_a_rule_between_settings_is_told_at_the_line_that_broke_it(tmp_path):
    text = (
        HEAD
        + "variants:\n  dot: {settings: {model.entity.classifier: {kind: dot}, model.memory.slot_size.entity: 32}}\n"
    )
    (fault,) = faults(tmp_path, text)
    assert fault.startswith(f"study.yaml:{N + 2}:")
    assert "compares vectors of the encoder's width" in fault


def test_all_faults_of_study_and_settings_are_told_at_once_in_the_order_of_the_file(tmp_path):
    text = "study: Sample\nquestion: Why?\nseeds: 0\nsettings: {training.epoch: 2, model.dropout: 1.0}\nrepot: {}\n"
    told = faults(tmp_path, text)
    assert [fault.split(" ")[0] for fault in told] == [
        "study.yaml:1:8",
        "study.yaml:3:8",
        "study.yaml:4:12",
        "study.yaml:4:46",
        "study.yaml:5:1",
    ]


def test_a_missing_key_is_told_at_the_head_of_the_file(tmp_path):
    assert faults(tmp_path, "study: a\nseeds: 1\n") == ["study.yaml:1:1: the key 'question' is missing"]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"study: ]\nb: 2\n", "1:8"),
        (b"", "1:1"),
        (b"study: \xff\n", "1:8"),
        (b"a: &x [*x]\n", "1:4"),
        (b"a: \x00\n", "1:4"),
        (b"a: 1\n---\nb: 2\n", "2:1"),
        (b"- 1\n", "1:1"),
        (b"[" * 3000, "1:101"),
        (b"a: {" * 150 + b"}" * 150, "1:404"),
        ("# Größe\nstudy: ".encode() + b"\xff\n", "2:8"),
        ("ä: ".encode() + b"\xff\n", "1:4"),
        (b"a: 1\n%YAML 1.1\n---\nb: 2\n", "2:1"),
        (b"a: '" + b"x" * 1_000_000 + b"'", "1:1"),
        (b"<<: {a: 1}\n", "1:1"),
        (b"? [1, 2]\n: 3\n", "1:3"),
    ],
)
def test_what_is_no_study_at_all_is_refused_with_a_place(tmp_path, content, place):
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    with pytest.raises(StudyError) as refusal:
        load(path)
    assert f"{path}:{place}" in str(refusal.value)


def test_a_key_whose_value_is_left_out_is_told_at_its_own_line(tmp_path):
    text = HEAD + "resources:\n  cpus:\n  gpus: -1\n"
    assert [fault.split(" ")[0] for fault in faults(tmp_path, text)] == [
        f"study.yaml:{N + 2}:3",
        f"study.yaml:{N + 3}:9",
    ]


def test_folded_text_is_one_line_of_words(tmp_path):
    text = HEAD + "description: >\n  One line\n  and another.\n"
    assert load(write(tmp_path, text)).study.description == "One line and another.\n"


@pytest.mark.parametrize(
    "text",
    [
        # a trainable that is not read would leave the settings to our model, which has others
        "trainable: {kind: command, comand: python train.py}\nselect: {metric: accuracy}\nsettings: {lr: 0.1}\n",
        # without the variant, its number would be nobody's
        "variants:\n  a: {setings: {model.dropout: 0.2}}\npublished:\n  - {variant: a, value: 4, source: paper}\n",
        "variants:\n  a: {label: 3}\nbaseline: a\n",
        # without the factor, its conditions would have nothing to hold for
        "grid:\n  size: 3\nwhen:\n  size: {model.dropout: 0.1}\nexclude:\n  - {size: small}\n",
        "grid:\n  size: {a: 1}\nbudgets:\n  cpu: {note: less, grid: {size: {a: {data.train: 2}}}}\n",
        # without the condition, the two would not go together
        "grid:\n  model.relation.classifier.kind: [bilinear, dot]\n  model.memory.slot_size.relation: [null, 32]\n"
        "exclude:\n  - {model.relation.classifier.kind: dot, model.memory.slot_size.relation: 32}\n  - 3\n",
        "report: {kind: comparison, metrics: [entity_f1]}\npublished:\n  - {system: a, value: 4, source: paper}\n",
        "trainable: {kind: function, function: 'a:b'}\nselect: {metric: [accuracy]}\nsettings: {lr: 0.1}\n"
        "report: {kind: comparison, metric_info: {test/accuracy: {percent: true}}, metrics: [test/accuracy]}\n",
    ],
)
def test_what_only_follows_from_a_fault_is_told_by_it_alone(tmp_path, text):
    told = faults(tmp_path, "study: a\nquestion: Why?\nseeds: 1\n" + text)
    expected = 2 if "comand" in text else 1  # the key that is missing, and the one that there is instead
    assert len(told) == expected, told


def test_a_grid_of_a_thousand_million_points_is_refused_at_once(tmp_path):
    values = ", ".join(map(str, range(1, 32)))
    names = ("training.epochs", "training.batch_size", "data.train", "data.dev", "data.test", "data.seed")
    text = HEAD + "grid:\n" + "".join(f"  {name}: [{values}]\n" for name in names)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    (fault,) = faults(tmp_path, text)
    assert time.monotonic() - started < 2.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
    assert fault.startswith(f"study.yaml:{N + 1}:1 grid: found 887,503,681 points, wanted at most 100,000 variants")


@pytest.mark.parametrize("wide", [2, 10, 40])
def test_aliases_of_aliases_are_refused_before_they_are_spelled_out(tmp_path, wide):
    lines = ["a0: &a0 1"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * wide)}]" for n in range(1, 60)]
    started = time.monotonic()
    with pytest.raises(StudyError, match="aliases of aliases"):
        load(write(tmp_path, "\n".join(lines)))
    assert time.monotonic() - started < 5.0


def test_numbers_are_read_as_yaml_1_2_reads_them(tmp_path):
    path = write(tmp_path, HEAD.replace("seeds: 2", "seeds: [017, 0x1f]") + "description: no\n")
    study = load(path).study
    assert study.seeds == (17, 31)
    assert study.description == "no"
