"""Our numbers are those of the released implementation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.golden.__main__ import main
from tests.golden.check import check_case, tolerance

DATA = Path(__file__).parent / "data"
INDEX = json.loads((DATA / "index.json").read_text())


@pytest.mark.parametrize("case", INDEX["cases"])
def test_what_the_released_implementation_computes_we_compute(case):
    errors = check_case(DATA, case, INDEX["cases"][case], INDEX)
    assert {name: value for name, value in errors.items() if not value <= tolerance(case, name)} == {}


def test_every_recorded_file_is_checked():
    assert {entry["file"] for entry in INDEX["cases"].values()} == {
        path.name for path in DATA.iterdir() if path.name != "index.json"
    }


@pytest.mark.parametrize("case", ["train_mrc", "jerex_grc", "memory_read_tokens", "inference_grc"])
def test_a_changed_number_is_noticed(case, tmp_path):
    tensors = load_file(DATA / INDEX["cases"][case]["file"])
    name = next(name for name in sorted(tensors) if "output." in name and tensors[name].is_floating_point())
    tensors[name].view(-1)[0] += 1e-3 * tensors[name].abs().max()
    save_file(tensors, tmp_path / INDEX["cases"][case]["file"])
    errors = check_case(tmp_path, case, INDEX["cases"][case], INDEX)
    assert errors[name] > tolerance(case, name)


def test_the_command_checks_any_folder_of_the_format(tmp_path, capsys):
    case = "similarity_heads"
    shutil.copy(DATA / INDEX["cases"][case]["file"], tmp_path)
    (tmp_path / "index.json").write_text(json.dumps({**INDEX, "cases": {case: INDEX["cases"][case]}}))
    assert main([str(tmp_path)]) == 0
    assert case in capsys.readouterr().out
    assert main([str(tmp_path / "nothing")]) == 2
