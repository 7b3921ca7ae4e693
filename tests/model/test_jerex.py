"""The joint model: what its switches turn off, and that inference does not depend on how documents are grouped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from model import batch as batches
from model.data import builtin
from model.data.subwords import encode
from model.encoder import load_tokenizer, vocabulary_of
from model.joint import jerex
from model.joint.network import Network, candidates_of
from model.loss import joint_loss
from model.memory.slots import memories_in_use
from model.sampling.draw import draw, pool
from model.settings import BuiltinSettings, EncoderSettings, JerexSettings, LossWeights, SamplingSettings

JEREX = {
    "entity": {"classifier": {"kind": "linear"}},
    "relation": {"classifier": {"kind": "linear"}, "type_vectors": {"kind": "learned"}},
    "memory": {"read": None},
}
ENCODER = EncoderSettings(name="random")


@pytest.fixture(scope="module")
def encoded():
    documents, _, _ = builtin.generate(BuiltinSettings(train=5, dev=1, test=1))
    return encode(documents, load_tokenizer(ENCODER))


def network_of(settings: dict) -> Network:
    torch.manual_seed(3)
    full = JerexSettings.model_validate({"encoder": {"name": "random"}, **settings})
    return Network(full, builtin.LABELS, vocabulary_of(load_tokenizer(ENCODER))).eval()


def batch_of(encoded, network: Network, seed: int = 0):
    return batches.collate(
        [
            draw(
                pool(document, builtin.LABELS, network.settings.mention.max_span_size),
                SamplingSettings(),
                np.random.default_rng([seed, i]),
                network.joint.needs_mention_pairs,
            )
            for i, document in enumerate(encoded)
        ],
        network.encoder.layout,
    )


def test_with_all_memory_parts_off_the_model_is_jerex():
    network = network_of(JEREX)
    assert memories_in_use(network.settings) == set()
    assert {name.split(".")[0] for name, _ in network.joint.named_parameters()} == {
        "mention", "coreference", "entity_classifier", "type_vectors", "pairs", "relation_classifier",
    }  # fmt: skip


def test_ours_without_memory_keeps_memories_and_similarity_classifiers_and_reads_nothing():
    network = network_of({"memory": {"read": None}})
    assert set(network.joint.memories.keys()) == {"entity", "relation"}
    assert len(network.joint.read) == 0


def test_during_memory_warm_up_nothing_is_read_and_the_reads_get_no_gradient(encoded):
    network, without = network_of({}), network_of({"memory": {"read": None}})
    without.load_state_dict({k: v for k, v in network.state_dict().items() if ".read." not in k})
    batch = batch_of(encoded, network)
    network.joint.reading = False
    scores = network(batch)
    torch.testing.assert_close(scores.mention_S, without(batch).mention_S)
    joint_loss(scores, batch.targets, LossWeights()).total.backward()
    assert all(p.grad is None for p in network.joint.read.parameters())
    network.joint.reading = True
    joint_loss(network(batch), batch.targets, LossWeights()).total.backward()
    assert all(p.grad is not None for p in network.joint.read.parameters())


@pytest.mark.parametrize(
    "settings",
    [
        JEREX,
        {"relation": {"pairs": {"kind": "global"}}},
        {"memory": {"slot_size": {"entity": 32, "relation": 16}}},
        {"memory": {"read": {"kind": "inverse", "sites": ["tokens"], "normalisation": "rescaled"}}},
        {"memory": {"read": {"kind": "inverse", "normalisation": "kept"}}},
        {"memory": {"read": {"kind": "inverse", "memories": ["relation"], "similarity": {"kind": "cosine"}}}},
        {"memory": {"read": {"kind": "slot_wise", "similarity": {"kind": "dot"}}}},
        {
            "entity": {"classifier": {"kind": "cosine", "scale": 16.0}},
            "relation": {"classifier": {"kind": "dot"}},
        },
    ],
    ids=str,
)
def test_every_setting_trains_and_extracts_the_same_alone_and_in_company(encoded, settings, monkeypatch):
    network = spread(network_of(settings), encoded)
    batch = batch_of(encoded, network)
    losses = joint_loss(network(batch), batch.targets, LossWeights())
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert all(p.grad is not None for p in network.joint.parameters())
    together = network.extract(encoded)
    assert any(len(document.entities) > 1 for document in together)
    assert together == [network.extract([document])[0] for document in encoded]
    monkeypatch.setattr(jerex, "PAIRS_AT_ONCE", 7)
    assert network.extract(encoded) == together


def spread(network: Network, encoded) -> Network:
    """Weights that decide, with scores that rounding does not tip over a threshold; some 15 mentions a document."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.joint.parameters():
            parameter.normal_(std=0.3, generator=generator)
        network.joint.mention.output.bias.fill_(-1000.0)
        tokens = batches.tokens(encoded, network.encoder.layout)
        candidates = [candidates_of(document, 10) for document in encoded]
        found = network.joint.extract(network.encode(tokens), tokens, candidates, lambda b, kept: kept)
        logits = np.sort(np.concatenate([extraction.mention_logit for extraction in found]).astype(float))
        wanted = len(logits) - 15 * len(encoded)
        # in the widest gap near the wanted number
        near = np.diff(logits)[wanted - 20 : wanted + 20]
        at = wanted - 20 + int(near.argmax())
        middle = (logits[at] + logits[at + 1]) / 2 + 1000.0
        network.joint.mention.output.bias.fill_(np.log(0.85 / 0.15) - middle)
    return network


def test_a_document_is_extracted_whatever_its_own_annotation_says(encoded):
    network = spread(network_of({}), encoded)
    blank = [replace(document, document=replace(document.document, entities=(), relations=())) for document in encoded]
    assert network.extract(blank) == network.extract(encoded)


def test_the_attention_of_an_extraction_can_be_looked_at_document_by_document(encoded):
    network = spread(network_of({}), encoded)
    seen = {}
    found = network.extract(encoded, trace=lambda index, trace: seen.update({index: trace}))
    assert sorted(seen) == list(range(len(encoded)))
    assert found == network.extract(encoded)
    for index, trace in seen.items():
        attention = trace.tokens.attention_NK
        assert set(attention) == {"entity", "relation"}
        assert attention["relation"].shape == (encoded[index].n_subwords, len(builtin.LABELS.relation_types))
        torch.testing.assert_close(attention["entity"].sum(dim=0), torch.ones(len(builtin.LABELS.entity_types)))


def test_nothing_found_is_no_entities_and_no_error(encoded):
    network = network_of({"mention": {"threshold": 0.9999}})
    assert all(not document.entities for document in network.extract(encoded))


def test_dot_and_cosine_refuse_a_slot_size_before_anything_is_built():
    with pytest.raises(ValueError, match="slot_size.entity is 32, but entity.classifier is dot"):
        JerexSettings.model_validate(
            {"entity": {"classifier": {"kind": "dot"}}, "memory": {"slot_size": {"entity": 32}}}
        )
    with pytest.raises(ValueError, match="memory.read.similarity is cosine"):
        JerexSettings.model_validate(
            {"memory": {"slot_size": {"relation": 32}, "read": {"kind": "inverse", "similarity": {"kind": "cosine"}}}}
        )


def test_a_read_of_nothing_is_refused():
    with pytest.raises(ValueError, match="read: null"):
        JerexSettings.model_validate({"memory": {"read": {"kind": "inverse", "sites": []}}})
