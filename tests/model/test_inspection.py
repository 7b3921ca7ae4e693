"""What the memories attend to in a document: the weights of the reads, by word and by mention."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model import batch as batches
from model.data import builtin
from model.data.document import Document
from model.data.subwords import EncodedDocument, encode
from model.encoder import load_tokenizer, vocabulary_of
from model.inspection import Inspection, inspect
from model.joint.jerex import Trace
from model.joint.network import Network, candidates_of
from model.settings import BuiltinSettings, EncoderSettings, JerexSettings
from model.training import checkpoint
from model.training.checkpoint import Progress

ENCODER = EncoderSettings(name="random")
KEPT = 12
"""Mentions that are found, or so."""
READS = {
    "released": {"kind": "inverse"},
    "rescaled": {"kind": "inverse", "normalisation": "rescaled"},
    "kept": {"kind": "inverse", "normalisation": "kept"},
    "slot_wise": {"kind": "slot_wise"},
    "key_value": {"kind": "key_value", "slots": 7, "hops": 2},
    "recurrent": {"kind": "recurrent", "slots": 5, "hops": 1, "segment": 8},
}


@pytest.fixture(scope="module")
def document() -> Document:
    documents, _, _ = builtin.generate(BuiltinSettings(train=1, dev=1, test=1))
    return documents[0]


def encoded(document: Document) -> EncodedDocument:
    return encode([document], load_tokenizer(ENCODER))[0]


def network_of(read: dict | None, document: Document, **more) -> Network:
    """With weights that decide: some `KEPT` mentions are found in the document."""
    torch.manual_seed(11)
    settings = JerexSettings.model_validate({"encoder": {"name": "random"}, "memory": {"read": read, **more}})
    network = Network(settings, builtin.LABELS, vocabulary_of(load_tokenizer(ENCODER))).eval()
    generator = torch.Generator().manual_seed(11)
    one = encoded(document)
    with torch.no_grad():
        for parameter in network.joint.parameters():
            parameter.normal_(std=0.3, generator=generator)
        network.joint.mention.output.bias.fill_(-1000.0)
        tokens = batches.tokens([one], network.encoder.layout)
        candidates = [candidates_of(one, settings.mention.max_span_size)]
        (found,) = network.joint.extract(network.encode(tokens), tokens, candidates, lambda b, kept: kept)
        logits = np.sort(found.mention_logit.astype(float))
        between = (logits[-KEPT] + logits[-KEPT - 1]) / 2 + 1000.0
        network.joint.mention.output.bias.fill_(float(np.log(0.85 / 0.15) - between))
    return network


def saved(network: Network, folder: Path, reading: bool = True) -> Path:
    checkpoint.save(folder / "checkpoint", network, load_tokenizer(ENCODER), Progress(3, 30, reading), {})
    return folder / "checkpoint"


@pytest.fixture(params=READS)
def looked_at(request: pytest.FixtureRequest, document: Document, tmp_path: Path) -> tuple[Inspection, Trace, Network]:
    """An inspection of the document, and what the network itself leaves of its way."""
    network = network_of(READS[request.param], document)
    traces: list[Trace] = []
    network.extract([encoded(document)], trace=lambda _, trace: traces.append(trace))
    return inspect(saved(network, tmp_path), document, "cpu"), traces[0], network


def test_weights_sum_to_1_over_what_their_read_attends_to(looked_at, document):
    found, _, network = looked_at
    assert found.read == network.settings.memory.read.kind and found.words and found.mentions
    assert found.over == ("inputs" if found.read == "inverse" else "slots")
    for attention in found.words.values():
        assert attention.weight.shape == (document.n_words, len(attention.slots))
        assert attention.weight.sum(axis=0 if found.over == "inputs" else 1) == pytest.approx(1, abs=1e-5)
        if found.over == "inputs":
            assert attention.uniform.sum() == pytest.approx(1)
        else:
            assert attention.uniform == pytest.approx(1 / len(attention.slots))


def test_a_word_has_what_its_sub_words_have(looked_at, document):
    found, trace, _ = looked_at
    one = encoded(document)
    several = int(np.argmax(np.diff(one.start)))
    first, last = int(one.start[several]), int(one.start[several + 1])
    assert last - first > 1
    for memory, attention in found.words.items():
        of_subwords = trace.tokens.attention_NK[memory].detach().double().numpy()[first:last]
        together = of_subwords.sum(axis=0) if found.over == "inputs" else of_subwords.mean(axis=0)
        assert attention.weight[several] == pytest.approx(together)
        if found.over == "inputs":
            assert attention.uniform[several] == pytest.approx((last - first) / one.n_subwords)


def test_a_mention_has_the_weights_of_its_own_span(looked_at, document):
    found, trace, network = looked_at
    spans = [tuple(span) for span in candidates_of(encoded(document), network.settings.mention.max_span_size).words_C2]
    of_text = [mention.span for mention in found.mentions]
    assert of_text == sorted(mention.span for mention in found.predicted.mentions()) and len(of_text) == KEPT
    kept_only = getattr(network.settings.memory.read, "normalisation", None) == "kept"
    # where only kept spans are read, they stand in the order of the candidates: by size before by place
    read = sorted(of_text, key=spans.index) if kept_only else spans
    assert read != of_text
    for memory, attention in found.of_mentions.items():
        weight_NK = trace.spans.attention_NK[memory].detach().double().numpy()
        assert len(weight_NK) == len(read)
        assert attention.weight == pytest.approx(np.array([weight_NK[read.index(span)] for span in of_text]))
        share = 1 / len(read) if found.over == "inputs" else 1 / len(attention.slots)
        assert attention.uniform == pytest.approx(np.full(KEPT, share))


def test_slots_are_called_by_their_types_or_are_numbered(looked_at):
    found, _, _ = looked_at
    slots = {memory: one.slots for memory, one in found.words.items()}
    of_types = {"entity": builtin.LABELS.entity_types, "relation": builtin.LABELS.relation_types}
    numbered = {"key_value": {f"hop {n}": tuple(f"slot {k}" for k in range(1, 8)) for n in (1, 2)}}
    numbered["recurrent"] = {"hop 1": tuple(f"slot {k}" for k in range(1, 6))}
    assert slots == numbered.get(found.read, of_types)


def test_what_was_found_is_what_the_network_finds_and_the_annotation_is_not_looked_at(document, tmp_path):
    network = network_of(READS["released"], document)
    folder = saved(network, tmp_path)
    found, blank = (
        inspect(folder, document, "cpu"),
        inspect(folder, replace(document, entities=(), relations=()), "cpu"),
    )
    assert found.predicted == network.extract([encoded(document)])[0] == blank.predicted
    assert np.array_equal(found.words["entity"].weight, blank.words["entity"].weight)
    assert found.document == document


def test_a_site_that_is_not_read_has_no_attention(document, tmp_path):
    only_tokens = network_of({"kind": "inverse", "sites": ["tokens"], "memories": ["entity"]}, document)
    found = inspect(saved(only_tokens, tmp_path), document, "cpu")
    assert set(found.words) == {"entity"} and found.of_mentions == {} and len(found.mentions) == KEPT


def test_a_model_that_does_not_read_is_refused(document, tmp_path):
    without = saved(network_of(None, document), tmp_path / "a")
    with pytest.raises(ValueError, match=r"reads no memory \(memory.read is null\)"):
        inspect(without, document, "cpu")
    too_early = saved(network_of(READS["released"], document, warmup_proportion=0.6), tmp_path / "b", reading=False)
    with pytest.raises(ValueError, match="that of epoch 3, before its reads set in .*warmup_proportion is 0.6"):
        inspect(too_early, document, "cpu")
    with pytest.raises(ValueError, match="is no checkpoint"):
        inspect(tmp_path / "c", document, "cpu")


def test_no_mention_is_no_error(document, tmp_path):
    network = network_of(READS["kept"], document)
    with torch.no_grad():
        network.joint.mention.output.bias.fill_(-1e4)
    found = inspect(saved(network, tmp_path), document, "cpu")
    assert found.mentions == () and all(one.weight.shape == (0, len(one.slots)) for one in found.of_mentions.values())
