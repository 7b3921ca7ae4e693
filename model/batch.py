"""Documents of one step as tensors: flat lists of spans, pairs and entities whose indices count over the whole batch.

Shape letters: B documents, T sub-words, S spans, M mentions, P coreference pairs, N entities, Q entity pairs, K mention
pairs, C contexts, R relation types.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from model.data.subwords import EncodedDocument, Layout
from model.ragged import Ranges
from model.sampling.draw import Sample
from model.sampling.relations import MentionPairs

Group = TypeVar("Group")


@dataclass(frozen=True)
class WindowGroup:
    """W windows that are encoded together, the longest of L sub-words, marks counted."""

    ids_WL: Tensor
    real_WL: Tensor | None
    """Whether a place is no padding; None where nothing is padded."""


@dataclass(frozen=True)
class Windows:
    """Sub-words of all documents as an encoder takes them."""

    groups: tuple[WindowGroup, ...]
    taken_T: Tensor
    """Where the sub-words of all documents lie in the windows of all groups, laid end to end."""


@dataclass(frozen=True)
class Tokens:
    """Sub-words of all documents, end to end."""

    size_B: np.ndarray
    """Sub-words of every document."""
    document_T: Tensor
    windows: Windows | None
    """None where nothing is to be encoded."""
    vectors_TD: Tensor | None = None
    """Where they need not be computed, as the encoder is frozen."""

    @property
    def n_documents(self) -> int:
        return len(self.size_B)

    @property
    def n_subwords(self) -> int:
        return int(self.size_B.sum())

    @property
    def offset_B(self) -> np.ndarray:
        """First sub-word of every document."""
        return offsets(self.size_B)


@dataclass(frozen=True)
class Spans:
    """Sub-word ranges of the flat sequence; size in words; the document of each."""

    ranges: Ranges
    size_S: Tensor
    document_S: Tensor


@dataclass(frozen=True)
class CoreferencePairs:
    """Directed pairs of mentions and the edit distances of their strings."""

    first_P: Tensor
    second_P: Tensor
    edit_distance_P: Tensor


@dataclass(frozen=True)
class Entities:
    """The mentions of every entity, end to end: mention `member` belongs to entity `owner`."""

    member: Tensor
    owner: Tensor
    n_entities: int


@dataclass(frozen=True)
class EntityPairs:
    """Ordered pairs of entities."""

    head_Q: Tensor
    tail_Q: Tensor


@dataclass(frozen=True)
class PairMentions:
    """All mention pairs of the entity pairs, with what lies between them: sub-words, and distances.

    A pair and its reverse have as much between them, and mentions are in many pairs, so there are C different contexts
    for the K pairs. Head and tail are places in `Entities.member`, so that they tell mention and entity.
    """

    head_K: Tensor
    tail_K: Tensor
    entity_pair_K: Tensor
    context_K: Tensor
    """Index of the context."""
    contexts: Ranges
    """[C]"""
    token_distance_C: Tensor
    sentence_distance_C: Tensor


@dataclass(frozen=True)
class Targets:
    """Gold answers. `mention_S`, `coreference_P` and `relation_QR` are 0 or 1."""

    mention_S: Tensor
    coreference_P: Tensor
    entity_type_N: Tensor
    relation_QR: Tensor


@dataclass(frozen=True)
class Batch:
    """One training step."""

    tokens: Tokens
    spans: Spans
    gold_M: Tensor
    """Which of the spans are gold mentions. What follows is about mentions only, and indexes this list."""
    coreference: CoreferencePairs
    entities: Entities
    entity_pairs: EntityPairs
    pair_mentions: PairMentions | None
    targets: Targets


def to(group: Group, device: torch.device) -> Group:
    """The same with all tensors on the device.

    They travel in one piece through pinned memory, so that nobody waits: some twenty small copies, each pinned by
    itself, take longer than the step of a small network.
    """
    if device.type == "cpu":
        return group
    flat = list(_tensors(group))
    here = pack(flat, pinned=device.type == "cuda")
    moved = iter(unpack(here.to(device, non_blocking=True), flat))
    return _with_tensors(group, moved)


_ALIGNMENT = 16
"""Bytes at which each tensor of a pack begins, so that it can be seen as any type."""


def pack(tensors: Sequence[Tensor], pinned: bool) -> Tensor:
    """The bytes of several tensors of the CPU, one after another."""
    packed = torch.empty(sum(map(_packed_bytes, tensors)), dtype=torch.uint8, pin_memory=pinned)
    for tensor, place in zip(tensors, unpack(packed, tensors), strict=True):
        place.copy_(tensor)
    return packed


def unpack(packed: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Tensors with the shapes and types of those that were packed, which share the memory of the pack."""
    tensors = []
    start = 0
    for tensor in like:
        end = start + tensor.numel() * tensor.element_size()
        tensors.append(packed[start:end].view(tensor.dtype).view(tensor.shape))
        start += _packed_bytes(tensor)
    return tensors


