"""A trial's key changes with all that can change a score, and with nothing else."""

from __future__ import annotations

import pytest

import model
from model.settings import ExperimentSettings
from orchestrator.identity import KEY_LENGTH, canonical, keys
from orchestrator.trainables.model import Model


def key(settings=None, seed=1, digest="d"):
    return keys(written(settings), [seed], digest, Model().identity())[0]


def written(settings=None):
    return canonical(ExperimentSettings.model_validate(settings or {}).model_dump(mode="json"))


def test_one_and_one_point_nought_and_true_are_three_values():
    assert len({canonical(value) for value in (1, 1.0, True, "1", None)}) == 5


def test_what_is_no_number_has_no_canonical_form():
    with pytest.raises(ValueError):
        canonical(float("nan"))


def test_a_default_spelled_out_is_the_same_trial():
    assert key() == key({"model": {"memory": {"warmup_proportion": 0.4}}})
    assert key({"data": {"name": "cdr"}}) == key({"data": {"name": "cdr", "protocol": "official"}})
    assert len(key()) == KEY_LENGTH


def test_a_whole_number_for_a_setting_that_is_a_number_is_the_same_trial():
    assert key({"model": {"memory": {"warmup_proportion": 1}}}) == key(
        {"model": {"memory": {"warmup_proportion": 1.0}}}
    )


def test_settings_seed_data_and_code_epoch_are_in_the_key(monkeypatch):
    different = {key(), key({"model": {"dropout": 0.2}}), key(seed=2), key(digest="e")}
    monkeypatch.setattr(model, "CODE_EPOCH", model.CODE_EPOCH + 1)
    assert len(different | {key()}) == 5


def test_the_keys_of_many_seeds_are_those_of_each():
    assert keys(written(), [1, 2], "d", Model().identity()) == [key(seed=1), key(seed=2)]
