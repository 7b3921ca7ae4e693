"""Candidate spans of a document, the gold ones, and the wrong ones drawn for training.

Source: JEREX (arXiv 2102.05980), sections 3.1 and 4 (negative sampling); `model/README.md` lists what is drawn.
"""

from __future__ import annotations

import numpy as np

from model.data.document import Document
from model.data.subwords import EncodedDocument
from model.settings import SamplingSettings


def candidate_spans(document: Document, max_span_size: int) -> np.ndarray:
    """All spans of 1 to `max_span_size` words inside a sentence, as half-open word ranges [C, 2].

    Their order is (sentence, size, start). It matters: coreference is scored from the earlier to the later candidate.
    """
    pieces = []
    for first, last in zip(document.sentence_starts, document.sentence_starts[1:], strict=False):
        for size in range(1, min(max_span_size, last - first) + 1):
            start = np.arange(first, last - size + 1)
            pieces.append(np.stack([start, start + size], axis=1))
    return np.concatenate(pieces).astype(np.int64)


def gold_spans(document: Document) -> np.ndarray:
    """Word ranges of all gold mentions in entity order [M, 2]; a span that is listed twice comes twice."""
    return np.array([mention.span for mention in document.mentions()], dtype=np.int64).reshape(-1, 2)


def first_index(spans_M2: np.ndarray) -> np.ndarray:
    """For each span the first index of an equal one [M]: how repeated gold spans are addressed."""
    first: dict[tuple[int, int], int] = {}
    return np.array(
        [first.setdefault((start, end), i) for i, (start, end) in enumerate(spans_M2.tolist())], dtype=np.int64
    )


def negative_spans(encoded: EncodedDocument, max_span_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Candidates that are no gold span: those that lie inside some gold span, and the rest, as word ranges."""
    candidates = candidate_spans(encoded.document, max_span_size)
    gold = gold_spans(encoded.document)
    if len(gold) == 0:
        return candidates[:0], candidates
    n = encoded.document.n_words + 1
    wrong = candidates[~np.isin(candidates @ [n, 1], gold @ [n, 1])]
    inside = ((wrong[:, None, 0] >= gold[None, :, 0]) & (wrong[:, None, 1] <= gold[None, :, 1])).any(axis=1)
    return wrong[inside], wrong[~inside]


def draw_negative_spans(
    inside: np.ndarray, rest: np.ndarray, settings: SamplingSettings, generator: np.random.Generator
) -> np.ndarray:
    """At most `mention_negatives` wrong spans, at most `inside_share` of them inside gold spans; no replacement."""
    n_inside = min(len(inside), int(settings.mention_negatives * settings.inside_share))
    n_rest = min(len(rest), settings.mention_negatives - n_inside)
    return np.concatenate(
        [
            inside[generator.choice(len(inside), n_inside, replace=False)],
            rest[generator.choice(len(rest), n_rest, replace=False)],
        ]
    )
