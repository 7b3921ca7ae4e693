"""Encoder and joint model together: documents in, scores or Documents out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model import batch as batches
from model.batch import Batch, Tokens
from model.data.document import Document
from model.data.labels import Labels
from model.data.subwords import EncodedDocument
from model.decoding.documents import to_document
from model.encoder import Encoder
from model.joint.jerex import Candidates, Jerex, Scores, Trace
from model.sampling.coreference import edit_distances, mention_texts
from model.sampling.spans import candidate_spans
from model.settings import JerexSettings

DOCUMENTS_AT_ONCE = 8
"""Documents that are encoded together at inference: no effect on results beyond rounding."""


class Network(nn.Module):
    """What is trained, saved and used: an encoder and the joint model on it."""

    def __init__(
        self, settings: JerexSettings, labels: Labels, vocabulary: dict[str, Any], encoder: dict[str, Any] | None = None
    ) -> None:
        """`encoder`: configuration of an encoder whose weights will be loaded; None: the pretrained one."""
        super().__init__()
        self.settings = settings
        self.labels = labels
        self.encoder = Encoder(settings.encoder, vocabulary, encoder)
        self.joint = Jerex(settings, self.encoder.width, len(labels.entity_types), len(labels.relation_types))

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def encode(self, tokens: Tokens) -> Tensor:
        """Vectors of the sub-words of all documents: x_TD."""
        if tokens.vectors_TD is not None:
            return tokens.vectors_TD
        assert tokens.windows is not None
        return self.encoder(tokens.windows)

    def forward(self, batch: Batch) -> Scores:
        """Scores of one training step."""
        return self.joint(self.encode(batch.tokens), batch)

    @torch.no_grad()
    def extract(
        self,
        documents: Sequence[EncodedDocument],
        progress: Callable[[int], None] = lambda done: None,
        trace: Callable[[int, Trace], None] | None = None,
        clock: Callable[[int, float], None] | None = None,
        at_once: int = DOCUMENTS_AT_ONCE,
    ) -> list[Document]:
        """Find entities and relations; what a document says of its own is not looked at.

        `progress` is told the number of documents done. `trace` is given what lies between the steps, and `clock` the
        seconds from sub-words to Document, by the document's index: either has documents extracted one at a time. On a
        CPU they are CPU time, of all threads, which other trials on the machine hardly change. `at_once`: documents
        that are encoded together; changes no result beyond rounding.
        """
        assert not self.training, "dropout is on: call eval() first"
        found: dict[int, Document] = {}
        # alike lengths together, the longest first: little padding, and too little memory shows at once
        order = sorted(range(len(documents)), key=lambda i: -documents[i].n_subwords)
        now = time.process_time if self.device.type == "cpu" else time.perf_counter
        if trace is not None or clock is not None:
            at_once = 1
        for start in range(0, len(order), at_once):
            started = now()
            indices = order[start : start + at_once]
            group = [documents[i] for i in indices]
            candidates = [candidates_of(document, self.settings.mention.max_span_size) for document in group]
            tokens = batches.tokens(group, self.encoder.layout)
            tokens = batches.to(tokens, self.device)
            within = None if trace is None else Trace()
            extractions = self.joint.extract(
                self.encode(tokens), tokens, candidates, _word_distances(group, candidates), within
            )
            if trace is not None and within is not None:
                trace(indices[0], within)
            for i, document, spans, extraction in zip(indices, group, candidates, extractions, strict=True):
                found[i] = to_document(document.document, spans, extraction, self.labels)
            if clock is not None:
                before = group[0].encoding.seconds if group[0].encoding is not None else 0.0
                clock(indices[0], before + now() - started)
            progress(len(found))
        return [found[i] for i in range(len(documents))]


def candidates_of(encoded: EncodedDocument, max_span_size: int) -> Candidates:
    """All spans of a document that inference looks at."""
    words = candidate_spans(encoded.document, max_span_size)
    sentence = np.array(encoded.document.sentence_of)[words[:, 0]]
    return Candidates(words, encoded.subword_range(words), sentence)


def _word_distances(
    group: Sequence[EncodedDocument], candidates: Sequence[Candidates]
) -> Callable[[int, np.ndarray], np.ndarray]:
    def distances(b: int, kept: np.ndarray) -> np.ndarray:
        return edit_distances(mention_texts(group[b].document, candidates[b].words_C2[kept]))

    return distances
