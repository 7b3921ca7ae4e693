"""`orchestrate attention`: heat maps and weights of a document, from a trial that was really trained."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import orchestrator
from model.settings import ExperimentSettings
from model.training.run import run
from orchestrator import attention
from orchestrator.errors import StudyError
from orchestrator.store import Home, TrialRecord, write_record

ROOT = Path(orchestrator.__file__).parents[1]
KEY = "abcd000000000001"
SETTINGS = ExperimentSettings.model_validate(
    {
        "data": {"name": "builtin", "train": 6, "dev": 2, "test": 2},
        "model": {
            "encoder": {"name": "random"}, "mention": {"threshold": 0.5}, "memory": {"warmup_proportion": 0.0},
        },
        "training": {"epochs": 1},
    }
).model_dump(mode="json")  # fmt: skip


def record(key: str = KEY, **fields) -> TrialRecord:
    return TrialRecord.model_validate(
        {
            "key": key, "study": "sample", "budget": "full", "variant": "ours", "seed": 1, "status": "finished",
            "started": "2026-01-01T00:00:00+00:00", "selected_epoch": 1, "settings": SETTINGS, "data_digest": "d",
            "facts": {"reading_at_selected_epoch": True}, "code_epoch": 1, **fields,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    run(ExperimentSettings.model_validate(SETTINGS), 1, folder / KEY, data=(), cache=folder / "cache", threads=1)
    return folder / KEY


@pytest.fixture
def home(trained: Path, tmp_path: Path) -> Home:
    """With the trained trial, and one of the same variant of which the checkpoint is gone."""
    home = Home.at(tmp_path / "home")
    shutil.copytree(trained, home.trial(KEY))
    write_record(home.trial(KEY), record())
    home.trial("abce000000000002").mkdir(parents=True)
    write_record(home.trial("abce000000000002"), record("abce000000000002", seed=2))
    return home


def refusal(one: TrialRecord, home: Home, document: str = "test-13-0") -> str:
    with pytest.raises(StudyError) as refused:
        attention.write(one, home, document, (), device="cpu")
    return str(refused.value)


def test_a_document_gets_its_weights_and_heat_maps_in_the_folder_of_the_trial(home):
    files = attention.write(record(), home, "test-13-0", (), device="cpu")
    assert list(files) == ["test-13-0.json", "test-13-0.pdf", "test-13-0.png"]
    assert all(path.parent == home.trial(KEY) / "attention" and path.is_file() for path in files.values())
    told = json.loads(files["test-13-0.json"].read_text())
    assert told["trial"] == {"key": KEY, "study": "sample", "variant": "ours", "seed": 1, "epoch": 1}
    assert told["document"]["id"] == "test-13-0" and set(told["words"]) == {"entity", "relation"}
    weights = np.array(told["words"]["entity"]["weight"])
    assert weights.sum(axis=0) == pytest.approx(1, abs=1e-5)
    assert files["test-13-0.pdf"].read_bytes().startswith(b"%PDF")
    again = attention.write(record(), home, "test-13-0", (), folder=home.root / "out", device="cpu")
    assert all(again[name].read_bytes() == files[name].read_bytes() for name in files)


def test_a_document_that_is_not_there_is_named_with_its_nearest(home):
    told = refusal(record(), home, "tst-13-0")
    assert "no document 'tst-13-0' in builtin, did you mean 'test-13-0'?; its 10 documents are test-13-0" in told


def test_a_checkpoint_that_was_cleared_is_told_with_those_that_are_left(home):
    told = refusal(record("abce000000000002", seed=2), home)
    assert "no checkpoint any more: `orchestrate gc` has cleared it" in told
    assert f"of 'ours' there are those of {KEY} (seed 1)" in told
    assert "keep all-finished" in refusal(record("abce000000000002", variant="another"), home)
    assert "is interrupted and has no checkpoint yet" in refusal(record("abce000000000002", status="interrupted"), home)


def test_a_trial_that_reads_nothing_is_refused_before_anything_is_loaded(home):
    memory = {**SETTINGS["model"]["memory"], "read": None}
    without = record(settings={**SETTINGS, "model": {**SETTINGS["model"], "memory": memory}})
    assert "('ours') reads no memory (model.memory.read is null)" in refusal(without, home)
    early = record(facts={"reading_at_selected_epoch": False})
    assert "was selected at epoch 1, before its reads set in" in refusal(early, home)
    assert "is of a command, wanted one of our models" in refusal(record(trainable={"kind": "command"}), home)


def test_data_that_is_not_found_is_told(home):
    settings = {**SETTINGS, "data": {"name": "cdr"}}
    assert f"the data of trial {KEY} cannot be read" in refusal(record(settings=settings), home)


def test_the_command_prints_the_files_and_takes_the_first_letters_of_a_key(home, tmp_path):
    def command(*arguments):
        whole = [sys.executable, "-m", "orchestrator.cli", "attention", *arguments, "--home", home.root]
        whole += ["--device", "cpu"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run([*map(str, whole)], cwd=tmp_path, env=environment, capture_output=True, text=True)

    done = command("abcd", "--document", "dev-13-1", "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        f"dev-13-1.{kind}": str(tmp_path / "out" / f"dev-13-1.{kind}") for kind in ("json", "pdf", "png")
    }
    refused = command("abcd", "--document", "none")
    assert refused.returncode == 2 and refused.stdout == "" and "Traceback" not in refused.stderr
    assert "there is no document 'none'" in refused.stderr
