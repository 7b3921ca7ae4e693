"""Every fault of a study file is told with its line and column, what was found, and what is wanted."""

from __future__ import annotations

import pytest

from orchestrator.errors import StudyError
from orchestrator.schema import load
from tests.orchestrator.samples import HEAD, SWEEP, faults, write

N = len(HEAD.splitlines())
"""Lines of the head, so that what a case adds begins on line N + 1."""


def test_a_good_study_has_no_faults(tmp_path):
    assert faults(tmp_path, SWEEP) == []


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        (
            "grid:\n  size: {a: {}, b: {data.seed: 2}}\nbudgets:\n  small: {note: less, grid: {sise: {a: {}}}}\n",
            f"study.yaml:{N + 4}:30 budgets.small.grid.sise: "
            "found 'sise', wanted a factor of the grid whose levels have labels, did you mean 'size'?",
        ),
        (
            "grid:\n  size: {small: {}, b: {data.seed: 2}}\n"
            "budgets:\n  small: {note: less, grid: {size: {smal: {}}}}\n",
            f"study.yaml:{N + 4}:37 budgets.small.grid.size.smal: "
            "found 'smal', wanted a level of size: small, b, did you mean 'small'?",
        ),
        (
            "variants:\n  a: {settings: {training.loss_weights.entity: .nan}}\n",
            f"study.yaml:{N + 2}:48 variants.a.settings.training.loss_weights.entity: "
            "found nan, wanted a finite number",
        ),
        (
            "ablate:\n  model.memory.warmup_proprtion: [0.1]\n",
            f"study.yaml:{N + 2}:3 ablate.model.memory.warmup_proprtion: "
            "unknown key 'warmup_proprtion', did you mean 'warmup_proportion'?",
        ),
        (
            "ablate:\n  model.memory.warmup_proportion: [0.1, 1.5]\n",
            f"study.yaml:{N + 2}:41 ablate.model.memory.warmup_proportion[1]: "
            "found 1.5, wanted a number of at most 1.0",
        ),
        (
            "ablate:\n  model.memory.warmup_proportion: [0.1, often]\n",
            f"study.yaml:{N + 2}:41 ablate.model.memory.warmup_proportion[1]: found 'often', wanted a number",
        ),
        (
            "ablate:\n  model.memory.warmup_proportion: 0.1\n",
            f"study.yaml:{N + 2}:35 ablate.model.memory.warmup_proportion: "
            "found 0.1, wanted a list of values, or a mapping from labels to values",
        ),
        (
            "variants:\n  grc: {settings: {model.relation.pairs: {kind: globl}}}\n",
            f"study.yaml:{N + 2}:49 variants.grc.settings.model.relation.pairs.kind: "
            "unknown kind 'globl', wanted one of global, multi_instance, did you mean 'global'?",
        ),
        (
            "variants:\n  a b: {settings: {model: {memory: {read: {sites: [tokens, mention]}}}}}\n",
            f"study.yaml:{N + 2}:60 variants.'a b'.settings.model.memory.read.sites[1]: "
            "found 'mention', wanted one of tokens, mentions, did you mean 'mentions'?",
        ),
        (
            "variants:\n  a: {setings: {}}\n",
            f"study.yaml:{N + 2}:7 variants.a.setings: unknown key 'setings', did you mean 'settings'?",
        ),
        (
            "variants:\n  a: {settings: {training.batch_size: 0}}\n",
            f"study.yaml:{N + 2}:39 variants.a.settings.training.batch_size: found 0, wanted a number above 0",
        ),
        (
            "variants:\n  a: {settings: {training.batch_size: yes}}\n",
            f"study.yaml:{N + 2}:39 variants.a.settings.training.batch_size: found 'yes', wanted a whole number",
        ),
        (
            "variants:\n  a: {settings: {model.dropout: true}}\n",
            f"study.yaml:{N + 2}:33 variants.a.settings.model.dropout: found true, wanted a number",
        ),
        (
            "variants:\n  a: {settings: {training.epochs: 3, training: {epochs: 4}}}\n",
            f"study.yaml:{N + 2}:49 variants.a.settings.training.epochs: "
            "sets training.epochs a second time, wanted once in a mapping",
        ),
        (
            "variants:\n  a: {settings: {training.epochs: 3}}\n  b: {settings: {training.epochs: 3}}\n",
            f"study.yaml:{N + 3}:3 variants.b: "
            "'b' has the same settings as 'a' (variants.a), wanted variants that differ",
        ),
        (
            "variants:\n  a: {settings: {training.epochs: 3}}\nbaseline: b\n",
            f"study.yaml:{N + 3}:11 baseline: found 'b', wanted a variant of the study: a",
        ),
        ("seeds: 3\n", f"study.yaml:{N + 1}:1 seeds: found a second time, wanted once (first at 3:1)"),
        ("sede: 3\n", f"study.yaml:{N + 1}:1 sede: unknown key 'sede', did you mean 'seeds'?"),
        (
            "select: {metric: entity_f1}\n",
            f"study.yaml:{N + 1}:18 select.metric: found 'entity_f1', wanted relation_strict_f1",
        ),
        (
            "resources: {gpus: 1.5}\n",
            f"study.yaml:{N + 1}:19 resources.gpus: found 1.5, wanted whole GPUs or a share of one (at most 1): "
            "no trial is put on 1½",
        ),
        (
            "budgets:\n  cpu: {settings: {training.epochs: 1}}\n",
            f"study.yaml:{N + 2}:3 budgets: `cpu` has no note; "
            "wanted what it cuts, in words, to stand under its tables",
        ),
        (
            "budgets:\n  cpu: {note: less, settings: {training.epoch: 1}}\n",
            f"study.yaml:{N + 2}:32 budgets.cpu.settings.training.epoch: unknown key 'epoch', did you mean 'epochs'?",
        ),
        (
            "report: {kind: swep, x: a}\n",
            f"study.yaml:{N + 1}:16 report.kind: "
            "unknown kind 'swep', wanted one of comparison, sweep, by_dataset, did you mean 'sweep'?",
        ),
        (
            "report: {kind: sweep, x: model.memory.warmup_propotion}\n",
            f"study.yaml:{N + 1}:26 report.x: found 'model.memory.warmup_propotion', "
            "wanted a factor of the grid or a setting, did you mean 'model.memory.warmup_proportion'?",
        ),
        (
            "grid:\n  size: {small: 1}\n",
            f"study.yaml:{N + 2}:9 grid.size: level 'small' is 1, wanted a mapping of settings",
        ),
        (
            "variants:\n  a: !!python/object/apply:os.system [ls]\n",
            f"study.yaml:{N + 2}:6 variants.a: found the tag tag:yaml.org,2002:python/object/apply:os.system, "
            "wanted plain YAML without tags",
        ),
    ],
    ids=lambda value: value.split("\n")[0] if not value.startswith("study.yaml") else "",
)
def test_a_fault_is_told_with_its_line_and_column(tmp_path, added, expected):
    assert faults(tmp_path, HEAD + added) == [expected]


def test_a_published_number_of_a_variant_that_is_not_there_is_refused_at_its_line(tmp_path):
    text = HEAD + "published:\n  - {variant: nobody, value: 40.0, source: paper}\n"
    (fault,) = faults(tmp_path, text)
    assert fault.startswith(f"study.yaml:{N + 2}:5 published[0]: 'nobody' is no variant")


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
        (b"[" * 3000, "1:1"),
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


def test_numbers_are_read_as_yaml_1_2_reads_them(tmp_path):
    path = write(tmp_path, HEAD.replace("seeds: 2", "seeds: [017, 0x1f]") + "description: no\n")
    study = load(path).study
    assert study.seeds == (17, 31)
    assert study.description == "no"
