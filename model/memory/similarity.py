"""How similar is an input to a category? S(x, M) of the paper (section 3.2), used to classify and to read.

Shape letters: N inputs, D input width, K categories (slots), M slot size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.settings import BilinearSettings, CosineSettings, DotSettings, SimilaritySettings


class Bilinear(nn.Module):
    """S(x, m) = m · W x, with W stored as [M, D].

    Source: MRE (arXiv 2307.11762), section 3.2, Eq. (5); as W^read also section 3.1, Eq. (1). The paper writes W^write
    as [D, M] and W^read as [M, D].
    """

    def __init__(self, d_input: int, d_memory: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(d_memory, d_input))

    def forward(self, x_ND: Tensor, memory_KM: Tensor) -> Tensor:
        return x_ND @ (memory_KM @ self.weight).T


class Dot(nn.Module):
    """S(x, m) = m · x: no parameters, so D is M."""

    def forward(self, x_ND: Tensor, memory_KM: Tensor) -> Tensor:
        return x_ND @ memory_KM.T


class Cosine(nn.Module):
    """S(x, m) = scale · cos(x, m): no parameters, so D is M. A zero vector has similarity 0 to all."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x_ND: Tensor, memory_KM: Tensor) -> Tensor:
        return self.scale * functional.normalize(x_ND, dim=-1) @ functional.normalize(memory_KM, dim=-1).T


def build_similarity(settings: SimilaritySettings, d_input: int, d_memory: int) -> Bilinear | Dot | Cosine:
    """The similarity that the settings name. Raises ValueError where it cannot compare the two widths."""
    if not isinstance(settings, BilinearSettings) and d_input != d_memory:
        raise ValueError(f"{settings.kind} compares vectors of one width, got {d_input} and {d_memory}")
    match settings:
        case BilinearSettings():
            return Bilinear(d_input, d_memory)
        case DotSettings():
            return Dot()
        case CosineSettings():
            return Cosine(settings.scale)
