"""A frozen encoder is asked once: its vectors are kept, shared, and as good as new ones."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from model import cache
from model.data.encoded import load_encoded
from model.encoder import Encoder, load_tokenizer, vocabulary_of
from model.settings import BuiltinSettings, EncoderSettings, ExperimentSettings, JerexSettings, TrainingSettings
from model.training import vectors
from model.training.checkpoint import FROZEN, WEIGHTS, load_network
from model.training.run import run
from model.training.vectors import with_vectors

FROZEN_ENCODER = EncoderSettings(name="random", train=False)
DATA = BuiltinSettings(train=6, dev=3, test=3)


def corpus_and_encoder(cache: Path, settings: EncoderSettings = FROZEN_ENCODER):
    tokenizer = load_tokenizer(settings)
    torch.manual_seed(0)
    return load_encoded(DATA, (), tokenizer, cache), Encoder(settings, vocabulary_of(tokenizer))


def experiment(**encoder) -> ExperimentSettings:
    return ExperimentSettings(
        data=DATA,
        model=JerexSettings(encoder=EncoderSettings(name="random", **encoder)),
        training=TrainingSettings(epochs=2, head_learning_rate=1e-3),
    )


def test_a_frozen_encoder_has_no_dropout_even_in_training(tmp_path):
    _, encoder = corpus_and_encoder(tmp_path)
    assert not encoder.train().training
    assert not any(module.training for module in encoder.modules())
    trained = Encoder(EncoderSettings(name="random"), vocabulary_of(load_tokenizer(FROZEN_ENCODER)))
    assert trained.train().training


def test_the_kept_vectors_are_those_of_the_encoder_and_are_computed_once(tmp_path, monkeypatch):
    corpus, encoder = corpus_and_encoder(tmp_path)
    kept = with_vectors(corpus, encoder, tmp_path)
    for document, with_its in zip(corpus.test, kept.test, strict=True):
        anew, _ = vectors._encoded(document, encoder)
        assert with_its.encoding is not None and with_its.encoding.seconds > 0
        assert np.array_equal(with_its.encoding.vectors, anew)
        assert isinstance(with_its.encoding.vectors, np.memmap)  # shared with all who read it, not copied
    monkeypatch.setattr(vectors, "_encoded", lambda *_: pytest.fail("the encoder was asked again"))
    with_vectors(corpus, encoder, tmp_path)


def test_other_weights_and_other_layouts_have_vectors_of_their_own(tmp_path):
    corpus, encoder = corpus_and_encoder(tmp_path)
    one = with_vectors(corpus, encoder, tmp_path).train[0].encoding
    with torch.no_grad():
        next(encoder.parameters())[0, 0] += 1.0
    with_vectors(corpus, encoder, tmp_path)
    with_vectors(*corpus_and_encoder(tmp_path, FROZEN_ENCODER.model_copy(update={"special_tokens": True})), tmp_path)
    assert one is not None
    assert len([path for path in (tmp_path / "vectors").iterdir() if not path.name.startswith(".")]) == 3


def test_what_a_killed_process_left_is_made_again(tmp_path):
    corpus, encoder = corpus_and_encoder(tmp_path)
    folder = tmp_path / "vectors" / vectors._key([*corpus.train, *corpus.dev, *corpus.test], encoder)
    left = folder.with_name(f".{folder.name}.new")
    left.mkdir(parents=True)
    (left / "vectors.npy").write_bytes(b"half")
    assert with_vectors(corpus, encoder, tmp_path).train[0].encoding is not None
    assert not left.exists()


def _zeros(file: Path) -> None:
    with file.open("r+b") as handle:
        half = file.stat().st_size // 2
        handle.seek(half)
        handle.write(bytes(file.stat().st_size - half))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "lost": Path.unlink,
    "empty": lambda file: os.truncate(file, 0),
    "cut short": lambda file: os.truncate(file, file.stat().st_size // 2),
    "zeros": _zeros,
    "something else": lambda file: file.write_text("[]"),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["vectors.json", "vectors.npy", "corpus.json", "subwords.safetensors", "digests.json"])
def test_what_is_damaged_in_a_cache_is_made_anew(tmp_path, name, damage, caplog):
    corpus, encoder = corpus_and_encoder(tmp_path)
    before = with_vectors(corpus, encoder, tmp_path).dev[0]
    vectors, words = np.array(before.encoding.vectors), before.subwords
    for file in tmp_path.glob(f"*/*/{name}"):
        DAMAGE[damage](file)
    found = with_vectors(corpus_and_encoder(tmp_path)[0], encoder, tmp_path).dev[0]
    assert np.array_equal(found.encoding.vectors, vectors) and np.array_equal(found.subwords, words)
    assert "is not whole; it is made again" in caplog.text
    caplog.clear()
    with_vectors(corpus_and_encoder(tmp_path)[0], encoder, tmp_path)
    assert "not whole" not in caplog.text


def test_what_cannot_be_made_leaves_nothing(tmp_path):
    def fails(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        cache.ensure(tmp_path / "cache" / "it", fails)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".it.lock"]


def _ask(cache: Path) -> None:
    torch.set_num_threads(1)
    corpus, encoder = corpus_and_encoder(cache)
    made = vectors._make
    vectors._make = lambda *given: ((cache / f"made-{multiprocessing.current_process().pid}").touch(), made(*given))[1]  # type: ignore
    with_vectors(corpus, encoder, cache)


def test_of_several_processes_one_computes_and_the_others_wait(tmp_path):
    corpus_and_encoder(tmp_path)
    context = multiprocessing.get_context("spawn")
    asking = [context.Process(target=_ask, args=(tmp_path,)) for _ in range(3)]
    for one in asking:
        one.start()
    for one in asking:
        one.join(120)
        assert one.exitcode == 0
    assert len(list(tmp_path.glob("made-*"))) == 1


def test_too_small_a_disk_is_told_before_anything_is_computed(tmp_path, monkeypatch):
    corpus, encoder = corpus_and_encoder(tmp_path)
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="vectors of the frozen encoder need .* but 0.0 GiB are free; make room"):
        with_vectors(corpus, encoder, tmp_path)


def test_a_trial_on_a_frozen_encoder_learns_as_if_it_was_asked_each_time(tmp_path, monkeypatch):
    """The same to the last bit where documents are encoded one by one; in a batch the encoder rounds otherwise."""
    torch.set_num_threads(1)
    kept = run(experiment(train=False), 1, tmp_path / "kept", data=(), cache=tmp_path / "cache")
    monkeypatch.setattr("model.training.run.with_vectors", lambda corpus, *_: corpus)
    asked = run(experiment(train=False), 1, tmp_path / "asked", data=(), cache=tmp_path / "cache")
    history = [
        [
            json.loads(line)["metrics"]["loss/total"]
            for line in (tmp_path / name / "history.jsonl").read_text().splitlines()
        ]
        for name in ("kept", "asked")
    ]
    assert history[0] == pytest.approx(history[1], rel=1e-3)
    assert kept["trained_parameters"] == asked["trained_parameters"] < kept["parameters"]
    times = json.loads((tmp_path / "kept" / "seconds" / "test.json").read_text())["seconds"]
    assert all(second > 0 for second in times)


def test_frozen_weights_are_one_file_for_all_checkpoints_of_a_trial(tmp_path):
    run(experiment(train=False), 1, tmp_path / "trial", data=(), cache=tmp_path / "cache")
    files = list((tmp_path / "trial").glob(f"*/{FROZEN}"))
    assert len(files) == 2 and len({file.stat().st_ino for file in files}) == 1
    assert all(file.with_name(WEIGHTS).stat().st_size < file.stat().st_size * 10 for file in files)
    network, _ = load_network(tmp_path / "trial" / "checkpoint")
    assert not any(value.requires_grad for value in network.encoder.parameters())
    assert all((tmp_path / "trial" / name).is_dir() for name in ("checkpoint", ".last.old"))
    run(experiment(), 1, tmp_path / "trained", data=(), cache=tmp_path / "cache")
    assert not list((tmp_path / "trained").glob(f"*/{FROZEN}"))


def test_without_hard_links_frozen_weights_are_written_whole_whatever_a_killed_process_left(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refused)
    trial = tmp_path / "trial"
    (trial / ".checkpoint.new").mkdir(parents=True)
    (trial / ".checkpoint.new" / FROZEN).write_bytes(b"torso")
    run(experiment(train=False), 1, trial, data=(), cache=tmp_path / "cache")
    load_network(trial / "checkpoint")
