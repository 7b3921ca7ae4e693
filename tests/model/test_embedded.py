"""Encoders that need no hub, and what is said where one does and the hub does not answer."""

from __future__ import annotations

from model import embedded


def test_a_hub_that_does_not_answer_is_told_at_once(monkeypatch, tmp_path):
    for proxy in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    embedded.unreachable.cache_clear()
    message = embedded.unreachable("minilmm")
    embedded.unreachable.cache_clear()
    assert (
        message is not None and "the hub 127.0.0.1 does not answer" in message and "did you mean 'minilm'?" in message
    )
    assert embedded.unreachable("minilm") is None and embedded.unreachable(str(tmp_path)) is None
