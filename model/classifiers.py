"""Types of entities and of pairs: JEREX's linear classifiers, or similarity to the slots of a memory.

Shape letters: N items, D width, K types, M slot size.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from model.memory.similarity import build_similarity
from model.settings import ClassifierSettings, LinearSettings


class SimilarityClassifier(nn.Module):
    """logit_k = S(x, m_k). Its loss writes the memory.

    Source: MRE, section 3.2, Eq. (3) for entity types (softmax) and Eq. (4) for relation types (sigmoid).
    """

    def __init__(self, similarity: nn.Module, memory: str) -> None:
        super().__init__()
        self.similarity = similarity
        self.memory = memory

    def forward(self, x_ND: Tensor, memories: Mapping[str, Tensor]) -> Tensor:
        return self.similarity(x_ND, memories[self.memory])


class LinearClassifier(nn.Module):
    """logit = W x + b, for entity types behind a hidden layer: W dropout(ReLU(U x)) + b.

    Source: JEREX (arXiv 2102.05980), sections 3.3 and 3.4.
    """

    def __init__(self, width: int, n_types: int, dropout: float | None) -> None:
        """`dropout`: that of the hidden layer; None: no hidden layer."""
        super().__init__()
        self.hidden = None if dropout is None else nn.Linear(width, width)
        self.dropout = None if dropout is None else nn.Dropout(dropout)
        self.output = nn.Linear(width, n_types)

    def forward(self, x_ND: Tensor, memories: Mapping[str, Tensor]) -> Tensor:
        if self.hidden is not None and self.dropout is not None:
            x_ND = self.dropout(torch.relu(self.hidden(x_ND)))
        return self.output(x_ND)


def build_classifier(
    settings: ClassifierSettings,
    memory: str,
    memories: Mapping[str, Tensor],
    width: int,
    n_types: int,
    hidden_dropout: float | None,
) -> SimilarityClassifier | LinearClassifier:
    """A classifier into the types of which `memory` holds the slots."""
    if isinstance(settings, LinearSettings):
        return LinearClassifier(width, n_types, hidden_dropout)
    return SimilarityClassifier(build_similarity(settings, width, memories[memory].shape[1]), memory)
