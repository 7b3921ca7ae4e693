"""Ordered pairs of entities, and for each the pairs of their mentions that the multi-instance classifier looks at.

Source: JEREX (arXiv 2102.05980), sections 3.4 and 3.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.data.document import Document
from model.data.labels import Labels


def all_pairs(n_entities: int) -> np.ndarray:
    """All ordered pairs of different entities [Q, 2]."""
    head, tail = np.nonzero(~np.eye(n_entities, dtype=bool))
    return np.stack([head, tail], axis=1).astype(np.int64)


def gold_pairs(document: Document, labels: Labels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs with a relation in order of appearance [Q, 2], their multi-hot types [Q, R], and the pairs without [*, 2].

    Equal triples merge.
    """
    types_of: dict[tuple[int, int], list[int]] = {}
    for relation in document.relations:
        types_of.setdefault((relation.head, relation.tail), []).append(labels.relation_index[relation.type])
    positive = np.array(list(types_of), dtype=np.int64).reshape(-1, 2)
    target = np.zeros((len(types_of), len(labels.relation_types)), dtype=np.float32)
    for row, types in enumerate(types_of.values()):
        target[row, types] = 1.0
    n = len(document.entities)
    pairs = all_pairs(n)
    negative = pairs[~np.isin(pairs @ [n, 1], positive @ [n, 1])] if n else pairs
    return positive, target, negative


@dataclass(frozen=True)
class MentionPairs:
    """All pairs (mention of the head, mention of the tail) of entity pairs, entity pair by entity pair.

    K mention pairs: `member` [K, 2] places in the members of all entities, laid end to end; `entity_pair` [K];
    `context` [K, 2] the half-open sub-word range between the two spans, empty ([0, 0)) where they touch or overlap;
    `token_distance` [K] in words; `sentence_distance` [K].
    """

    member: np.ndarray
    entity_pair: np.ndarray
    context: np.ndarray
    token_distance: np.ndarray
    sentence_distance: np.ndarray


def mention_pairs(
    pairs_Q2: np.ndarray,
    members: Sequence[np.ndarray],
    words_S2: np.ndarray,
    subwords_S2: np.ndarray,
    sentence_S: np.ndarray,
) -> MentionPairs:
    """`members`: span indices of each entity; `words_S2`, `subwords_S2`, `sentence_S`: place of each span.

    The token distance runs from the last word of the span that begins earlier (of equal ones: the tail) to the first
    word of the other and is at least 0, so neighbours have 1.
    """
    size = np.array([len(entity) for entity in members], dtype=np.int64)
    offset = np.concatenate([[0], np.cumsum(size)])
    flat = np.concatenate([*members, np.zeros(0, dtype=np.int64)]).astype(np.int64)
    head, tail = pairs_Q2[:, 0], pairs_Q2[:, 1]
    count = size[head] * size[tail]
    entity_pair = np.repeat(np.arange(len(pairs_Q2)), count)
    rank = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    of_tail = size[tail][entity_pair]
    member = np.stack([offset[head][entity_pair] + rank // of_tail, offset[tail][entity_pair] + rank % of_tail], axis=1)
    a, b = flat[member].T

    between = np.where(
        (subwords_S2[a, 1] < subwords_S2[b, 0])[:, None],
        np.stack([subwords_S2[a, 1], subwords_S2[b, 0]], axis=1),
        np.stack([subwords_S2[b, 1], subwords_S2[a, 0]], axis=1),
    )
    context = np.where((between[:, 0] < between[:, 1])[:, None], between, 0)
    head_first = words_S2[a, 0] < words_S2[b, 0]
    second_start = np.where(head_first, words_S2[b, 0], words_S2[a, 0])
    first_end = np.where(head_first, words_S2[a, 1], words_S2[b, 1])
    return MentionPairs(
        member=member,
        entity_pair=entity_pair,
        context=context,
        token_distance=np.maximum(0, second_start - (first_end - 1)),
        sentence_distance=np.abs(sentence_S[a] - sentence_S[b]),
    )
