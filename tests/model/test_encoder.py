"""Sub-words and windows: nothing is cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model import embedded
from model.data.document import Document
from model.data.subwords import encode, windows
from model.encoder import Encoder, load_tokenizer, vocabulary_of
from model.settings import EncoderSettings, ExtendedPositionSettings, WindowSettings

RANDOM = EncoderSettings(name="random")


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
        assert encoder([ids[:100]]).shape == (100, encoder.width)
        both = encoder([ids, ids[:60]])
    assert both.shape == (360, encoder.width)
    first, *_ = encoder.windows(300)
    with torch.no_grad():
        alone = encoder([ids[: first.end]])
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
        torch.testing.assert_close(table[:128], short.transformer.embeddings.position_embeddings.weight)
        assert float(table[128:].detach().std()) == pytest.approx(deviation, rel=0.1)
        with torch.no_grad():
            assert long([np.full(350, 7)]).shape == (350, long.width)
        with pytest.raises(ValueError, match="positions.rows is 400; raise it"):
            long([np.full(401, 7)])


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
    with pytest.raises(ValueError, match="has 2 layers"):
        Encoder(EncoderSettings(name="random", layers=3), vocabulary_of(tokenizer))


def test_special_tokens_surround_a_document_and_are_not_returned():
    tokenizer = load_tokenizer(RANDOM)
    encoder = Encoder(EncoderSettings(name="random", special_tokens=True), vocabulary_of(tokenizer)).eval()
    assert encoder.marks == ([tokenizer.cls_token_id], [tokenizer.sep_token_id])
    with torch.no_grad():
        assert encoder([np.full(20, 7), np.full(200, 7)]).shape == (220, encoder.width)


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
    assert "pip install" in str(embedded.check("other"))
    assert "does not exist" in str(embedded.check(str(tmp_path / "nothing")))
    (tmp_path / "config.json").write_text("{}")
    assert "model.safetensors" in str(embedded.check(str(tmp_path)))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE" in str(embedded.check("some/encoder-nobody-has"))


def test_window_overlap_is_a_setting():
    encoder = Encoder(
        EncoderSettings(name="random", positions=WindowSettings(overlap=64)), vocabulary_of(load_tokenizer(RANDOM))
    )
    assert len(encoder.windows(256)) == 3
