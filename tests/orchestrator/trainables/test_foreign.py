"""What functions and commands share: inputs that decide the key, placeholders, and what they may tell."""

from __future__ import annotations

import math
import os
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from model.data import catalog
from model.settings import BuiltinSettings
from orchestrator.trainables.foreign import Foreign, filled, finite, numbers, recorded, reported, result_of, whole

BUILTIN = {"name": "builtin", "train": 3, "dev": 2, "test": 2}


def foreign(folder, *inputs):
    return Foreign(1, inputs, folder)


def digest(folder, *inputs, search=(), **values):
    return foreign(folder, *inputs).data_digest(values, search)


# --------------------------------------------------------------------------------------------------------------- inputs


def test_the_content_of_a_file_and_of_a_folder_decides_the_digest(tmp_path):
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "a.txt").write_text("a")
    (tmp_path / "train.py").write_text("pass")
    first = digest(tmp_path, "train.py", "data")
    assert digest(tmp_path, "train.py", "data") == first
    os.utime(tmp_path / "train.py", (1, 1))
    assert digest(tmp_path, "train.py", "data") == first
    (tmp_path / "data" / "deep" / "a.txt").write_text("b")
    second = digest(tmp_path, "train.py", "data")
    (tmp_path / "data" / "deep" / "a.txt").rename(tmp_path / "data" / "a.txt")
    third = digest(tmp_path, "train.py", "data")
    (tmp_path / "data" / "b.txt").write_text("")
    assert len({first, second, third, digest(tmp_path, "train.py", "data"), digest(tmp_path, "train.py")}) == 5


def test_the_order_in_which_a_folder_lists_its_files_does_not_matter(tmp_path, monkeypatch):
    for name in "abc":
        (tmp_path / name).write_text(name)
    listed = list(tmp_path.iterdir())
    digests = set()
    for order in (listed, listed[::-1]):
        monkeypatch.setattr(Path, "iterdir", lambda folder, order=order: iter(order))
        digests.add(digest(tmp_path, "."))
    assert len(digests) == 1


