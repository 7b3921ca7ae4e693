"""Batches: laid out for a device, moved in one piece, made beside the training."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from model import batch as batches
from model.data import builtin
from model.data.subwords import encode
from model.encoder import Encoder, load_tokenizer, vocabulary_of
from model.sampling.draw import draw, pool
from model.settings import BuiltinSettings, EncoderSettings, SamplingSettings, TrainingSettings
from model.training.feed import feed
from model.training.step import check_norms

ENCODER = EncoderSettings(name="random", special_tokens=True)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(ENCODER, vocabulary_of(load_tokenizer(ENCODER))).eval()


@pytest.fixture(scope="module")
def pools():
    documents, _, _ = builtin.generate(BuiltinSettings(train=7, dev=1, test=1))
    return [pool(document, builtin.LABELS, 10) for document in encode(documents, load_tokenizer(ENCODER))]


def test_windows_are_encoded_alike_filled_up_or_length_by_length(encoder):
    ids = [np.arange(5, 5 + n) % 200 for n in (30, 700, 30, 254, 120)]  # the second one in several windows
    apart, together = (replace(encoder.layout, padded=padded) for padded in (False, True))
    assert not encoder.layout.padded  # on a CPU
    by_length, filled = batches.windows(ids, apart), batches.windows(ids, together)
    assert len(filled.groups) == 1 and len(by_length.groups) == 3
    assert all(group.real_WL is None for group in by_length.groups)
    with torch.no_grad():
        torch.testing.assert_close(encoder(by_length), encoder(filled), rtol=1e-4, atol=1e-5)
        one_by_one = torch.cat([encoder(batches.windows([one], apart)) for one in ids])
        torch.testing.assert_close(encoder(by_length), one_by_one, rtol=1e-4, atol=1e-5)


def test_a_mask_that_is_taken_as_it_is_masks_as_one_that_is_looked_at(encoder):
    group = batches.windows([np.arange(5, 105), np.arange(5, 65)], replace(encoder.layout, padded=True)).groups[0]
    assert group.real_WL is not None and encoder._mask(group).shape == (2, 1, 1, 102)
    with torch.no_grad():
        taken = encoder.transformer(input_ids=group.ids_WL, attention_mask=encoder._mask(group)).last_hidden_state
        looked = encoder.transformer(input_ids=group.ids_WL, attention_mask=group.real_WL.long()).last_hidden_state
    torch.testing.assert_close(taken[group.real_WL], looked[group.real_WL])


def test_tensors_of_any_type_come_out_of_a_pack_as_they_went_in():
    tensors = [
        torch.arange(5), torch.tensor([True, False, True]), torch.zeros(0, 3), torch.randn(3, 2).T,
        torch.arange(3, dtype=torch.int32), torch.tensor(2.5, dtype=torch.float64),
    ]  # fmt: skip
    for before, after in zip(tensors, batches.unpack(batches.pack(tensors, pinned=False), tensors), strict=True):
        assert torch.equal(before, after) and before.dtype == after.dtype


def test_a_batch_goes_to_another_device_whole(encoder, pools):
    samples = [draw(one, SamplingSettings(), np.random.default_rng(0), True) for one in pools[:2]]
    batch = batches.collate(samples, replace(encoder.layout, padded=True))
    moved = batches.to(batch, torch.device("meta"))
    there, here = list(batches._tensors(moved)), list(batches._tensors(batch))
    assert len(there) == len(here) > 20
    for one, other in zip(there, here, strict=True):
        assert (one.device.type, one.shape, one.dtype) == ("meta", other.shape, other.dtype)
    assert moved.tokens.size_B is batch.tokens.size_B and moved.spans.ranges.n_levels == batch.spans.ranges.n_levels


def fed(pools, encoder, device):
    return feed(
        pools, TrainingSettings(batch_size=2), 1, 3, layout=encoder.layout, with_mention_pairs=True, device=device
    )


def test_batches_made_beside_the_training_are_those_made_within_it(encoder, pools):
    within = list(fed(pools, encoder, torch.device("cpu")))
    beside = list(fed(pools, encoder, torch.device("meta")))
    assert len(within) == len(beside) == 4
    for one, other in zip(within, beside, strict=True):
        assert one.tokens.size_B.tolist() == other.tokens.size_B.tolist()
        assert [x.shape for x in batches._tensors(one)] == [x.shape for x in batches._tensors(other)]


def test_who_stops_early_leaves_no_thread_and_a_fault_is_raised_where_the_batch_is_wanted(encoder, pools):
    making = fed(pools, encoder, torch.device("meta"))
    next(making)
    assert any(thread.name.startswith("batches") for thread in threading.enumerate())
    making.close()
    assert not any(thread.name.startswith("batches") for thread in threading.enumerate())
    with pytest.raises(AttributeError):
        list(fed([*pools, None], encoder, torch.device("meta")))


def test_a_norm_that_is_not_finite_is_told_with_its_step():
    check_norms([], 4)
    check_norms([torch.tensor(1.0)], 4)
    with pytest.raises(FloatingPointError, match="nan in step 6: lower the learning rate"):
        check_norms([torch.tensor(1.0), torch.tensor(float("nan")), torch.tensor(1.0)], 7)
