"""Training: it learns, it is a function of its seed, and an interruption leaves no trace."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from model.data.catalog import search_path
from model.data.document import Document
from model.data.encoded import load_encoded
from model.encoder import load_tokenizer, vocabulary_of
from model.joint.network import Network
from model.metrics.matching import SUBTASKS, TYPED
from model.predict import Extractor
from model.settings import ExperimentSettings, TrainingSettings
from model.training import checkpoint, loop
from model.training.device import LARGEST_CONTEXT, memory, resolve_device
from model.training.loop import Evaluation, evaluate, train
from model.training.optimiser import UncorrectedAdamW, build_optimiser, build_schedule
from model.training.run import prepare, run

SMALL = ExperimentSettings.model_validate(
    {
        "data": {"name": "builtin", "train": 6, "dev": 3, "test": 3},
        "model": {"encoder": {"name": "random"}, "mention": {"threshold": 0.5}},
        "training": {"epochs": 4, "learning_rate": 1e-3},
    }
)


def small(part: str, **changes: Any) -> ExperimentSettings:
    """`SMALL` with other settings in its part `training` or `model`."""
    data = SMALL.model_dump()
    data[part] |= changes
    return ExperimentSettings.model_validate(data)


def run_in(folder: Path, settings: ExperimentSettings = SMALL, seed: int = 1, **arguments) -> dict:
    return run(settings, seed, folder, data=search_path(), cache=folder.parent / "cache", threads=1, **arguments)


def history(folder: Path) -> list[dict]:
    """Without wall-clock times."""
    entries = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [{k: v for k, v in entry["metrics"].items() if not k.startswith("seconds/")} for entry in entries]


def overfitted(folder: Path, settings: ExperimentSettings) -> float:
    """Strict relation F1, with reads on, on the documents that were trained on and evaluated on."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    tokenizer = load_tokenizer(settings.model.encoder)
    corpus = load_encoded(settings.data, search_path(), tokenizer, folder / "cache")
    network = Network(settings.model, corpus.labels, vocabulary_of(tokenizer))
    corpus = replace(corpus, dev=corpus.train)
    (folder / "trial").mkdir()
    train(network, tokenizer, corpus, settings.training, 1, folder / "trial", lambda epoch: None)
    checkpoint.load_weights(folder / "trial" / "checkpoint", network)
    assert network.joint.reading
    return evaluate(network, corpus.train).scores("train")["train/relation_strict_f1"]


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
    settings = small("training", optimiser={"kind": optimiser})

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
        assert len(counts["documents"]["id"]) == len(counts["documents"]["words"]) == 3
        for task in SUBTASKS:
            correct, spurious, missed = (sum(counts[task][name]) for name in ("correct", "spurious", "missed"))
            total = 2 * correct + spurious + missed
            assert result["metrics"][f"{split}/{task}_f1"] == pytest.approx(200 * correct / total if total else 0.0)
            assert ("type" in counts[task]) == (task in TYPED)


def test_the_documents_of_test_are_timed_one_by_one_and_extracted_all_the_same(tmp_path):
    run_in(tmp_path / "trial")
    seconds = json.loads((tmp_path / "trial" / "seconds" / "test.json").read_text())
    counts = json.loads((tmp_path / "trial" / "counts" / "test.json").read_text())
    assert seconds["id"] == counts["documents"]["id"] and all(one > 0 for one in seconds["seconds"])
    # times differ from run to run, so they lie apart from what is the same each time; those of dev nobody asks for
    assert set(counts["documents"]) == {"id", "words"}
    assert not (tmp_path / "trial" / "seconds" / "dev.json").exists()


def test_the_selected_epoch_is_the_first_with_the_best_strict_relation_f1_on_dev(tmp_path):
    result = run_in(tmp_path / "trial")
    scores = [metrics["dev/relation_strict_f1"] for metrics in history(tmp_path / "trial")]
    assert result["selected_epoch"] == scores.index(max(scores)) + 1
    assert result["metrics"]["dev/relation_strict_f1"] == max(scores)


def script(monkeypatch: pytest.MonkeyPatch, **by_epoch: Sequence[float]) -> None:
    """Let the training loop see these scores, epoch by epoch, in place of those that it counts: `dev_mention_f1`."""
    seen = Counter[str]()
    scripted = {name.replace("_", "/", 1): scores for name, scores in by_epoch.items()}

    class Scripted(Evaluation):
        def scores(self, split: str) -> dict[str, float]:
            epoch = seen[split]
            seen[split] += 1
            told = {name: scores[epoch] for name, scores in scripted.items() if name.startswith(f"{split}/")}
            return super().scores(split) | told

    def scripted_evaluate(*arguments: Any, **more: Any) -> Evaluation:
        found = evaluate(*arguments, **more)
        return Scripted(found.gold, found.predicted, found.counts)

    monkeypatch.setattr(loop, "evaluate", scripted_evaluate)


SCRIPT = {
    "dev_relation_strict_f1": [1.0, 3.0, 2.0, 3.0],
    "dev_mention_f1": [4.0, 3.0, 5.0, 5.0],
    "test_relation_strict_f1": [1.0, 2.0, 3.0, 4.0],
    "test_mention_f1": [9.0, 1.0, 1.0, 1.0],
}


