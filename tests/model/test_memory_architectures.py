"""What is read is a setting, and all else stays: each memory architecture, from the scores of a batch to a training."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from model.data import builtin
from model.data.document import Document, to_json
from model.joint.network import Network
from model.loss import joint_loss
from model.predict import Extractor
from model.settings import ExperimentSettings, JerexSettings, LossWeights
from model.training import checkpoint
from tests.model.test_jerex import batch_of, encoded, network_of, spread  # noqa: F401 (a fixture)
from tests.model.test_training import history, overfitted, run_in, small

BESIDE = {
    "key-value": {"kind": "key_value", "slots": 12},
    "recurrent": {"kind": "recurrent", "slots": 5, "segment": 8},
}
"""The memories that no classifier compares with."""
READS = {
    "this memory": {"kind": "inverse"},
    "slot-wise": {"kind": "slot_wise", "combined_by": "mean"},
    **BESIDE,
}
SHAPES = {
    "key size": {"kind": "key_value", "slots": 3, "key_size": 16, "hops": 1},
    "keys by cosine": {"kind": "key_value", "similarity": {"kind": "cosine", "scale": 8.0}, "sites": ["tokens"]},
    "keys, projected": {"kind": "key_value", "hops": 3, "combined_by": "projection"},
    "slot size": {"kind": "recurrent", "slot_size": 16, "segment": 8, "hops": 1},
    "state by dot": {"kind": "recurrent", "similarity": {"kind": "dot"}, "segment": 8, "sites": ["mentions"]},
    "state, projected": {"kind": "recurrent", "combined_by": "projection", "segment": 8},
}
reads = pytest.mark.parametrize("read", READS.values(), ids=READS)
beside = pytest.mark.parametrize("read", BESIDE.values(), ids=BESIDE)


def reading(read: dict | None) -> Network:
    return network_of({"memory": {"read": read}})


def of_the_memory(network: Network) -> dict[str, torch.nn.Parameter]:
    """Parameters that only reading uses."""
    names = ("read.", "external_memory.")
    return {name: p for name, p in network.joint.named_parameters() if name.startswith(names)}


# ------------------------------------------------------------------------------------------------------- what is equal


def test_the_memory_of_the_paper_and_no_memory_have_nothing_beside_those_of_the_categories():
    for read in ({"kind": "inverse"}, {"kind": "slot_wise"}, None):
        assert reading(read).joint.external_memory is None
    assert set(of_the_memory(reading({"kind": "inverse"}))) == {
        f"read.{site}.similarity.{memory}.weight"
        for site in ("tokens", "mentions")
        for memory in ("entity", "relation")
    }


@reads
def test_all_that_does_not_read_is_the_same_in_every_architecture(read):
    network, without = reading(read), reading(None)
    rest = {name: p.shape for name, p in network.joint.named_parameters() if name not in of_the_memory(network)}
    assert rest == {name: p.shape for name, p in without.joint.named_parameters()}


@reads
def test_until_the_warm_up_is_over_every_architecture_is_the_model_without_reads(encoded, read):  # noqa: F811
    network, without = reading(read), reading(None)
    without.joint.load_state_dict(
        {name: p for name, p in network.joint.state_dict().items() if name not in of_the_memory(network)}
    )
    without.encoder.load_state_dict(network.encoder.state_dict())
    batch = batch_of(encoded, network)
    network.joint.reading = False
    scores = network(batch)
    assert torch.equal(scores.relation_QR, without(batch).relation_QR)
    joint_loss(scores, batch.targets, LossWeights()).total.backward()
    assert all(p.grad is None for p in of_the_memory(network).values())
    network.joint.reading = True
    assert not torch.allclose(network(batch).relation_QR, scores.relation_QR)


@beside
def test_no_classifier_is_tied_to_a_memory_beside_those_of_the_categories(encoded, read):  # noqa: F811
    def gradient_of_mentions(read):
        network = reading(read)
        network(batch_of(encoded, network)).mention_S.sum().backward()
        return network.joint.memories["entity"].grad, network.joint.memories["relation"].grad

    assert gradient_of_mentions(read) == (None, None)
    assert all(gradient is not None for gradient in gradient_of_mentions({"kind": "slot_wise"}))


# -------------------------------------------------------------------------------------------------- scores, gradients


@pytest.mark.parametrize("read", [*BESIDE.values(), *SHAPES.values()], ids=[*BESIDE, *SHAPES])
def test_gradients_reach_all_that_reads_and_writes(encoded, read):  # noqa: F811
    network = reading(read)
    batch = batch_of(encoded, network)
    joint_loss(network(batch), batch.targets, LossWeights()).total.backward()
    for name, parameter in of_the_memory(network).items():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


@reads
def test_a_document_scores_alone_as_it_does_in_a_batch_and_depends_on_no_other(encoded, read):  # noqa: F811
    network = spread(reading(read), encoded)
    together = batch_of(encoded, network)
    x_TD = network.encode(together.tokens).detach().requires_grad_()
    scores = network.joint(x_TD, together)
    alone = network(batch_of(encoded[:1], network))
    n_spans, n_subwords = len(alone.mention_S), encoded[0].n_subwords
    torch.testing.assert_close(scores.spans.x_ND[:n_spans], alone.spans.x_ND, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(scores.relation_QR[: len(alone.relation_QR)], alone.relation_QR, rtol=1e-3, atol=1e-3)
    [gradient] = torch.autograd.grad(scores.spans.x_ND[:n_spans].sum() + scores.mention_S[:n_spans].sum(), x_TD)
    assert gradient[:n_subwords].any() and not gradient[n_subwords:].any()


@pytest.mark.parametrize("read", [*READS.values(), *SHAPES.values()], ids=[*READS, *SHAPES])
def test_every_architecture_extracts_the_same_alone_and_in_company(encoded, read):  # noqa: F811
    network = spread(reading(read), encoded)
    together = network.extract(encoded)
    assert any(len(document.entities) > 1 for document in together)
    assert together == [network.extract([document])[0] for document in encoded]


@beside
def test_what_an_input_reads_of_a_memory_sums_to_one_over_its_slots(encoded, read):  # noqa: F811
    network = spread(reading(read), encoded)
    seen = {}
    network.extract(encoded, trace=lambda index, trace: seen.update({index: trace}))
    for index, trace in seen.items():
        assert set(trace.tokens.attention_NK) == set(trace.spans.attention_NK) == {"hop 1", "hop 2"}
        for attention in trace.tokens.attention_NK.values():
            assert attention.shape == (encoded[index].n_subwords, read["slots"])
            torch.testing.assert_close(attention.sum(dim=1), torch.ones(len(attention)))


# --------------------------------------------------------------------------------------------------------- training


@beside
def test_a_memory_that_learns_alone_tells_mentions_from_other_spans(encoded, read):  # noqa: F811
    torch.set_num_threads(1)
    network = spread(reading(read), encoded)
    network.requires_grad_(False)
    learnt = [parameter.requires_grad_() for parameter in of_the_memory(network).values()]
    optimiser = torch.optim.Adam(learnt, lr=2e-2)
    batch = batch_of(encoded[:2], network)
    x_TD = network.encode(batch.tokens)
    for _ in range(60):
        loss = joint_loss(network.joint(x_TD, batch), batch.targets, LossWeights()).mention
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    share = batch.targets.mention_S.mean()
    loss_of_the_share = torch.special.entr(share) + torch.special.entr(1 - share)
    assert loss.item() < 0.8 * loss_of_the_share.item()


@beside
def test_a_seed_gives_one_training_and_an_interrupted_one_goes_on_to_it(tmp_path, read):
    settings = small("model", memory={"read": read, "warmup_proportion": 0.25})

    class Interrupted(Exception):
        pass

    def interrupt(epoch: dict) -> None:
        if epoch["epoch"] == 2:
            raise Interrupted

    whole = run_in(tmp_path / "whole", settings)
    with pytest.raises(Interrupted):
        run_in(tmp_path / "cut", settings, report=interrupt)
    assert run_in(tmp_path / "cut", settings) == whole
    assert history(tmp_path / "cut") == history(tmp_path / "whole")
    run_in(tmp_path / "other", settings, seed=2)
    assert history(tmp_path / "other") != history(tmp_path / "whole")


@reads
def test_a_checkpoint_has_the_memory_and_extracts_what_the_trial_predicted(tmp_path, monkeypatch, read):
    run_in(tmp_path / "trial", small("model", memory={"read": read, "warmup_proportion": 0.0}))
    folder = tmp_path / "trial" / "checkpoint"
    network, _ = checkpoint.load_network(folder)
    assert network.joint.reading and network.settings.memory.read is not None
    assert network.settings.memory.read.kind == read["kind"]
    saved = load_file(folder / "model.safetensors")
    for name, parameter in of_the_memory(network).items():
        assert torch.equal(saved[f"joint.{name}"], parameter)
    predicted = json.loads((tmp_path / "trial" / "predictions" / "test.json").read_text())
    texts = [Document(d["id"], tuple(tuple(s) for s in d["sentences"])) for d in predicted]
    assert [to_json(document) for document in Extractor(folder, device="cpu")(texts)] == predicted


@beside
def test_every_architecture_trains_in_bfloat16(tmp_path, read):
    settings = small("training", precision="bfloat16", epochs=1).model_dump()
    settings["model"]["memory"] = {"read": read, "warmup_proportion": 0.0}
    assert run_in(tmp_path / "trial", ExperimentSettings.model_validate(settings))["reading_at_selected_epoch"]


@reads
def test_every_architecture_overfits_a_few_documents(tmp_path, read):
    settings = ExperimentSettings.model_validate(
        {
            "data": {"name": "builtin", "train": 4, "dev": 1, "test": 1},
            "model": {"encoder": {"name": "random"}, "memory": {"read": read, "warmup_proportion": 0.2}},
            "training": {"epochs": 100, "batch_size": 1, "learning_rate": 3e-3},
        }
    )
    assert overfitted(tmp_path, settings) > 95


# ------------------------------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        (
            {"read": {"kind": "key_value", "key_size": 32, "similarity": {"kind": "dot"}}},
            "memory.read.key_size is 32, but",
        ),
        (
            {"read": {"kind": "recurrent", "slot_size": 32, "similarity": {"kind": "cosine"}}},
            "leave the slot size out or",
        ),
        ({"slot_size": {"relation": 8}, "read": {"kind": "slot_wise", "combined_by": "mean"}}, "combined_by is mean"),
        ({"read": {"kind": "key_value", "memories": ["entity"]}}, "Extra inputs are not permitted"),
        ({"read": {"kind": "key_value", "hops": 0}}, "greater than 0"),
        ({"read": {"kind": "recurrent", "segment": 0}}, "greater than 0"),
    ],
)
def test_a_memory_that_cannot_be_built_is_refused_before_anything_starts(memory, message):
    with pytest.raises(ValueError, match=message):
        JerexSettings.model_validate({"memory": memory})


def test_a_slot_size_of_the_categories_is_no_matter_of_a_memory_beside_them():
    network = network_of(
        {
            "memory": {
                "slot_size": {"entity": 8, "relation": 4},
                "read": {"kind": "key_value", "similarity": {"kind": "dot"}},
            }
        }
    )
    assert network.joint.memories["entity"].shape == (len(builtin.LABELS.entity_types), 8)
