"""The benchmarks of the model run at a tiny size, and tell their ratios. How fast anything is no test says."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict

import pytest

from tests.benchmarks import frozen, gpu, lengths, memory, model, page, ratios, study, waits, workload
from tests.benchmarks.measuring import ROOT, Line

ONE = [workload.Case("tiny", "MRC", True)]


def positive(told: Iterable[Line]) -> dict[str, float]:
    lines = list(told)
    assert all(math.isfinite(line.value) and line.value > 0 for line in lines)
    return {line.name: line.value for line in lines}


def test_steps_are_told_beside_the_encoders():
    found = positive(ratios.measure(ONE, rounds=1))
    assert sum("to the encoder's" in name for name in found) == 4
    assert sum("sampling and collation" in name for name in found) == 1


def test_long_documents_are_told_beside_the_encoders():
    found = positive(lengths.measure("tiny", (60, 120), rounds=1))
    assert sum("growth" in name for name in found) == 2


def test_memory_is_told_beside_the_encoders():
    lines = list(memory.measure(ONE))
    assert len(lines) == 4
    assert {line.unit for line in lines} == {"MiB"}
    assert all(line.value > 0 for line in lines if "weights, gradients" in line.name)


def test_a_frozen_encoder_is_told_with_and_without_its_vectors():
    found = positive(frozen.measure(ONE, rounds=1))
    assert sum("times faster" in name for name in found) == 1


@pytest.mark.parametrize("case", workload.cases("tiny"), ids=str)
def test_no_training_step_waits_for_the_device(case):
    assert waits.of_case(**asdict(case)) == {}


def test_a_wait_would_be_seen(monkeypatch):
    from model.training import step

    clip = step.clip_gradients
    monkeypatch.setattr(step, "clip_gradients", lambda *given: (float(clip(*given)), clip(*given))[1])
    assert waits.of_case(**asdict(ONE[0]))["aten::item"] == 1


def test_documents_of_a_length_are_joined_and_cut_behind_a_sentence():
    material = workload.material()
    for words in (50, 400):
        (made,) = material.of_length(words, 1)
        assert words <= made.document.n_words < words + 100
        assert made.document.relations and max(m.end for m in made.document.mentions()) <= made.document.n_words


def test_a_study_is_told_beside_its_trials(monkeypatch):
    found = {line.name: line.value for line in study.measure("inline", "random", n_trials=2, documents=4, epochs=1)}
    assert any("to the ideal" in name for name in found)


_WITHOUT = """
import sys

from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        missing = ("ray", "mlflow", "pandas", "matplotlib", "optuna", "syntok", "pooch", "typer", "rich", "ruamel")
        return None if name.partition(".")[0] in missing else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
from tests.benchmarks.gpu import main
sys.exit(main(sys.argv[1:]))
"""


def test_the_benchmark_of_a_gpu_needs_torch_and_transformers_alone(tmp_path):
    out = tmp_path / "gpu.json"
    command = [sys.executable, "-c", _WITHOUT, "--device", "cpu", "--sizes", "tiny", "--batches", "2",
               "--precisions", "bfloat16"]  # fmt: skip
    done = subprocess.run(
        [*command, "--steps", "1", "--trials", "1", "2", "--longest", "256", "--out", str(out), "speed", "length",
         "side_by_side"],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(out.read_text())
    names = [line["name"] for line in told["lines"]]
    assert "tiny MRC, bfloat16, batch 2: training to the encoder's" in names
    assert "tiny MRC, float32: longest document that fits, inference" in names
    assert "tiny MRC, bfloat16, batch 2, by processes: 2 trials together" in names
    assert told["device"] == "CPU" and told["machine"]["packages"]["torch"]


def test_without_a_gpu_the_benchmark_of_one_says_how_to_try_it_out(capsys):
    if gpu.torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "--device cpu --sizes tiny" in capsys.readouterr().err


def test_the_goal_of_a_gpu_is_for_batches_that_fill_one():
    assert gpu._ratio("ratio", 1.3, 2).is_met is None
    assert (gpu._ratio("ratio", 1.3, 8).is_met, gpu._ratio("ratio", 1.2, 32).is_met) == (False, True)


def test_the_greatest_that_fits_is_found_to_an_eighth():
    def tried(words):
        if words > 1000:
            raise MemoryError

    assert 875 <= gpu._greatest(tried, 16_384) <= 1000
    assert [gpu._greatest(lambda words: None, longest) for longest in (100, 300, 512)] == [100, 300, 512]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--steps", "0"], "got 0, wanted at least 1"),
        (["--device", "cpu", "--out", "/no/such/gpu.json"], "there is no folder /no/such"),
        (["--device", "cpu", "--data", "/no/such"], "there is no folder /no/such"),
        (["--device", "tpu"], "invalid choice"),
        (["--device", "cpu", "nothing"], "no benchmark nothing"),
    ],
)
def test_what_the_benchmark_of_a_gpu_cannot_do_is_told_before_it_begins(given, told, capsys):
    with pytest.raises(SystemExit):
        gpu.main(given)
    assert told in capsys.readouterr().err


def test_the_command_knows_its_benchmarks(capsys):
    with pytest.raises(SystemExit):
        model.main(["nothing"])
    assert "ratios, lengths, memory, frozen, waits" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(capsys):
    with pytest.raises(SystemExit):
        model.main(["--json", "/no/such/model.json"])
    assert "there is no folder /no/such" in capsys.readouterr().err


def test_the_page_shows_the_numbers_on_record():
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.filled(text) == text


def test_a_page_without_room_for_a_table_is_refused():
    with pytest.raises(ValueError, match="0 places for the table 'ratios', wanted 1"):
        page.filled("# Benchmarks\n")