@pytest.mark.parametrize(
    ("select", "selected"),
    [({}, 2), ({"metric": "mention_f1"}, 3), ({"on": "test"}, 4), ({"metric": "mention_f1", "on": "test"}, 1)],
)
def test_the_epoch_is_selected_by_the_metric_and_on_the_split_that_are_set(tmp_path, monkeypatch, select, selected):
    script(monkeypatch, **SCRIPT)
    result = run_in(tmp_path / "trial", small("training", select=select))
    assert result["selected_epoch"] == selected
    assert checkpoint.describe(tmp_path / "trial" / "checkpoint")["epoch"] == selected
    assert result["metrics"]["dev/mention_f1"] == SCRIPT["dev_mention_f1"][selected - 1]
    # test is looked at before the end only where it selects
    assert all(("test/mention_f1" in metrics) == ("on" in select) for metrics in history(tmp_path / "trial"))


def test_selection_on_test_reports_the_best_of_test_and_says_that_it_is_too_high(tmp_path, caplog):
    settings = ExperimentSettings.model_validate(
        {
            "data": {"name": "builtin", "train": 20, "dev": 3, "test": 3},
            "model": {"encoder": {"name": "tiny"}, "mention": {"threshold": 0.3}},
            "training": {"epochs": 4, "learning_rate": 2e-3, "select": {"metric": "mention_f1", "on": "test"}},
        }
    )
    with caplog.at_level("INFO", logger="model"):
        result = run_in(tmp_path / "trial", settings)
    on_test = [metrics["test/mention_f1"] for metrics in history(tmp_path / "trial")]
    assert result["metrics"]["test/mention_f1"] == max(on_test)
    assert "the scores on test are too high" in caplog.text
    assert f"selected epoch {on_test.index(max(on_test)) + 1} by test/mention_f1" in caplog.text


@pytest.mark.parametrize("best", [1, 2, 3])
def test_an_interruption_does_not_change_which_epoch_is_selected(tmp_path, monkeypatch, best):
    settings = small("training", select={"metric": "entity_f1", "on": "test"})
    scores = [9.0 if epoch == best else 5.0 for epoch in (1, 2, 3, 4)]
    others = {name: [1.0, 2.0, 3.0, 4.0] for name in ("dev_entity_f1", "dev_relation_strict_f1")}

    def interrupt(epoch: dict) -> None:
        if epoch["epoch"] == 2:
            raise Interrupted

    script(monkeypatch, test_entity_f1=scores, **others)
    with pytest.raises(Interrupted):
        run_in(tmp_path / "cut", settings, report=interrupt)
    resumed = run_in(tmp_path / "cut", settings)
    script(monkeypatch, test_entity_f1=scores, **others)
    assert resumed == run_in(tmp_path / "whole", settings)
    assert resumed["selected_epoch"] == best
    assert history(tmp_path / "cut") == history(tmp_path / "whole")


@pytest.mark.parametrize(
    ("memory", "reading"),
    [
        ({"warmup_proportion": 0.25}, True),
        ({"warmup_proportion": 0.75}, False),
        # these never read, by their settings
        ({"warmup_proportion": 1.0}, None),
        ({"read": None}, None),
    ],
)
def test_a_trial_tells_whether_the_selected_network_reads(tmp_path, monkeypatch, memory, reading):
    script(monkeypatch, dev_relation_strict_f1=[1.0, 2.0, 1.0, 1.0])
    result = run_in(tmp_path / "trial", small("model", memory=memory))
    assert (result["selected_epoch"], result["reading_at_selected_epoch"]) == (2, reading)


@pytest.mark.parametrize(("proportion", "reading"), [(0.0, [1, 1, 1, 1]), (0.5, [0, 0, 1, 1]), (1.0, [0, 0, 0, 0])])
def test_the_memories_are_read_once_their_warm_up_is_over(tmp_path, proportion, reading):
    run_in(tmp_path / "trial", small("model", memory={"warmup_proportion": proportion}))
    assert [metrics["reading"] for metrics in history(tmp_path / "trial")] == reading


def test_data_are_encoded_once_and_read_back_the_same(tmp_path):
    arguments = (SMALL.data, search_path(), load_tokenizer(SMALL.model.encoder), tmp_path)
    first = load_encoded(*arguments)
    [folder] = (path for path in (tmp_path / "encoded").iterdir() if path.is_dir())
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
            "training": {"epochs": 60, "batch_size": 1, "learning_rate": 5e-4, "head_learning_rate": 1e-3},
        }
    )
    assert overfitted(tmp_path, settings) > 95


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
    assert run_in(tmp_path / "trial", small("training", precision="bfloat16", epochs=1))["selected_epoch"] == 1


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto").type == "cpu"
    with pytest.raises(ValueError, match="sees no GPU"):
        resolve_device("cuda")


@pytest.mark.parametrize(
    ("others", "context"), [(0, 600 * 2**20), (20 * 2**30, LARGEST_CONTEXT)], ids=["alone", "shared"]
)
def test_the_peak_memory_is_that_of_the_allocator_and_the_context_and_not_that_of_others(monkeypatch, others, context):
    total, reserved, peak = 80 * 2**30, 3 * 2**30, 10 * 2**30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (total - reserved - 600 * 2**20 - others, total))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: peak)
    assert memory(torch.device("cuda")) == {"peak_memory_bytes": peak + context, "device_memory_bytes": total}


def test_of_a_cpu_no_memory_is_told():
    assert memory(torch.device("cpu")) == {}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_training_on_a_gpu_gives_the_losses_of_the_cpu_and_tells_its_memory(tmp_path):
    run_in(tmp_path / "cpu", device="cpu")
    result = run_in(tmp_path / "cuda", device="cuda")
    assert 0 < result["peak_memory_bytes"] < result["device_memory_bytes"]
    first, second = history(tmp_path / "cpu")[0], history(tmp_path / "cuda")[0]
    assert second["loss/total"] == pytest.approx(first["loss/total"], rel=0.05)
