"""Memories beside those of the categories: keys and values that are learned, and a state that a document writes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from model.batch import owner
from model.memory.extended import ContentRead
from model.memory.key_value import INITIAL_DEVIATION, KeyValueMemory, KeyValueRead
from model.memory.read import SlotwiseRead
from model.memory.recurrent import RecurrentMemory
from model.settings import DotSettings, KeyValueReadSettings, RecurrentReadSettings, SlotwiseReadSettings

ONE = torch.zeros(1, dtype=torch.long)


# --------------------------------------------------------------------------------------------------------- combinations


def test_the_mean_is_that_of_the_input_and_all_that_it_read():
    # scores ln 3 and 0, so r = 3/4 (ln 3, 0) + 1/4 (0, 8), and y = (x + r) / 2
    memories = {"entity": torch.tensor([[math.log(3), 0.0], [0.0, 8.0]])}
    settings = SlotwiseReadSettings(similarity=DotSettings(), memories=("entity",), combined_by="mean")
    read = SlotwiseRead(settings, 2, memories)
    assert list(read.parameters()) == []
    extended = read(torch.tensor([[1.0, 0.0]]), ONE, 1, memories)
    torch.testing.assert_close(extended.x_ND, torch.tensor([[(1 + 0.75 * math.log(3)) / 2, 1.0]]))


def test_a_mean_of_vectors_of_other_widths_is_refused():
    with pytest.raises(ValueError, match=r"inputs of 4 and read vectors of \[4, 3\]"):
        ContentRead(torch.nn.Identity(), "mean", 4, [4, 3])


def test_a_projection_starts_near_the_identity():
    read = KeyValueRead(KeyValueReadSettings(combined_by="projection"), 4, 4)
    for parameter in read.parameters():
        torch.nn.init.zeros_(parameter)
    read.start_near_identity()
    x = torch.randn(5, 4)
    extended = read(x, owner([5]), 1, {"keys": torch.randn(3, 4), "values": torch.randn(3, 4)})
    torch.testing.assert_close(extended.x_ND, x)


# ---------------------------------------------------------------------------------------------------- key-value memory


def key_value_read(hops: int) -> KeyValueRead:
    return KeyValueRead(KeyValueReadSettings(similarity=DotSettings(), hops=hops), 2, 2)


def test_an_input_takes_up_the_values_under_the_keys_that_it_resembles():
    # scores ln 3 and 0, so 3/4 of (4, 0) and 1/4 of (0, 4), and y = ((1, 0) + (3, 1)) / 2
    memories = {
        "keys": torch.tensor([[math.log(3), 0.0], [0.0, 8.0]]),
        "values": torch.tensor([[4.0, 0.0], [0.0, 4.0]]),
    }
    extended = key_value_read(hops=1)(torch.tensor([[1.0, 0.0]]), ONE, 1, memories)
    torch.testing.assert_close(extended.attention_NK["hop 1"], torch.tensor([[0.75, 0.25]]))
    torch.testing.assert_close(extended.x_ND, torch.tensor([[2.0, 0.5]]))


def test_a_second_hop_asks_with_what_the_first_one_found():
    # the first finds (0, ln 3) under either key; asked with (0, ln 3) the second has scores ln 3 and 0
    memories = {
        "keys": torch.tensor([[0.0, 1.0], [0.0, 0.0]]),
        "values": torch.tensor([[0.0, math.log(3)]]).repeat(2, 1),
    }
    extended = key_value_read(hops=2)(torch.tensor([[0.0, 0.0]]), ONE, 1, memories)
    torch.testing.assert_close(extended.attention_NK["hop 1"], torch.tensor([[0.5, 0.5]]))
    torch.testing.assert_close(extended.attention_NK["hop 2"], torch.tensor([[0.75, 0.25]]))
    torch.testing.assert_close(extended.x_ND, torch.tensor([[0.0, 2 * math.log(3) / 3]]))


def test_each_document_reads_its_own_slots():
    generator = torch.Generator().manual_seed(1)
    x, document = torch.randn(5, 2, generator=generator), torch.tensor([0, 0, 1, 1, 1])
    keys, values = torch.randn(2, 3, 2, generator=generator), torch.randn(2, 3, 2, generator=generator)
    read = key_value_read(hops=2)
    together = read(x, document, 2, {"keys": keys, "values": values})
    for b in (0, 1):
        mine = document == b
        alone = read(x[mine], owner([int(mine.sum())]), 1, {"keys": keys[b], "values": values[b]})
        torch.testing.assert_close(together.x_ND[mine], alone.x_ND)
        for hop, weight in alone.attention_NK.items():
            torch.testing.assert_close(together.attention_NK[hop][mine], weight)


def test_slots_start_apart():
    memory = KeyValueMemory(KeyValueReadSettings(slots=200, key_size=50), 60)
    torch.manual_seed(1)
    memory.draw()
    assert memory.keys.shape == (200, 50) and memory.values.shape == (200, 60)
    for part in (memory.keys, memory.values):
        assert part.std().item() == pytest.approx(INITIAL_DEVIATION, rel=0.05)


# ---------------------------------------------------------------------------------------------------- recurrent memory


def recurrent_memory(width: int = 6, seed: int = 1, **settings) -> RecurrentMemory:
    """With weights that matter, as those of training do."""
    memory = RecurrentMemory(RecurrentReadSettings(**settings), width)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in memory.parameters():
            parameter.normal_(std=0.7, generator=generator)
    return memory


def test_a_slot_takes_up_a_segment_as_far_as_its_gate_opens():
    # one slot with key (1, 0) and one sub-word with z = (0, 2): the gate is σ(0 + 0), the candidate (0, 2)
    memory = RecurrentMemory(RecurrentReadSettings(slots=1), 2)
    with torch.no_grad():
        memory.keys.copy_(torch.tensor([[3.0, 0.0]]))
        for linear, weight in (
            (memory.inputs, torch.eye(2)),
            (memory.state_update, torch.zeros(2, 2)),
            (memory.key_update, torch.zeros(2, 2)),
            (memory.segment_update, torch.eye(2)),
            (memory.values, 5 * torch.eye(2)),
        ):
            linear.weight.copy_(weight)
        memory.segment_update.bias.zero_()
    written = memory(torch.tensor([[0.0, 2.0]]), [1])
    # h = (1, 0) + 1/2 (0, 2), to norm 1
    torch.testing.assert_close(written["keys"], torch.tensor([[[0.5**0.5, 0.5**0.5]]]))
    torch.testing.assert_close(written["values"], torch.tensor([[[5 * 0.5**0.5, 5 * 0.5**0.5]]]))


def by_the_equations(memory: RecurrentMemory, x_TD: torch.Tensor) -> torch.Tensor:
    """The state after one document, slot by slot and segment by segment, as the docstring has it."""
    z = x_TD @ memory.inputs.weight.T
    states = []
    for key in memory.keys:
        state = key / key.norm()
        for start in range(0, len(z), memory.segment):
            part = z[start : start + memory.segment]
            segment = (part @ key).softmax(dim=0) @ part
            gate = torch.sigmoid(segment @ state + segment @ key)
            update = memory.state_update.weight @ state + memory.key_update.weight @ key
            update = update + memory.segment_update.weight @ segment + memory.segment_update.bias
            state = state + gate * functional.prelu(update, memory.activation.weight)
            state = state / state.norm()
        states.append(state)
    return torch.stack(states)


@given(st.lists(st.integers(1, 14), min_size=1, max_size=5), st.integers(1, 6), st.integers(0, 3))
def test_documents_of_any_lengths_write_what_the_equations_say_each_for_itself(lengths, segment, seed):
    memory = recurrent_memory(seed=seed, slots=3, slot_size=4, segment=segment)
    x = torch.randn(sum(lengths), 6, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        written = memory(x, lengths)
        for b, part in enumerate(x.split(lengths)):
            torch.testing.assert_close(written["keys"][b], by_the_equations(memory, part), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(written["values"][b], written["keys"][b] @ memory.values.weight.T)


def test_a_document_knows_nothing_of_another_one():
    memory = recurrent_memory(slots=3, segment=4)
    x = torch.randn(21, 6, generator=torch.Generator().manual_seed(2), requires_grad=True)
    memory(x, [5, 13, 3])["values"][1].pow(2).sum().backward()
    assert x.grad is not None
    of_others = torch.cat([x.grad[:5], x.grad[18:]])
    assert not of_others.any() and x.grad[5:18].abs().sum(dim=1).min() > 0


def test_nothing_is_remembered_between_two_calls():
    memory = recurrent_memory(slots=3, segment=4)
    generator = torch.Generator().manual_seed(3)
    first, other = torch.randn(9, 6, generator=generator), torch.randn(17, 6, generator=generator)
    with torch.no_grad():
        before = memory(first, [9])["keys"]
        memory(other, [17])
        assert torch.equal(memory(first, [9])["keys"], before)


def test_what_comes_first_is_remembered_to_the_end_and_order_matters():
    memory = recurrent_memory(slots=3, segment=4)
    x = torch.randn(12, 6, generator=torch.Generator().manual_seed(4), requires_grad=True)
    forwards = memory(x, [12])["keys"]
    [gradient] = torch.autograd.grad(forwards[0, 0].sum(), x)
    assert gradient[:4].abs().max() > 1e-6
    backwards = memory(torch.cat(x.split(4)[::-1]), [12])["keys"]
    assert (forwards - backwards).abs().max() > 1e-3


def test_the_gradient_has_no_nan_where_a_document_ends_before_another():
    memory = recurrent_memory(slots=3, segment=2)
    memory(torch.randn(9, 6), [1, 8])["values"].sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in memory.parameters() if parameter.grad is not None)
    assert all(parameter.grad is not None for parameter in memory.parameters())


def test_keys_start_with_a_norm_of_one():
    memory = RecurrentMemory(RecurrentReadSettings(slots=100, slot_size=400), 6)
    torch.manual_seed(1)
    memory.draw()
    assert memory.keys.norm(dim=1).mean().item() == pytest.approx(1.0, rel=0.02)
