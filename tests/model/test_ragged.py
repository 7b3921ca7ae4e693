"""Flat lists give what padded tensors would."""

from __future__ import annotations

import numpy as np
import pytest
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


@pytest.mark.parametrize("with_gradient", [False, True])
def test_a_block_linear_layer_is_a_linear_layer_on_the_concatenation(with_gradient: bool):
    blocks, plain = BlockLinear([1, 3, 4, 2], 5), nn.Linear(10, 5)
    blocks.load_state_dict(plain.state_dict())
    blocks.requires_grad_(with_gradient)
    plain.requires_grad_(with_gradient)
    a, b, c, d = (torch.randn(n, width, requires_grad=with_gradient) for n, width in ((4, 3), (6, 2), (5, 4), (10, 1)))
    of_a, of_b, shared = torch.randint(4, (7,)), torch.randint(6, (7,)), torch.randint(7, (10,))
    of_c = torch.randint(5, (10,))
    with torch.set_grad_enabled(with_gradient):
        known = blocks.sum(Part(1, a, of_a), Part(3, b, of_b))
        found, again = (
            blocks((blocks.sum(Part(0, d)), None), (known, shared), (blocks.sum(Part(2, c)), of_c)) for _ in range(2)
        )
        wanted = plain(torch.cat([d, a[of_a][shared], c[of_c], b[of_b][shared]], dim=1))
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(again, wanted)
    if with_gradient:
        of = torch.randn_like(wanted)
        inputs = [a, b, c, d]
        for layer_found, layer_wanted in zip(
            torch.autograd.grad(found, [*blocks.parameters(), *inputs], of),
            torch.autograd.grad(wanted, [*plain.parameters(), *inputs], of),
            strict=True,
        ):
            torch.testing.assert_close(layer_found, layer_wanted)


def test_each_block_is_given_once_and_as_wide_as_it_is():
    layer = BlockLinear([3, 2], 5)
    a, b = layer.sum(Part(0, torch.zeros(4, 3))), layer.sum(Part(1, torch.zeros(4, 2)))
    with pytest.raises(ValueError, match=r"each of 2 blocks once, got \[0, 0\]"):
        layer((a, None), (a, None))
    with pytest.raises(ValueError, match=r"each of 2 blocks once, got \[1\]"):
        layer((b, None))
    with pytest.raises(ValueError, match="sums have 1 and 4 rows"):
        layer((a, torch.zeros(1, dtype=torch.long)), (b, None))
    with pytest.raises(ValueError, match="block 1 is 2 wide, got a part of 3"):
        layer.sum(Part(1, torch.zeros(4, 3)))


def test_segments_are_reduced_each_by_itself():
    x, segment = torch.tensor([[1.0, 9.0], [4.0, 2.0], [7.0, 7.0]]), torch.tensor([1, 1, 0])
    assert segment_max(x, segment, 2).tolist() == [[7.0, 7.0], [4.0, 9.0]]
    weights = segment_softmax(x, segment, 3)
    torch.testing.assert_close(weights[:2], x[:2].softmax(dim=0))
    assert weights[2].tolist() == [1.0, 1.0]


def test_a_softmax_of_great_scores_does_not_overflow():
    weights = segment_softmax(torch.tensor([[1e4], [1e4 - 1]]), torch.tensor([0, 0]), 1)
    torch.testing.assert_close(weights, torch.tensor([[1.0], [0.0]]).softmax(dim=0))