def test_what_running_leaves_behind_does_not_count(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text("pass")
    before = digest(tmp_path, "code")
    (tmp_path / "code" / "__pycache__").mkdir()
    (tmp_path / "code" / "__pycache__" / "train.pyc").write_text("compiled")
    (tmp_path / "code" / ".DS_Store").write_text("desktop")
    assert digest(tmp_path, "code") == before


def test_files_behind_links_count_and_a_link_that_leads_back_is_not_followed(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a.txt").write_text("a")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "store").symlink_to(tmp_path / "store")
    (tmp_path / "data" / "back").symlink_to(tmp_path / "data")
    first = digest(tmp_path, "data")
    (tmp_path / "store" / "a.txt").write_text("b")
    assert digest(tmp_path, "data") != first


def test_an_input_may_depend_on_a_setting(tmp_path):
    for name in ("small", "large"):
        (tmp_path / f"{name}.txt").write_text(name)
    trainable = foreign(tmp_path, "{corpus.size}.txt")
    small, large = ({"corpus": {"size": size}, "rate": 1} for size in ("small", "large"))
    assert trainable.data_digest(small, ()) != trainable.data_digest(large, ())
    assert trainable.data_settings(small) == {"corpus.size": "small"}
    assert trainable.data_names(large) == ("large.txt",)


def test_an_input_that_is_not_there_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"the input .*/data does not exist, wanted a file or a folder"):
        digest(tmp_path, "data")
    with pytest.raises(ValueError, match="is a folder without files"):
        digest(tmp_path, "empty")
    with pytest.raises(ValueError, match=r"'\{corpos\}' is no setting, wanted one of corpus, did you mean 'corpus'\?"):
        digest(tmp_path, "{corpos}.txt", corpus="small")
    assert foreign(tmp_path, "{corpos}.txt").data_settings({}) == {"corpos": None}


def test_a_data_set_of_the_catalog_is_an_input_by_the_setting_that_names_it(tmp_path):
    trainable = foreign(tmp_path, "catalog:text")
    assert trainable.data_names({"text": BUILTIN}) == ("builtin",)
    other = {**BUILTIN, "seed": 14}
    assert trainable.data_digest({"text": BUILTIN}, ()) != trainable.data_digest({"text": other}, ())
    assert trainable.data_settings({"text": BUILTIN, "rate": 1}) == {"text": BUILTIN}
    # defaults that are left out are the same data
    spelled_out = BuiltinSettings.model_validate(BUILTIN).model_dump()
    assert trainable.data_digest({"text": BUILTIN}, ()) == trainable.data_digest({"text": spelled_out}, ())


def test_a_data_set_that_is_none_is_refused_and_one_that_selects_on_test_is_told(tmp_path):
    trainable = foreign(tmp_path, "catalog:text")
    for value, message in (
        ({"name": "cdrr"}, r"text.name: unknown name 'cdrr', wanted .* did you mean 'cdr'\?"),
        ({"name": "cdr", "protocol": "oficial"}, r"text.protocol: .*did you mean 'official'\?"),
        ({"name": "cdr", "trian": 3}, "text.trian: unknown key 'trian'"),
        ("cdr", "text: found 'cdr', wanted a mapping"),
    ):
        with pytest.raises(ValueError, match=message):
            trainable.data_digest({"text": value}, ())
    with pytest.raises(ValueError, match=r"'text' of the input 'catalog:text' is no setting, .* did you mean 'txt'\?"):
        trainable.data_digest({"txt": BUILTIN}, ())
    with pytest.raises(catalog.DataNotFound, match="orchestrate data get cdr"):
        trainable.data_digest({"text": {"name": "cdr"}}, (tmp_path,))
    assert trainable.selects_on_test({"text": {"name": "cdr", "protocol": "released"}})
    assert not trainable.selects_on_test({"text": {"name": "cdr"}})


# --------------------------------------------------------------------------------------------------------- placeholders


def test_a_placeholder_is_replaced_by_its_setting_as_a_study_writes_it():
    values = {"rate": 1e-5, "deep": {"on": True, "none": None, "list": [1, "a b"]}, "name": "two words", "one": 1.0}
    assert filled("--{rate}", values) == "--1e-05"
    assert filled("{deep.on} {deep.none} {deep.list}", values) == 'true null [1, "a b"]'
    assert filled("{name}{seed}", values, {"seed": "7"}) == "two words7"
    assert filled("{one}", values) == "1"


def test_other_braces_stand_for_themselves():
    text = '{} {1} { rate } ${HOME} ${rate} {"rate": 1} {ra-te}'
    assert filled(text, {"rate": 1}) == text


# ------------------------------------------------------------------------------------------------- what a trial tells


def test_metrics_are_numbers_of_any_kind_but_no_words():
    given = {"a": 1, "b/c": np.float32(0.5), "d": Decimal("2.5"), "e": np.int64(3), "f": float("nan")}
    told = numbers(given, "x")
    assert {name: type(value) for name, value in told.items()} == dict.fromkeys(given, float)
    assert told["b/c"] == 0.5 and math.isnan(told["f"])
    assert finite(told).keys() == {"a", "b/c", "d", "e"}


@pytest.mark.parametrize("value", ["0.5", b"1", None, [1], True, {"f1": 1}, 1j, 10**400])
def test_what_is_no_number_is_named(value):
    with pytest.raises(ValueError, match=r"x has test/f1 = .*, wanted numbers"):
        numbers({"dev/f1": 1, "test/f1": value}, "x")


@pytest.mark.parametrize("name", ["f1@5", "", "/f1", "test/", "a b", "../f1", 3, "é"])
def test_a_metric_is_named_so_that_every_tracker_takes_it(name):
    with pytest.raises(ValueError, match="x has the name"):
        numbers({name: 1}, "x")


@pytest.mark.parametrize("given", [None, [1], 3, "metrics"])
def test_metrics_are_a_mapping(given):
    with pytest.raises(ValueError, match="wanted a mapping"):
        numbers(given, "x")


def test_an_epoch_is_a_whole_number():
    assert [whole(given, "x") for given in (0, 3, 3.0, np.int64(4))] == [0, 3, 3, 4]
    for given in ("3", 2.5, True, -1, None, float("nan"), float("inf"), [1]):
        with pytest.raises(ValueError, match="wanted a whole number from 0"):
            whole(given, "x")


@pytest.mark.parametrize("given", [None, {}, {"epoch": 1}, {"metrics": {}}, [1, {}]])
def test_a_report_has_an_epoch_and_metrics(given):
    with pytest.raises(ValueError, match="wanted {'epoch': …, 'metrics': {…}}"):
        reported(given, "line 3")


def test_a_result_is_made_plain_so_that_a_record_can_keep_it(tmp_path):
    given = {"metrics": {"f1": np.float64(1)}, "selected_epoch": np.int64(2), "path": tmp_path, 3: {"a": (1, 2)}}
    assert result_of(given, "x", "abc") == {
        "metrics": {"f1": 1.0}, "selected_epoch": 2, "path": str(tmp_path), "3": {"a": [1, 2]}, "data_digest": "abc",
    }  # fmt: skip
    assert result_of({"metrics": {}, "data_digest": "its own"}, "x", "abc")["data_digest"] == "abc"


def test_a_result_that_is_none_is_refused():
    loop: dict = {}
    loop["loop"] = loop
    for given, message in (
        (None, "x is None, wanted a mapping with 'metrics'"),
        ({"f1": 1}, "wanted a mapping with 'metrics'"),
        ({"metrics": 1}, "`metrics` of x is 1, wanted a mapping"),
        ({"metrics": {}, "selected_epoch": "last"}, "`selected_epoch` of x is 'last'"),
        ({"metrics": {}, "facts": {(1, 2): 3}}, "x cannot be kept as JSON"),
        ({"metrics": {}, "facts": loop}, "x cannot be kept as JSON"),
    ):
        with pytest.raises(ValueError, match=message):
            result_of(given, "x", "")


def lines(folder):
    path = folder / "history.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def test_what_is_reported_is_told_and_written_down(tmp_path):
    told = []
    report = recorded(tmp_path, told.append)
    for epoch in (1, 2, 3):
        report({"epoch": epoch, "metrics": {"dev/f1": epoch}, "more": "is not kept"})
    assert told == [{"epoch": epoch, "metrics": {"dev/f1": float(epoch)}} for epoch in (1, 2, 3)]
    assert lines(tmp_path) == [f'{{"epoch": {epoch}, "metrics": {{"dev/f1": {epoch}.0}}}}' for epoch in (1, 2, 3)]


def test_an_epoch_that_is_told_again_takes_the_place_of_all_from_there_on(tmp_path):
    (tmp_path / "last").mkdir()
    first = recorded(tmp_path, lambda given: None)
    for epoch in (1, 2, 3):
        first({"epoch": epoch, "metrics": {"dev/f1": epoch}})
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"epoch": 4, "met')  # as a crash leaves it
    again = recorded(tmp_path, lambda given: None)
    again({"epoch": 2, "metrics": {"dev/f1": 20}})
    assert [line.split(",")[0] for line in lines(tmp_path)] == ['{"epoch": 1', '{"epoch": 2']
    again({"epoch": 3, "metrics": {"dev/f1": 30}})
    assert "20.0" in lines(tmp_path)[1] and "30.0" in lines(tmp_path)[2] and len(lines(tmp_path)) == 3


def test_an_attempt_that_starts_afresh_has_no_history(tmp_path):
    recorded(tmp_path, lambda given: None)({"epoch": 5, "metrics": {"dev/f1": 5}})
    report = recorded(tmp_path, lambda given: None)
    assert lines(tmp_path) == []
    report({"epoch": 1, "metrics": {"dev/f1": 1}})
    assert len(lines(tmp_path)) == 1


def test_a_value_that_is_not_finite_is_left_out_and_told_in_the_log(tmp_path, caplog):
    told = []
    recorded(tmp_path, told.append)({"epoch": 1, "metrics": {"dev/f1": 1, "loss": float("nan"), "norm": math.inf}})
    assert told == [{"epoch": 1, "metrics": {"dev/f1": 1.0}}]
    assert "epoch 1: left out as it is not finite: loss, norm" in caplog.text
    assert caplog.records[0].name.startswith("orchestrator.trial")
