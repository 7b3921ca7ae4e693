"""The equations of arXiv 2307.11762, with numbers that can be checked by head."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch

from model.batch import owner
from model.memory.read import InverseRead, SlotwiseRead, build_read
from model.memory.similarity import Bilinear, Cosine, Dot, build_similarity
from model.memory.slots import build_external_memory
from model.memory.warmup import first_reading_step
from model.settings import (
    BilinearSettings,
    CosineSettings,
    DotSettings,
    InverseReadSettings,
    ReadSettings,
    SimilaritySettings,
    SlotwiseReadSettings,
)

ONE_DOCUMENT = torch.zeros(2, dtype=torch.long)


def inverse_read(**settings) -> InverseRead:
    memories = {"entity": torch.tensor([[1.0, 0.0]])}
    return InverseRead(InverseReadSettings(similarity=DotSettings(), memories=("entity",), **settings), 2, memories)


def test_inverse_read_scales_an_input_by_the_attention_categories_pay_it():
    # one category; scores ln 3 and 0, so attention 3/4 and 1/4, and factors (1 + 3/4) / 2 and (1 + 1/4) / 2
    x = torch.tensor([[math.log(3), 0.0], [0.0, 1.0]])
    extended = inverse_read()(x, ONE_DOCUMENT, 1, {"entity": torch.tensor([[1.0, 0.0]])})
    torch.testing.assert_close(extended.attention_NK["entity"], torch.tensor([[0.75], [0.25]]))
    torch.testing.assert_close(extended.x_ND, torch.tensor([[0.875 * math.log(3), 0.0], [0.0, 0.625]]))


def test_attention_of_every_category_sums_to_one_over_the_inputs_of_each_document():
    x, document = torch.randn(7, 4), torch.tensor([0, 0, 0, 0, 1, 1, 1])
    memories = {"entity": torch.randn(3, 4), "relation": torch.randn(5, 4)}
    read = InverseRead(InverseReadSettings(similarity=DotSettings()), 4, memories)
    for attention in read(x, document, 2, memories).attention_NK.values():
        torch.testing.assert_close(attention[:4].sum(0), torch.ones(attention.shape[1]))
        torch.testing.assert_close(attention[4:].sum(0), torch.ones(attention.shape[1]))


def test_the_mean_factor_of_the_released_normalisation_falls_with_the_number_of_inputs():
    # (1 + K / n) / 2 for one memory of K slots
    memories = {"entity": torch.randn(6, 4)}
    read = InverseRead(InverseReadSettings(similarity=DotSettings(), memories=("entity",)), 4, memories)
    for n in (3, 230, 3000):
        x = torch.ones(n, 4)
        factor = read(x, torch.zeros(n, dtype=torch.long), 1, memories).x_ND.mean()
        torch.testing.assert_close(factor, torch.tensor((1 + 6 / n) / 2))


@pytest.mark.parametrize("n", [1, 3, 230, 3000])
def test_the_rescaled_normalisation_has_a_mean_gate_of_one_whatever_the_number_of_inputs(n):
    memories = {"entity": torch.randn(6, 4), "relation": torch.randn(9, 4)}
    read = InverseRead(InverseReadSettings(similarity=DotSettings(), normalisation="rescaled"), 4, memories)
    x = torch.randn(n, 4)
    factor = read(x, torch.zeros(n, dtype=torch.long), 1, memories).x_ND / x
    torch.testing.assert_close(factor.mean(), torch.tensor(1.0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("gradient", [True, False])
def test_without_read_gradient_the_losses_do_not_reach_the_memory_through_the_read(gradient):
    memory = torch.randn(3, 4, requires_grad=True)
    settings = InverseReadSettings(memories=("entity",), gradient=gradient)
    read = InverseRead(settings, 4, {"entity": memory})
    for parameter in read.parameters():
        torch.nn.init.normal_(parameter)
    read(torch.randn(5, 4), torch.zeros(5, dtype=torch.long), 1, {"entity": memory}).x_ND.pow(2).sum().backward()
    assert (memory.grad is not None) == gradient
    assert all(parameter.grad is not None for parameter in read.parameters()), "the read itself learns in any case"


def test_a_slot_wise_read_adds_the_mean_of_the_slots_an_input_resembles():
    # scores ln 3 and 0, so r = 3/4 m_0 + 1/4 m_1; U adds r to x
    memories = {"entity": torch.tensor([[math.log(3), 0.0], [0.0, 8.0]])}
    read = SlotwiseRead(SlotwiseReadSettings(similarity=DotSettings(), memories=("entity",)), 2, memories)
    with torch.no_grad():
        read.projection.weight.copy_(torch.tensor([[1.0, 0, 1, 0], [0, 1.0, 0, 1]]))
        read.projection.bias.zero_()
    extended = read(torch.tensor([[1.0, 0.0]]), torch.zeros(1, dtype=torch.long), 1, memories)
    torch.testing.assert_close(extended.x_ND, torch.tensor([[1 + 0.75 * math.log(3), 2.0]]))


def test_bilinear_similarity_is_m_w_x():
    similarity = Bilinear(2, 3)
    with torch.no_grad():
        similarity.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, 1.0], [3.0, 0.0]]))
    # W x = (5, 2, 3) for x = (1, 2)
    score = similarity(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]))
    torch.testing.assert_close(score, torch.tensor([[5.0, 5.0]]))


def test_dot_and_cosine_similarity():
    x, memory = torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(Dot()(x, memory), torch.tensor([[6.0, 0.0]]))
    torch.testing.assert_close(Cosine(scale=10.0)(x, memory), torch.tensor([[6.0, 0.0]]))


@pytest.mark.parametrize("settings", get_args(get_args(SimilaritySettings)[0]), ids=lambda s: s.__name__)
def test_every_similarity_scores_each_input_against_each_category(settings):
    assert build_similarity(settings(), 4, 4)(torch.zeros(6, 4), torch.zeros(5, 4)).shape == (6, 5)


@pytest.mark.parametrize("settings", [DotSettings(), CosineSettings()])
def test_a_similarity_without_weights_refuses_two_widths(settings):
    with pytest.raises(ValueError, match="one width, got 4 and 3"):
        build_similarity(settings, 4, 3)
    assert build_similarity(BilinearSettings(), 4, 3) is not None


@pytest.mark.parametrize("settings", get_args(get_args(ReadSettings)[0]), ids=lambda s: s.__name__)
@pytest.mark.parametrize("similarity", get_args(get_args(SimilaritySettings)[0]), ids=lambda s: s.__name__)
def test_every_read_keeps_the_shape_and_reads_documents_apart(settings, similarity):
    memories = {"entity": torch.randn(3, 4), "relation": torch.randn(5, 4)}
    read = build_read(settings(similarity=similarity()), 4, memories)
    external = build_external_memory(settings(similarity=similarity()), 4)
    for parameter in (*read.parameters(), *(external.parameters() if external else ())):
        torch.nn.init.normal_(parameter)

    def extend(x, lengths):
        read_too = external(x, lengths) if external else {}
        return read(x, owner(lengths), len(lengths), {**memories, **read_too}).x_ND

    x = torch.randn(7, 4)
    together = extend(x, [3, 4])
    assert together.shape == x.shape
    torch.testing.assert_close(together, torch.cat([extend(x[:3], [3]), extend(x[3:], [4])]))


@pytest.mark.parametrize(("proportion", "step"), [(0.0, 0), (0.4, 40), (0.5, 50), (1.0, 100)])
def test_memory_warm_up_is_a_proportion_of_the_training_steps(proportion, step):
    assert first_reading_step(proportion, 100) == step
