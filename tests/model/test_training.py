"""Training: it learns, it is a function of its seed, and an interruption leaves no trace."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.data.catalog import search_path
from model.data.document import Document
from model.data.encoded import load_encoded
from model.encoder import load_tokenizer, vocabulary_of
from model.joint.network import Network
from model.predict import Extractor
from model.settings import ExperimentSettings, TrainingSettings
from model.training import checkpoint
from model.training.loop import evaluate, train
from model.training.optimiser import UncorrectedAdamW, build_optimiser, build_schedule
from model.training.run import prepare, resolve_device, run

SMALL = ExperimentSettings.model_validate(
    {
        "data": {"name": "builtin", "train": 6, "dev": 3, "test": 3},
        "model": {"encoder": {"name": "random"}, "mention": {"threshold": 0.5}},
        "training": {"epochs": 4, "learning_rate": 1e-3},
    }
)


def run_in(folder: Path, settings: ExperimentSettings = SMALL, seed: int = 1, **arguments) -> dict:
    return run(settings, seed, folder, data=search_path(), cache=folder.parent / "cache", threads=1, **arguments)


def history(folder: Path) -> list[dict]:
    """Without wall-clock times."""
    entries = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [{k: v for k, v in entry["metrics"].items() if not k.startswith("seconds/")} for entry in entries]


def test_a_seed_gives_one_result_and_two_seeds_give_two(tmp_path):
    first, again, other = (run_in(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert first == again
    assert history(tmp_path / "a") == history(tmp_path / "b")
    assert history(tmp_path / "a") != history(tmp_path / "c")
    assert set(first) == set(other)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("optimiser", ["adamw", "adamw_uncorrected"])
def test_an_interrupted_training_goes_on_to_the_same_losses_to_the_last_bit(tmp_path, optimiser):
    data = SMALL.model_dump()
    data["training"]["optimiser"] = {"kind": optimiser}
    settings = ExperimentSettings.model_validate(data)

    def interrupt(epoch: dict) -> None:
        if epoch["epoch"] == 2:
            raise Interrupted

    whole = run_in(tmp_path / "whole", settings)
    with pytest.raises(Interrupted):
        run_in(tmp_path / "cut", settings, report=interrupt)
    torch.rand(7)
    assert run_in(tmp_path / "cut", settings) == whole
    assert history(tmp_path / "cut") == history(tmp_path / "whole")
    assert not (tmp_path / "cut" / "last").exists()


def test_a_checkpoint_extracts_what_the_trial_predicted_and_needs_nothing_else(tmp_path):
    run_in(tmp_path / "trial")
    predicted = json.loads((tmp_path / "trial" / "predictions" / "test.json").read_text())
    (tmp_path / "trial" / "checkpoint").rename(tmp_path / "elsewhere")
    extractor = Extractor(tmp_path / "elsewhere", device="cpu")
    texts = [Document(d["id"], tuple(tuple(s) for s in d["sentences"])) for d in predicted]
    from model.data.document import to_json

    assert [to_json(document) for document in extractor(texts)] == predicted
    with pytest.raises(ValueError, match="no checkpoint"):
        Extractor(tmp_path)


def test_counts_of_documents_add_up_to_the_scores(tmp_path):
    result = run_in(tmp_path / "trial")
    for split in ("dev", "test"):
        counts = json.loads((tmp_path / "trial" / "counts" / f"{split}.json").read_text())
        assert len(counts) == 3
        correct, spurious, missed = (sum(document["mention"][i] for document in counts) for i in range(3))
        assert result["metrics"][f"{split}/mention_f1"] == pytest.approx(
            200 * correct / (2 * correct + spurious + missed)
        )


def test_the_selected_epoch_is_the_first_with_the_best_strict_relation_f1_on_dev(tmp_path):
    result = run_in(tmp_path / "trial")
    scores = [metrics["dev/relation_strict_f1"] for metrics in history(tmp_path / "trial")]
    assert result["selected_epoch"] == scores.index(max(scores)) + 1
    assert result["metrics"]["dev/relation_strict_f1"] == max(scores)


@pytest.mark.parametrize(("proportion", "reading"), [(0.0, [1, 1, 1, 1]), (0.5, [0, 0, 1, 1]), (1.0, [0, 0, 0, 0])])
def test_the_memories_are_read_once_their_warm_up_is_over(tmp_path, proportion, reading):
    data = SMALL.model_dump()
    data["model"]["memory"]["warmup_proportion"] = proportion
    run_in(tmp_path / "trial", ExperimentSettings.model_validate(data))
    assert [metrics["reading"] for metrics in history(tmp_path / "trial")] == reading


def test_data_are_encoded_once_and_read_back_the_same(tmp_path):
    arguments = (SMALL.data, search_path(), load_tokenizer(SMALL.model.encoder), tmp_path)
    first = load_encoded(*arguments)
    [folder] = (tmp_path / "encoded").iterdir()
    written = folder.stat().st_mtime_ns
    second = load_encoded(*arguments)
    assert folder.stat().st_mtime_ns == written
    assert [d.document for d in first.test] == [d.document for d in second.test]
    assert all((a.subwords == b.subwords).all() for a, b in zip(first.train, second.train, strict=True))
    assert prepare(SMALL, data=search_path(), cache=tmp_path)["documents"] == {"train": 6, "dev": 3, "test": 3}


def test_training_on_the_built_in_corpus_overfits_eight_documents(tmp_path):
    settings = ExperimentSettings.model_validate(
        {
            "data": {"name": "builtin", "train": 8, "dev": 1, "test": 1},
            "model": {"encoder": {"layers": 3, "frozen_layers": 1}, "memory": {"warmup_proportion": 0.4}},
            "training": {"epochs": 50, "batch_size": 1, "learning_rate": 5e-4, "head_learning_rate": 1e-3},
        }
    )
    torch.set_num_threads(1)
    torch.manual_seed(1)
    tokenizer = load_tokenizer(settings.model.encoder)
    corpus = load_encoded(settings.data, search_path(), tokenizer, tmp_path / "cache")
    network = Network(settings.model, corpus.labels, vocabulary_of(tokenizer))
    # eight documents are trained on and evaluated on
    corpus = replace(corpus, dev=corpus.train)
    (tmp_path / "trial").mkdir()
    train(network, tokenizer, corpus, settings.training, 1, tmp_path / "trial", lambda epoch: None)
    checkpoint.load_weights(tmp_path / "trial" / "checkpoint", network)
    assert network.joint.reading
    scores = evaluate(network, corpus.train).scores("train")
    assert scores["train/relation_strict_f1"] > 95


def test_the_learning_rate_rises_over_the_warm_up_and_falls_to_zero():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    schedule = build_schedule(optimiser, n_steps=20, warmup=0.1)
    rates = []
    for _ in range(20):
        rates.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    assert rates[:4] == [0.0, 0.5, 1.0, pytest.approx(17 / 18)]
    assert schedule.get_last_lr() == [0.0]


def test_the_released_adamw_does_not_correct_its_bias():
    # m = 0.1 g and v = 0.001 g^2, so the first step is 0.1 / sqrt(0.001) learning rates
    parameter = torch.nn.Parameter(torch.tensor([1.0]))
    optimiser = UncorrectedAdamW([{"params": [parameter]}], lr=0.01, epsilon=1e-12)
    parameter.grad = torch.tensor([4.0])
    optimiser.step()
    torch.testing.assert_close(parameter.detach(), torch.tensor([1 - 0.01 * 0.1 / 0.001**0.5]))


def test_biases_and_layer_norms_do_not_decay_and_memories_do():
    network = Network(SMALL.model, load_labels(), vocabulary_of(load_tokenizer(SMALL.model.encoder)))
    optimiser = build_optimiser(network, TrainingSettings(head_learning_rate=1e-3))
    group_of = {id(p): group for group in optimiser.param_groups for p in group["params"]}
    for name, parameter in network.named_parameters():
        group = group_of[id(parameter)]
        assert (group["weight_decay"] == 0) == (name.endswith("bias") or "LayerNorm" in name)
        assert group["initial_lr" if "initial_lr" in group else "lr"] == (5e-5 if name.startswith("encoder.") else 1e-3)


def load_labels():
    from model.data import builtin

    return builtin.LABELS


def test_bfloat16_trains(tmp_path):
    data = SMALL.model_dump()
    data["training"] |= {"precision": "bfloat16", "epochs": 1}
    assert run_in(tmp_path / "trial", ExperimentSettings.model_validate(data))["selected_epoch"] == 1


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto").type == "cpu"
    with pytest.raises(ValueError, match="sees no GPU"):
        resolve_device("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_training_on_a_gpu_gives_the_losses_of_the_cpu(tmp_path):
    run_in(tmp_path / "cpu", device="cpu")
    run_in(tmp_path / "cuda", device="cuda")
    first, second = history(tmp_path / "cpu")[0], history(tmp_path / "cuda")[0]
    assert second["loss/total"] == pytest.approx(first["loss/total"], rel=0.05)
