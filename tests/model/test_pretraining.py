"""Two phases: what of its settings the first one shares, and what the second one takes over from it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import load_file

from model.data import builtin, catalog, docred
from model.data.catalog import search_path
from model.data.labels import Labels
from model.encoder import load_tokenizer, vocabulary_of
from model.joint.network import Network
from model.settings import ExperimentSettings, ReadSettings
from model.training import checkpoint
from model.training.checkpoint import Progress
from model.training.run import run
from model.training.transfer import take_over
from tests.data.test_catalog import docred as documents
from tests.data.test_catalog import put

BEFORE = Labels(("LOC", "ORG", "PER"), ("born in", "works for"))
AFTER = Labels(("PER", "TIME", "LOC"), ("died in", "works for", "born in", "made"))
"""Of BEFORE one entity type is missing, two and all relation types have other rows, and there are new ones."""


def settings(**changes: Any) -> ExperimentSettings:
    """Two small phases on the built-in corpus, with changes by dotted paths (`__` for the dot)."""
    given: dict[str, Any] = {
        "data": {"name": "builtin", "train": 6, "dev": 3, "test": 3},
        "model": {"encoder": {"name": "random"}, "mention": {"threshold": 0.5}},
        "training": {"epochs": 2, "learning_rate": 1e-3},
        "pretraining": {
            "data": {"name": "builtin", "seed": 14, "train": 5, "dev": 2, "test": 2},
            "epochs": 2,
            "learning_rate": 1e-3,
        },
    }
    for path, value in changes.items():
        *outer, last = path.split("__")
        inside = given
        for part in outer:
            inside = inside.setdefault(part, {})
        inside[last] = value
    return ExperimentSettings.model_validate(given)


SMALL = settings()
assert SMALL.first_phase is not None and SMALL.pretraining is not None


def run_in(folder: Path, of: ExperimentSettings, seed: int = 1, **more: Any) -> dict[str, Any]:
    data = more.pop("data", search_path())
    return run(of, seed, folder, data=data, cache=folder.parent / "cache", device="cpu", threads=1, **more)


def both(folder: Path, of: ExperimentSettings, seed: int = 1, **more: Any) -> dict[str, Any]:
    """Both phases; what the second returns."""
    assert of.first_phase is not None and of.pretraining is not None
    run_in(folder / "first", of.first_phase, of.pretraining.seed, **more)
    return run_in(folder / "second", of, seed, first_phase=folder / "first", **more)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoint" / "model.safetensors")


# ------------------------------------------------------------------------------------------------------ the first phase


@pytest.mark.parametrize(
    "change",
    [
        {"model__memory__warmup_proportion": 0.1},
        {"model__memory__read": None},
        {"model__memory__read": {"kind": "slot_wise", "sites": ["tokens"]}},
        {"training__learning_rate": 1e-4},
        {"training__select": {"metric": "mention_f1", "on": "test"}},
        {"data__train": 7},
        {"pretraining__seed": 3},  # of its trial, as every seed
    ],
)
def test_what_decides_neither_weights_nor_scores_of_the_first_phase_is_not_in_its_settings(change):
    assert settings(**change).first_phase == SMALL.first_phase


@pytest.mark.parametrize(
    "change",
    [
        {"pretraining__data": {"name": "builtin", "seed": 15}},
        {"pretraining__epochs": 3},
        {"pretraining__precision": "bfloat16"},
        {"pretraining__sampling": {"mention_negatives": 50}},
        {"model__dropout": 0.2},
        {"model__entity": {"classifier": {"kind": "linear"}}},
        {"model__memory__slot_size": {"entity": 8}},
        {"model__mention": {"threshold": 0.6}},
    ],
)
def test_what_decides_them_is(change):
    assert settings(**change).first_phase != SMALL.first_phase


def test_the_first_phase_is_an_experiment_of_one_phase_that_reads_nothing_and_keeps_its_last_epoch():
    first = SMALL.first_phase
    assert first is not None
    assert (first.pretraining, first.first_phase) == (None, None)
    assert (first.data, first.training.epochs) == (SMALL.pretraining.data, 2)
    assert (first.model.memory.read, first.model.memory.warmup_proportion) == (None, 1.0)
    assert first.training.select.epoch == "last"
    assert ExperimentSettings.model_validate_json(first.model_dump_json()) == first
    assert settings(pretraining=None).first_phase is None


def test_the_last_epoch_is_kept_whatever_the_scores(tmp_path):
    result = run_in(tmp_path / "first", settings(pretraining__epochs=4).first_phase)
    assert result["selected_epoch"] == 4
    kept = checkpoint.describe(tmp_path / "first" / "checkpoint")
    history = [json.loads(line) for line in (tmp_path / "first" / "history.jsonl").read_text().splitlines()]
    assert kept["epoch"] == 4 and kept["metrics"] == history[-1]["metrics"]
    # another epoch would have been the best
    assert max(history, key=lambda entry: entry["metrics"]["dev/mention_f1"])["epoch"] != 4
    assert result["metrics"]["dev/mention_f1"] == history[-1]["metrics"]["dev/mention_f1"]
    assert result["reading_at_selected_epoch"] is None


# ------------------------------------------------------------------------------------------------------- taking over

CLASSIFIERS = ("linear", "bilinear", "dot", "cosine")
READS = [None, *({"kind": one.model_fields["kind"].default} for one in get_args(get_args(ReadSettings)[0]))]
SYSTEMS = list(itertools.product(CLASSIFIERS, CLASSIFIERS, ("global", "multi_instance"), ("memory", "learned"), READS))


def system(entity: str, relation: str, pairs: str, vectors: str, read: Mapping[str, Any] | None) -> ExperimentSettings:
    return settings(
        model__entity={"classifier": {"kind": entity}},
        model__relation={
            "classifier": {"kind": relation},
            "pairs": {"kind": pairs},
            "type_vectors": {"kind": vectors},
        },
        model__memory__read=read,
    )


def network_of(of: ExperimentSettings, labels: Labels) -> Network:
    return Network(of.model, labels, vocabulary_of(load_tokenizer(of.model.encoder)))


def leave(folder: Path, of: ExperimentSettings, labels: Labels = BEFORE) -> Path:
    """A first phase that has drawn its weights and no more."""
    assert of.first_phase is not None
    tokenizer = load_tokenizer(of.model.encoder)
    network = network_of(of.first_phase, labels)
    checkpoint.save(folder / "checkpoint", network, tokenizer, Progress(1, 1, False), {"data_digest": "digest"})
    return folder


def rows_of(name: str, labels: Labels) -> tuple[str, ...] | None:
    """The types that a parameter has a row for each, by its name."""
    if re.search(r"memories\.entity|entity_classifier\.output|type_vectors", name):
        return labels.entity_types
    if re.search(r"memories\.relation|relation_classifier\.output", name):
        return labels.relation_types
    return None


@pytest.mark.parametrize("parts", SYSTEMS[:: len(SYSTEMS) // 24], ids=str)
def test_rows_of_types_are_taken_over_by_name_and_all_else_as_it_is(tmp_path, parts):
    of = system(*parts)
    first = leave(tmp_path, of)
    network = network_of(of, AFTER)
    drawn = {name: value.clone() for name, value in network.state_dict().items()}
    transfer = take_over(first, of, network)
    given, made = weights(first), network.state_dict()
    assert of.first_phase is not None
    unread = set(network_of(of.first_phase, AFTER).state_dict())
    assert set(transfer.taken) == set(given) and set(transfer.taken) | set(transfer.fresh) == set(made)
    for name, value in made.items():
        types = rows_of(name, AFTER)
        if name not in given:
            # what reading alone brings: its matrices, and a memory that nothing else uses
            assert name not in unread
            torch.testing.assert_close(value, drawn[name], rtol=0, atol=0)
        elif types is None:
            torch.testing.assert_close(value, given[name], rtol=0, atol=0)
        else:
            before = rows_of(name, BEFORE)
            assert before is not None and len(value) == len(types)
            for row, label in enumerate(types):
                wanted = given[name][before.index(label)] if label in before else drawn[name][row]
                torch.testing.assert_close(value[row], wanted, rtol=0, atol=0)
    told = transfer.facts()
    assert told["entity_types"] == {"taken": ["PER", "LOC"], "fresh": ["TIME"], "left": ["ORG"]}
    assert told["relation_types"] == {
        "taken": ["works for", "born in"],
        "fresh": ["died in", "made"],
        "left": [],
    }


@pytest.mark.parametrize("parts", SYSTEMS, ids=str)
def test_no_parameter_hangs_on_the_number_of_types_without_being_taken_over_by_name(tmp_path, parts):
    of = system(*parts)
    first, network = leave(tmp_path, of), network_of(of, AFTER)
    take_over(first, of, network)  # refuses a parameter of another shape
    differing = {n for n, value in weights(first).items() if value.shape != network.state_dict()[n].shape}
    assert all(rows_of(name, AFTER) is not None for name in differing)


def test_a_first_phase_without_a_type_in_common_gives_all_but_the_rows(tmp_path):
    other = Labels(("Chemical", "Disease"), ("CID",))
    first, network = leave(tmp_path, SMALL), network_of(SMALL, other)
    drawn = network.joint.memories["entity"].detach().clone()
    transfer = take_over(first, SMALL, network)
    assert transfer.entity_types.taken == () and transfer.relation_types.left == BEFORE.relation_types
    torch.testing.assert_close(network.joint.memories["entity"].detach(), drawn, rtol=0, atol=0)
    for name, value in weights(first).items():
        if rows_of(name, other) is None:
            torch.testing.assert_close(network.state_dict()[name], value, rtol=0, atol=0)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    leave(tmp_path / "first", settings(model__dropout=0.3))
    with pytest.raises(ValueError, match="first/checkpoint is of another model"):
        take_over(tmp_path / "first", SMALL, network_of(SMALL, AFTER))
    with pytest.raises(ValueError, match="is no checkpoint"):
        take_over(tmp_path / "nowhere", SMALL, network_of(SMALL, AFTER))


# -------------------------------------------------------------------------------------------------------------- running


def test_the_second_phase_begins_with_the_weights_of_the_first_and_with_reads_as_they_are_drawn(tmp_path):
    still = settings(training__epochs=1, training__learning_rate=1e-12, training__weight_decay=0.0)
    result = both(tmp_path, still)
    before, after = weights(tmp_path / "first"), weights(tmp_path / "second")
    torch.manual_seed(1)
    drawn = network_of(still, builtin.LABELS).state_dict()
    reads = [name for name in after if name not in before]
    assert reads and all(name.startswith("joint.read.") for name in reads)
    for name, value in after.items():
        torch.testing.assert_close(value, (drawn if name in reads else before)[name], rtol=0, atol=1e-9)
    told = result["pretraining"]
    assert told["parameters_fresh"] == sorted(reads) and told["parameters_taken"] == len(before)
    assert told["entity_types"]["taken"] == list(builtin.LABELS.entity_types)
    assert told["relation_types"]["fresh"] == told["relation_types"]["left"] == []


def test_what_was_taken_over_is_logged(tmp_path, caplog):
    with caplog.at_level("INFO", logger="model"):
        take_over(leave(tmp_path, SMALL), SMALL, network_of(SMALL, AFTER))
    assert "2 entity types are taken over, 1 are left; 1 stay as they were drawn: TIME" in caplog.text
    assert "2 relation types are taken over, 0 are left; 2 stay as they were drawn: died in, made" in caplog.text
    assert "as they were drawn stay joint.read." in caplog.text


def test_pre_training_changes_the_result_and_its_seed_does(tmp_path):
    without = run_in(tmp_path / "without", settings(pretraining=None))
    one, again = both(tmp_path / "one", SMALL), both(tmp_path / "again", SMALL)
    other = both(tmp_path / "other", settings(pretraining__seed=2))
    losses = [
        json.loads((tmp_path / name / "history.jsonl").read_text().splitlines()[0])["metrics"]["loss/total"]
        for name in ("without", "one/second", "again/second", "other/second")
    ]
    assert losses[1] == losses[2] and len(set(losses)) == 3
    assert one == again and "pretraining" not in without
    assert one["data_digest"] == other["data_digest"] != without["data_digest"]


class Interrupted(Exception):
    pass


def test_a_second_phase_that_was_interrupted_goes_on_to_the_same_weights(tmp_path):
    def interrupt(epoch: dict[str, Any]) -> None:
        raise Interrupted

    whole = both(tmp_path, SMALL)
    first = tmp_path / "first"
    with pytest.raises(Interrupted):
        run_in(tmp_path / "cut", SMALL, first_phase=first, report=interrupt)
    torch.rand(7)
    assert run_in(tmp_path / "cut", SMALL, first_phase=first) == whole
    assert (tmp_path / "cut" / "checkpoint" / "model.safetensors").read_bytes() == (
        tmp_path / "second" / "checkpoint" / "model.safetensors"
    ).read_bytes()


def test_a_first_phase_on_another_corpus_gives_its_weights_but_no_rows(tmp_path):
    for part, n in (("dev_revised", 500), ("test_revised", 2)):
        put(tmp_path / "data", f"redocred/{part}.json", documents(*map(str, range(n))))
    few = {"train": 3, "dev": 2, "test": 2}
    of = settings(data={"name": "redocred", "protocol": "dev_as_train", "limit": few}, training__epochs=1)
    result = both(tmp_path, of, data=[tmp_path / "data"])
    told = result["pretraining"]
    common = set(builtin.LABELS.entity_types) & set(docred.LABELS.entity_types)
    assert set(told["entity_types"]["taken"]) == common
    assert told["relation_types"]["left"] == [
        name for name in builtin.LABELS.relation_types if name not in docred.LABELS.relation_types
    ]
    assert of.pretraining is not None
    own, before = (catalog.digest(one, [tmp_path / "data"]) for one in (of.data, of.pretraining.data))
    assert result["data_digest"] == catalog.digest_of_phases(own, before) != own


def test_a_folder_is_wanted_where_there_is_a_first_phase_and_nowhere_else(tmp_path):
    with pytest.raises(ValueError, match="have `pretraining`, wanted `first_phase`"):
        run_in(tmp_path / "trial", SMALL)
    with pytest.raises(ValueError, match="found the first phase .* have no `pretraining`"):
        run_in(tmp_path / "trial", settings(pretraining=None), first_phase=tmp_path)