def _packed_bytes(tensor: Tensor) -> int:
    return -(-tensor.numel() * tensor.element_size() // _ALIGNMENT) * _ALIGNMENT


def _tensors(group: Any) -> Iterator[Tensor]:
    if isinstance(group, Tensor):
        yield group
    elif isinstance(group, tuple):
        for value in group:
            yield from _tensors(value)
    elif is_dataclass(group):
        for field in fields(group):
            yield from _tensors(getattr(group, field.name))


def _with_tensors(group: Any, tensors: Iterator[Tensor]) -> Any:
    """The same with other tensors, in the order of `_tensors`."""
    if isinstance(group, Tensor):
        return next(tensors)
    if isinstance(group, tuple):
        return tuple(_with_tensors(value, tensors) for value in group)
    if is_dataclass(group) and not isinstance(group, type):
        values = {field.name: _with_tensors(getattr(group, field.name), tensors) for field in fields(group)}
        return type(group)(**values)
    return group


def tokens(documents: Sequence[EncodedDocument], layout: Layout) -> Tokens:
    """Laid out for an encoder, unless the vectors of all documents are there already."""
    encodings = [document.encoding for document in documents if document.encoding is not None]
    size_B = np.array([document.n_subwords for document in documents], dtype=np.int64)
    if len(encodings) == len(documents):
        vectors_TD = torch.from_numpy(np.concatenate([encoding.vectors for encoding in encodings]))
        return Tokens(size_B, owner(size_B), None, vectors_TD)
    return Tokens(size_B, owner(size_B), windows([document.subwords for document in documents], layout))


def windows(ids: Sequence[np.ndarray], layout: Layout) -> Windows:
    """Cut each document into windows, and put these together as the layout wants."""
    pieces = [(document, window) for document in ids for window in layout.windows(len(document))]
    n_before, n_marks = len(layout.before), len(layout.before) + len(layout.after)
    length_W = np.array([window.end - window.start + n_marks for _, window in pieces])
    together = (
        [np.arange(len(pieces))] if layout.padded else [np.flatnonzero(length_W == n) for n in np.unique(length_W)]
    )
    groups = []
    start_W = np.zeros(len(pieces), dtype=np.int64)
    end = 0
    for members in together:
        longest = int(length_W[members].max())
        ids_WL = np.full((len(members), longest), layout.padding, dtype=np.int64)
        for row, w in enumerate(members.tolist()):
            document, window = pieces[w]
            ids_WL[row, : length_W[w]] = [*layout.before, *document[window.start : window.end], *layout.after]
        real_WL = np.arange(longest) < length_W[members, None]
        groups.append(WindowGroup(torch.from_numpy(ids_WL), None if real_WL.all() else torch.from_numpy(real_WL)))
        start_W[members] = end + longest * np.arange(len(members)) + n_before
        end += ids_WL.size
    taken = [
        start + np.arange(window.first - window.start, window.last - window.start)
        for start, (_, window) in zip(start_W, pieces, strict=True)
    ]
    return Windows(tuple(groups), torch.from_numpy(np.concatenate(taken)))


def offsets(sizes: Iterable[int]) -> np.ndarray:
    """Where each of several lists begins when they are joined."""
    sizes = np.array(list(sizes), dtype=np.int64)
    return np.cumsum(sizes) - sizes


def owner(sizes: Sequence[int] | np.ndarray) -> Tensor:
    """Which of several lists an item belongs to when they are joined."""
    return torch.from_numpy(np.repeat(np.arange(len(sizes)), np.array(sizes, dtype=np.int64)))


def joined(parts: Sequence[np.ndarray], shift: Sequence[int] | np.ndarray | None = None) -> Tensor:
    """Lists of several documents end to end, each shifted by where its items begin."""
    shift = np.zeros(len(parts), dtype=np.int64) if shift is None else shift
    return torch.from_numpy(np.concatenate([part + by for part, by in zip(parts, shift, strict=True)]).astype(np.int64))


def distinct_rows(rows_KF: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows of whole numbers from 0, and the index of each row among them.

    As `numpy.unique` over rows, which compares them one by one; here each row becomes one number.
    """
    radix_F = rows_KF.max(axis=0, initial=0) + 1
    assert np.log2(radix_F.astype(float)).sum() < 63
    scale_F = np.cumprod([1, *radix_F[:-1]])
    _, first, index = np.unique(rows_KF @ scale_F, return_index=True, return_inverse=True)
    return rows_KF[first], index


def spans(words: Sequence[np.ndarray], subwords: Sequence[np.ndarray], tokens: Tokens) -> Spans:
    """From the word and sub-word ranges of each document's spans."""
    start, end = joined(subwords, tokens.offset_B).numpy().T
    return Spans(
        ranges=Ranges.of(start, end, tokens.n_subwords),
        size_S=joined([w[:, 1] - w[:, 0] for w in words]),
        document_S=owner([len(w) for w in words]),
    )


def coreference_pairs(
    pairs: Sequence[np.ndarray], edit_distances: Sequence[np.ndarray], mention_offset_B: np.ndarray
) -> CoreferencePairs:
    both = joined(pairs, mention_offset_B)
    return CoreferencePairs(both[:, 0], both[:, 1], joined(edit_distances))


def entities(members: Sequence[Sequence[np.ndarray]], mention_offset_B: np.ndarray) -> Entities:
    """`members`: of each document, the mentions of each entity."""
    flat = [entity + by for document, by in zip(members, mention_offset_B, strict=True) for entity in document]
    return Entities(
        torch.from_numpy(np.concatenate([*flat, np.zeros(0)]).astype(np.int64)),
        owner([len(x) for x in flat]),
        len(flat),
    )


def entity_pairs(pairs: Sequence[np.ndarray], entity_offset_B: np.ndarray) -> EntityPairs:
    both = joined(pairs, entity_offset_B)
    return EntityPairs(both[:, 0], both[:, 1])


def pair_mentions(
    parts: Sequence[MentionPairs],
    member_offset_B: np.ndarray,
    pair_offset_B: np.ndarray,
    token_offset_B: np.ndarray,
    n_subwords: int,
) -> PairMentions:
    between_K4 = np.concatenate(
        [
            np.column_stack([part.context + by, part.token_distance, part.sentence_distance])
            for part, by in zip(parts, token_offset_B, strict=True)
        ]
    )
    between_C4, context = distinct_rows(between_K4)
    member = joined([part.member for part in parts], member_offset_B)
    return PairMentions(
        head_K=member[:, 0],
        tail_K=member[:, 1],
        entity_pair_K=joined([part.entity_pair for part in parts], pair_offset_B),
        context_K=torch.from_numpy(context),
        contexts=Ranges.of(between_C4[:, 0], between_C4[:, 1], n_subwords),
        token_distance_C=torch.from_numpy(between_C4[:, 2]),
        sentence_distance_C=torch.from_numpy(between_C4[:, 3]),
    )


def collate(samples: Sequence[Sample], layout: Layout) -> Batch:
    """Join the samples of several documents, laid out for an encoder."""
    token = tokens([sample.encoded for sample in samples], layout)
    # gold mentions are the first spans of each document
    n_mentions = [int(sample.mention_target_S.sum()) for sample in samples]
    mention_offset = offsets(n_mentions)
    gold = joined([np.arange(n) for n in n_mentions], offsets(len(sample.span_words_S2) for sample in samples))
    entity_offset = offsets(len(sample.members) for sample in samples)
    pair_offset = offsets(len(sample.entity_pair_Q2) for sample in samples)
    found = [sample.mention_pairs for sample in samples if sample.mention_pairs is not None]
    member_offset = offsets(sum(map(len, sample.members)) for sample in samples)
    mentions = pair_mentions(found, member_offset, pair_offset, token.offset_B, token.n_subwords) if found else None
    return Batch(
        tokens=token,
        spans=spans(
            [sample.span_words_S2 for sample in samples],
            [sample.span_subwords_S2 for sample in samples],
            token,
        ),
        gold_M=gold,
        coreference=coreference_pairs(
            [sample.coreference_P2 for sample in samples],
            [sample.edit_distance_P for sample in samples],
            mention_offset,
        ),
        entities=entities([sample.members for sample in samples], mention_offset),
        entity_pairs=entity_pairs([sample.entity_pair_Q2 for sample in samples], entity_offset),
        pair_mentions=mentions,
        targets=Targets(
            mention_S=torch.from_numpy(np.concatenate([s.mention_target_S for s in samples])).float(),
            coreference_P=torch.from_numpy(np.concatenate([s.coreference_target_P for s in samples])).float(),
            entity_type_N=joined([sample.entity_type_N for sample in samples]),
            relation_QR=torch.from_numpy(np.concatenate([sample.relation_target_QR for sample in samples])),
        ),
    )
