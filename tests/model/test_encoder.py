"""Sub-words and windows: nothing is cut."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model import batch as batches
from model import embedded
from model.data.document import Document
from model.data.subwords import encode, windows
from model.encoder import Encoder, load_tokenizer, vocabulary_of
from model.settings import EncoderSettings, ExtendedPositionSettings, WindowSettings

RANDOM = EncoderSettings(name="random")


def vectors(encoder, *ids):
    return encoder(batches.windows(ids, encoder.layout))


@given(st.integers(1, 3000), st.integers(2, 512), st.data())
def test_windows_cover_every_subword_once_and_fit_the_encoder(n, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    found = windows(n, size, overlap)
    taken = [i for window in found for i in range(window.first, window.last)]
    assert taken == list(range(n))
    for window in found:
        assert 0 <= window.start <= window.first <= window.last <= window.end <= n
        assert window.end - window.start <= size
    for left, right in zip(found, found[1:], strict=False):
        assert left.end - right.start >= overlap


def test_a_document_that_fits_is_one_window():
    assert len(windows(512, 512, 128)) == 1


def test_words_without_subwords_become_unknown_and_ranges_join():
    tokenizer = load_tokenizer(RANDOM)
    [encoded] = encode(
        [
            Document("1", (("The", "​", "company"), ("founded", "."))),
        ],
        tokenizer,
    )
    assert len(encoded.start) == 6
    assert (np.diff(encoded.start) >= 1).all()
    assert encoded.subwords[encoded.start[1]] == tokenizer.unk_token_id
    assert encoded.start[-1] == encoded.n_subwords
    assert encoded.subword_range(np.array([[0, 5]])).tolist() == [[0, encoded.n_subwords]]


def test_a_long_document_is_encoded_in_windows_and_near_its_middle_as_in_one_piece():
    tokenizer = load_tokenizer(RANDOM)
    torch.manual_seed(0)
    encoder = Encoder(RANDOM, vocabulary_of(tokenizer)).eval()
    ids = np.arange(5, 305) % 200 + 4
    with torch.no_grad():
        assert vectors(encoder, ids[:100]).shape == (100, encoder.width)
        both = vectors(encoder, ids, ids[:60])
    assert both.shape == (360, encoder.width)
    first, *_ = encoder.layout.windows(300)
    with torch.no_grad():
        alone = vectors(encoder, ids[: first.end])
    torch.testing.assert_close(both[: first.last], alone[: first.last], rtol=1e-4, atol=1e-5)


def test_an_extended_table_keeps_the_trained_rows_and_draws_the_others_like_them():
    vocabulary = vocabulary_of(load_tokenizer(RANDOM))
    torch.manual_seed(0)
    short = Encoder(RANDOM, vocabulary)
    for initial, deviation in (("trained", 0.02), ("unit_normal", 1.0)):
        torch.manual_seed(0)
        settings = RANDOM.model_copy(update={"positions": ExtendedPositionSettings(rows=400, initial=initial)})
        long = Encoder(settings, vocabulary).eval()
        table = long.transformer.embeddings.position_embeddings.weight
        torch.testing.assert_close(table[:256], short.transformer.embeddings.position_embeddings.weight)
        assert float(table[256:].detach().std()) == pytest.approx(deviation, rel=0.1)
        with torch.no_grad():
            assert vectors(long, np.full(350, 7)).shape == (350, long.width)
        with pytest.raises(ValueError, match="positions.rows is 400; raise it"):
            vectors(long, np.full(401, 7))


def test_frozen_and_cut_layers():
    tokenizer = load_tokenizer(RANDOM)
    encoder = Encoder(EncoderSettings(name="random", layers=1), vocabulary_of(tokenizer))
    assert encoder.config.num_hidden_layers == 1
    frozen = Encoder(EncoderSettings(name="random", frozen_layers=1), vocabulary_of(tokenizer))
    trained = {name.split(".")[3] for name, p in frozen.named_parameters() if p.requires_grad}
    assert trained == {"1"}
    assert not any(
        p.requires_grad
        for p in Encoder(EncoderSettings(name="random", train=False), vocabulary_of(tokenizer)).parameters()
    )


def test_special_tokens_surround_a_document_and_are_not_returned():
    tokenizer = load_tokenizer(RANDOM)
    encoder = Encoder(EncoderSettings(name="random", special_tokens=True), vocabulary_of(tokenizer)).eval()
    assert encoder.marks == ([tokenizer.cls_token_id], [tokenizer.sep_token_id])
    with torch.no_grad():
        assert vectors(encoder, np.full(20, 7), np.full(400, 7)).shape == (420, encoder.width)


def test_the_embedded_encoder_is_there_and_its_weights_are_checked(monkeypatch):
    assert embedded.check("minilm") is None
    assert (embedded.locate("minilm") / embedded.WEIGHTS).is_file()
    monkeypatch.setitem(
        embedded.EMBEDDED, "minilm", embedded.EmbeddedEncoder(embedded.EMBEDDED["minilm"].packages, "0")
    )
    with pytest.raises(embedded.EncoderNotFound, match="digest"):
        embedded.locate("minilm")


def test_an_encoder_that_is_not_there_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setitem(embedded.EMBEDDED, "other", embedded.EmbeddedEncoder(("no-such-package==1",), "0"))
    assert "the package no-such-package of the embedded encoder 'other'" in str(embedded.check("other"))
    assert "pip install" in str(embedded.check("other"))
    assert "does not exist" in str(embedded.check(str(tmp_path / "nothing")))
    (tmp_path / "config.json").write_text("{}")
    assert "model.safetensors" in str(embedded.check(str(tmp_path)))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE" in str(embedded.check("some/encoder-nobody-has"))


def test_window_overlap_is_a_setting():
    vocabulary = vocabulary_of(load_tokenizer(RANDOM))
    shorter = Encoder(EncoderSettings(name="random", positions=WindowSettings(overlap=64)), vocabulary)
    # windows of 256: 640 sub-words are 64 + 3 · 192, and 128 + 4 · 128
    assert (len(shorter.layout.windows(640)), len(Encoder(RANDOM, vocabulary).layout.windows(640))) == (3, 4)


# ------------------------------------------------------------------------------------------------- before it is built


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"layers": 3}, ("layers",), "found 3, but the encoder 'random' has 2 layers"),
        ({"frozen_layers": 3}, ("frozen_layers",), "found 3, but 2 layers of the encoder 'random' are kept"),
        ({"layers": 1, "frozen_layers": 2}, ("frozen_layers",), "found 2, but 1 layers"),
        (
            {"positions": WindowSettings(overlap=256)},
            ("positions", "overlap"),
            "found 256, but a window of the encoder",
        ),
    ],
)
def test_settings_that_do_not_fit_the_encoder_are_told_before_it_is_built_and_refused_then(changes, path, message):
    settings = EncoderSettings(name="random", **changes)
    [(where, said)] = embedded.faults(settings)
    assert where == path and message in said
    with pytest.raises(ValueError) as refused:
        Encoder(settings, vocabulary_of(load_tokenizer(RANDOM)))
    assert str(refused.value) == f"encoder.{'.'.join(path)}: {said}"


@pytest.mark.parametrize("name", ["random", "minilm", "tiny"])
def test_the_most_that_an_encoder_can_have_is_no_fault(name):
    shape = {"random": (2, 256), "minilm": (6, 512), "tiny": (2, 512)}[name]
    positions = WindowSettings(overlap=shape[1] - 1)
    most = EncoderSettings(name=name, layers=shape[0], frozen_layers=shape[0], positions=positions)
    assert embedded.faults(most) == []
    assert [path for path, _ in embedded.faults(most.model_copy(update={"layers": shape[0] + 1}))] == [("layers",)]


def test_marks_make_a_window_shorter():
    settings = EncoderSettings(name="random", special_tokens=True, positions=WindowSettings(overlap=254))
    with pytest.raises(ValueError, match="has 254 sub-words"):
        Encoder(settings, vocabulary_of(load_tokenizer(RANDOM)))


def roberta(folder: Path, **changes: Any) -> Path:
    """An encoder without weights: 12 layers and 514 positions, of which 2 are for padding."""
    config = {"model_type": "roberta", "num_hidden_layers": 12, "max_position_embeddings": 514, "pad_token_id": 1}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    (folder / embedded.WEIGHTS).write_bytes(b"12345")
    return folder


def test_a_folder_is_asked_for_its_layers_its_positions_and_its_type(tmp_path):
    encoder = EncoderSettings(name=str(roberta(tmp_path)), layers=12)
    assert embedded.faults(encoder) == []
    assert embedded.weight_bytes(encoder.name) == 5
    wrong = [{"layers": 13}, {"positions": WindowSettings(overlap=512)}, {"positions": ExtendedPositionSettings()}]
    found = [embedded.faults(encoder.model_copy(update=update)) for update in wrong]
    assert [path for [(path, _)] in found] == [("layers",), ("positions", "overlap"), ("positions", "kind")]
    # what a config.json leaves to its library is not known here
    (tmp_path / "config.json").write_text("{}")
    assert [embedded.faults(encoder.model_copy(update=update)) for update in wrong] == [[], [], []]
    (tmp_path / "config.json").write_text("{")
    [(path, message)] = embedded.faults(encoder)
    assert path == ("name",) and "config.json cannot be read" in message
    [(path, message)] = embedded.faults(EncoderSettings(name=str(tmp_path / "nothing")))
    assert path == ("name",) and "does not exist" in message


def test_the_cache_of_the_hub_is_read_without_the_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    encoder = EncoderSettings(name="someone/roberta", layers=13)
    assert (embedded.faults(encoder), embedded.weight_bytes(encoder.name)) == ([], None)
    cached = tmp_path / "models--someone--roberta"
    roberta(cached / "snapshots" / "0a1b")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0a1b")
    assert embedded.faults(encoder) == [(("layers",), "found 13, but the encoder 'someone/roberta' has 12 layers")]
    assert embedded.weight_bytes(encoder.name) == 5


def test_an_encoder_in_slices_is_unpacked_once_and_its_weights_are_known_before(tmp_path, monkeypatch):
    source = roberta(tmp_path / "source")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for file in source.iterdir():
            archive.write(file, f"encoder/{file.name}")
    packed = (tmp_path / "all.zip").read_bytes()
    for number, content in enumerate((packed[:99], packed[99:]), 1):
        package = tmp_path / "site" / f"slice_{number}"
        information = tmp_path / "site" / f"slice_{number}-1.dist-info"
        package.mkdir(parents=True)
        information.mkdir()
        (package / "part").write_bytes(content)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: slice-{number}\nVersion: 1\n")
        (information / "RECORD").write_text(f"slice_{number}/part,,\nslice_{number}-1.dist-info/METADATA,,\n")
    digest = hashlib.sha256(b"12345").hexdigest()
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(embedded.EMBEDDED, "sliced", embedded.EmbeddedEncoder(("slice-1==1", "slice-2==1"), digest))
    encoder = EncoderSettings(name="sliced", layers=13)
    assert (embedded.faults(encoder), embedded.weight_bytes("sliced")) == ([], len(packed))
    folder = embedded.locate("sliced")
    assert (folder / "config.json").read_text() == (source / "config.json").read_text()
    assert [path for path, _ in embedded.faults(encoder)] == [("layers",)]
    assert embedded.weight_bytes("sliced") == 5
    assert embedded.locate("sliced") == folder


def test_the_size_of_embedded_weights_is_that_of_their_file():
    assert embedded.weight_bytes("minilm") == (embedded.locate("minilm") / embedded.WEIGHTS).stat().st_size
    assert embedded.weight_bytes("random") is None


def test_an_encoder_is_asked_about_without_torch():
    code = "import sys; from model import embedded; from model.settings import EncoderSettings; "
    code += "embedded.faults(EncoderSettings()); print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
