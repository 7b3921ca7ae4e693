"""Ordered pairs of mentions, and the edit distances of their strings.

Source: JEREX (arXiv 2102.05980), section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from model.data.document import Document


def edit_distances(texts: Sequence[str]) -> np.ndarray:
    """Levenshtein distances of all pairs of strings, unit costs per code point, case-sensitive: [M, M]."""
    if not texts:
        return np.zeros((0, 0), dtype=np.int64)
    distinct = sorted(set(texts))
    position = {text: i for i, text in enumerate(distinct)}
    index = np.array([position[text] for text in texts])
    return cdist(distinct, distinct, scorer=Levenshtein.distance, dtype=np.int64)[np.ix_(index, index)]


def mention_texts(document: Document, spans_M2: np.ndarray) -> list[str]:
    """The string of a mention is its words joined by one blank.

    The released code takes the words in training but sub-words put back together at inference; here it is the words
    both times.
    """
    return [document.text(start, end) for start, end in spans_M2.tolist()]


def gold_pairs(document: Document, address_M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positive and negative ordered pairs of gold mentions, as addresses [P, 2].

    Positive: distinct mentions of one entity. Negative: mentions of different entities. `address_M` gives the index by
    which each mention is known; with a repeated span a pair may hold one index twice.
    """
    sizes = [len(entity.mentions) for entity in document.entities]
    entity_M = np.repeat(np.arange(len(sizes)), sizes)
    first, second = np.nonzero(~np.eye(len(entity_M), dtype=bool))
    same = entity_M[first] == entity_M[second]
    pairs = np.stack([address_M[first], address_M[second]], axis=1)
    return pairs[same], pairs[~same]


def forward_pairs(n_mentions: int) -> np.ndarray:
    """The pairs (earlier, later) of mentions in candidate order: what decoding needs. [P, 2]"""
    return np.stack(np.triu_indices(n_mentions, k=1), axis=1).astype(np.int64)
