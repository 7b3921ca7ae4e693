"""What the memories of a trained model attend to in a document: the weights of its reads, by word and by mention.

    weight     [inputs, slots]   as the read has them: of an inverse read they sum to 1 over the inputs of the document,
                                 of all others over the slots
    uniform    [inputs]          the weight that an input would have if all inputs (all slots) were alike
    weight / uniform             so 1 is no preference, whatever the length of the document: what a heat map shows

Inputs at the tokens are sub-words. A word has the sum of its sub-words' weights where they sum to 1 over inputs, as it
is attended to through any of them, and their mean where they sum to 1 over slots. Inputs at the mentions are all
candidate spans (the kept ones, where only those are read); given are those that were kept, in the order of the words.

Source: MRE, section 3.1, Eq. (1): A. TriMF (arXiv 2101.10213), section 4.7 and figure 6, shows its sum over the
slots, which scales the inputs of an inverse read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from model.data.document import Document, Mention, to_json
from model.data.labels import Labels
from model.data.subwords import EncodedDocument, encode
from model.joint.jerex import Trace
from model.joint.network import Network, candidates_of
from model.settings import InverseReadSettings, ReadSettings
from model.training.checkpoint import describe, load_network
from model.training.device import resolve_device

Over = Literal["inputs", "slots"]


@dataclass(frozen=True, eq=False)
class Attention:
    """One memory (or one hop of an external memory), read at one site."""

    slots: tuple[str, ...]
    """Entity types, relation types, or numbers."""
    weight: np.ndarray
    """[inputs, slots], float64."""
    uniform: np.ndarray
    """[inputs], float64."""

    def to_json(self) -> dict[str, Any]:
        return {"slots": list(self.slots), "weight": self.weight.tolist(), "uniform": self.uniform.tolist()}


@dataclass(frozen=True, eq=False)
class Inspection:
    """A document, what was found in it, and what the reads attended to on the way."""

    document: Document
    """With its own annotation, which is not looked at."""
    predicted: Document
    read: str
    """Kind of the read."""
    over: Over
    """Over what the weights sum to 1."""
    words: Mapping[str, Attention]
    """Memory → attention of the words; empty where tokens are not read."""
    mentions: tuple[Mention, ...]
    """Those that were found, with the type of their entity, by their place in the text."""
    of_mentions: Mapping[str, Attention]
    """Memory → attention of these mentions; empty where mentions are not read."""
    names: Mapping[str, str]
    """Relation type → a readable name, of those that are identifiers."""

    def to_json(self) -> dict[str, Any]:
        """What `reports.figures.attention` draws."""
        return {
            "document": to_json(self.document),
            "predicted": to_json(self.predicted),
            "read": self.read,
            "over": self.over,
            "words": {memory: one.to_json() for memory, one in self.words.items()},
            "mentions": [{"start": one.start, "end": one.end, "type": one.type} for one in self.mentions],
            "of_mentions": {memory: one.to_json() for memory, one in self.of_mentions.items()},
            "names": dict(self.names),
        }


def inspect(checkpoint: Path, document: Document, device: str = "auto") -> Inspection:
    """Extract from a document, and keep what the reads attended to.

    `checkpoint`: the folder of one. Raises ValueError where it is none, where its model has no reads, and where it is
    of a step before they set in.
    """
    description = describe(checkpoint)
    network, tokenizer = load_network(checkpoint)
    read = network.settings.memory.read
    if read is None:
        raise ValueError(f"the model of {checkpoint} reads no memory (memory.read is null), so it attends to nothing")
    if not network.joint.reading:
        raise ValueError(
            f"the model of {checkpoint} is that of epoch {description['epoch']}, before its reads set in "
            f"(memory.warmup_proportion is {network.settings.memory.warmup_proportion:g}), so it attends to nothing yet"
        )
    network.to(resolve_device(device))
    (encoded,) = encode([document], tokenizer)
    traces: list[Trace] = []
    (predicted,) = network.extract([encoded], trace=lambda _, trace: traces.append(trace))
    return _inspection(network, read, encoded, predicted, traces[0])


def _inspection(
    network: Network, read: ReadSettings, encoded: EncodedDocument, predicted: Document, trace: Trace
) -> Inspection:
    over: Over = "inputs" if isinstance(read, InverseReadSettings) else "slots"
    mentions = tuple(sorted(predicted.mentions()))
    assert trace.tokens is not None and trace.spans is not None
    of_words = {
        memory: _of_words(_slots(memory, network.labels, weight.shape[1]), _array(weight), encoded, over)
        for memory, weight in trace.tokens.attention_NK.items()
    }
    rows = _rows_of(mentions, network, encoded)
    if isinstance(read, InverseReadSettings) and read.normalisation == "kept":
        rows = np.argsort(np.argsort(rows))  # only these were read, in the order of the candidates
    of_mentions = {}
    for memory, weight in trace.spans.attention_NK.items():
        slots, weight_NK = _slots(memory, network.labels, weight.shape[1]), _array(weight)
        share = 1 / max(len(weight_NK), 1) if over == "inputs" else 1 / len(slots)
        of_mentions[memory] = Attention(slots, weight_NK[rows], np.full(len(mentions), share))
    names = network.labels.relation_names
    return Inspection(encoded.document, predicted, read.kind, over, of_words, mentions, of_mentions, names)


def _of_words(slots: tuple[str, ...], weight_TK: np.ndarray, encoded: EncodedDocument, over: Over) -> Attention:
    start = encoded.start[:-1]
    size = np.diff(encoded.start)
    total = np.add.reduceat(weight_TK, start, axis=0)
    if over == "inputs":
        return Attention(slots, total, size / len(weight_TK))
    return Attention(slots, total / size[:, None], np.full(len(start), 1 / len(slots)))


def _rows_of(mentions: Sequence[Mention], network: Network, encoded: EncodedDocument) -> np.ndarray:
    """Where the candidates of these mentions stand among all."""
    words = candidates_of(encoded, network.settings.mention.max_span_size).words_C2
    place = {span: row for row, span in enumerate(map(tuple, words.tolist()))}
    return np.array([place[mention.span] for mention in mentions], dtype=np.int64)


def _slots(memory: str, labels: Labels, n_slots: int) -> tuple[str, ...]:
    if memory == "entity":
        return labels.entity_types
    if memory == "relation":
        return labels.relation_types
    return tuple(f"slot {n}" for n in range(1, n_slots + 1))


def _array(weight: Tensor) -> np.ndarray:
    return weight.double().cpu().numpy()
