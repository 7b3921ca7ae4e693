"""Flat lists give what padded tensors would."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from model.ragged import BlockLinear, Part, RangeMaximum, Ranges, segment_max, segment_softmax


@given(st.integers(1, 40), st.data())
def test_a_range_maximum_is_the_maximum_of_the_range_to_the_last_bit(n, data):
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(n))
    start = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=10))
    end = [data.draw(st.integers(s + 1, n)) for s in start]
    ranges = Ranges.of(np.array(start), np.array(end), n)
    wanted = torch.stack([x[s:e].amax(dim=0) for s, e in zip(start, end, strict=True)])
    assert torch.equal(RangeMaximum(x, ranges.n_levels)(ranges), wanted)
    assert torch.equal(RangeMaximum(x.requires_grad_(), ranges.n_levels)(ranges), wanted)


def test_the_gradient_of_a_range_maximum_goes_to_the_greatest_item():
    x = torch.tensor([[1.0], [5.0], [3.0], [2.0]], requires_grad=True)
    RangeMaximum(x, 2)(Ranges.of(np.array([0, 2]), np.array([3, 4]), 4)).sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [0.0, 1.0, 1.0, 0.0]


def test_what_is_no_number_is_not_hidden_by_one_that_is():
    for no_number in (torch.nan, -torch.nan, torch.inf - torch.tensor(torch.inf)):
        x = torch.tensor([[1.0], [5.0], [3.0]])
        x[1] = no_number
        ranges = Ranges.of(np.array([0, 2]), np.array([3, 3]), 3)
        for values in (x, x.clone().requires_grad_()):
            assert RangeMaximum(values, 2)(ranges).isnan().flatten().tolist() == [True, False]


def test_an_empty_range_gives_zeros_and_no_gradient():
    x = torch.full((4, 2), -3.0, requires_grad=True)
    found = RangeMaximum(x, 1)(Ranges.of(np.array([2, 0]), np.array([2, 0]), 4))
    assert found.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    found.sum().backward()
    assert x.grad is not None and not x.grad.any()


def test_a_block_linear_layer_is_a_linear_layer_on_the_concatenation():
    blocks, plain = BlockLinear([3, 2, 4], 5), nn.Linear(9, 5)
    blocks.load_state_dict(plain.state_dict())
    a, b, c = torch.randn(4, 3), torch.randn(6, 2), torch.randn(10, 4)
    i, j = torch.randint(4, (10,)), torch.randint(6, (10,))
    torch.testing.assert_close(blocks(Part(a, i), Part(b, j), Part(c)), plain(torch.cat([a[i], b[j], c], dim=1)))


def test_segments_are_reduced_each_by_itself():
    x, segment = torch.tensor([[1.0, 9.0], [4.0, 2.0], [7.0, 7.0]]), torch.tensor([1, 1, 0])
    assert segment_max(x, segment, 2).tolist() == [[7.0, 7.0], [4.0, 9.0]]
    weights = segment_softmax(x, segment, 3)
    torch.testing.assert_close(weights[:2], x[:2].softmax(dim=0))
    assert weights[2].tolist() == [1.0, 1.0]


def test_a_softmax_of_great_scores_does_not_overflow():
    weights = segment_softmax(torch.tensor([[1e4], [1e4 - 1]]), torch.tensor([0, 0]), 1)
    torch.testing.assert_close(weights, torch.tensor([[1.0], [0.0]]).softmax(dim=0))
