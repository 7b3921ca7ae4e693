"""Where the sub-words of every word lie, and the windows in which a long document is encoded.

Every word is cut into sub-words on its own, without special tokens, and the pieces of all sentences are joined; a word
that yields nothing becomes one unknown sub-word. Nothing is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model.data.document import Document

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Encoding:
    """What a frozen encoder made of a document."""

    vectors: np.ndarray
    """Of its sub-words, float32 [T, D]."""
    seconds: float
    """That they took."""


@dataclass(frozen=True)
class EncodedDocument:
    """A document as sub-words. Word w is the sub-words [start[w], start[w + 1])."""

    document: Document
    subwords: np.ndarray
    """Ids in the encoder's vocabulary, int32 [T]."""
    start: np.ndarray
    """First sub-word of every word, and their number at the end, int32 [words + 1]."""
    encoding: Encoding | None = None
    """Where the encoder is frozen and need not be asked again."""

    @property
    def n_subwords(self) -> int:
        return len(self.subwords)

    def subword_range(self, words_N2: np.ndarray) -> np.ndarray:
        """Half-open ranges of words as half-open ranges of sub-words."""
        return self.start[words_N2]


def encode(documents: Sequence[Document], tokenizer: PreTrainedTokenizerBase) -> list[EncodedDocument]:
    """The sub-words of documents. `tokenizer` is a fast one: only those tell the word of a sub-word."""
    if not tokenizer.is_fast:
        raise ValueError(f"expected a fast tokenizer, got {type(tokenizer).__name__}")
    unknown = tokenizer.convert_tokens_to_ids(str(tokenizer.unk_token))
    assert isinstance(unknown, int)
    encoded = []
    for document in documents:
        pieces = tokenizer(
            list(document.words), is_split_into_words=True, add_special_tokens=False, truncation=False, verbose=False
        )
        ids: list[list[int]] = [[] for _ in document.words]
        for subword, word in zip(pieces["input_ids"], pieces.word_ids(), strict=True):
            assert word is not None, "no special tokens were asked for"
            ids[word].append(subword)
        for word in ids:
            if not word:
                word.append(unknown)
        start = np.zeros(len(ids) + 1, dtype=np.int32)
        np.cumsum([len(word) for word in ids], out=start[1:])
        encoded.append(EncodedDocument(document, np.array([i for word in ids for i in word], dtype=np.int32), start))
    return encoded


@dataclass(frozen=True)
class Window:
    """Sub-words [start, end) are encoded together; of them [first, last) are taken from this window."""

    start: int
    end: int
    first: int
    last: int


@dataclass(frozen=True)
class Layout:
    """How an encoder takes documents: windows of at most `size` sub-words between marks, filled up with `padding`."""

    size: int
    """Sub-words that are encoded at once, marks not counted."""
    overlap: int | None
    """Sub-words that neighbouring windows share; None: a document has to fit into one."""
    before: tuple[int, ...]
    after: tuple[int, ...]
    padding: int
    padded: bool
    """Whether windows of different lengths are filled up to one batch. A GPU is faster with one; a CPU encodes the
    windows of each length by themselves, and nothing for padding."""

    def windows(self, n_subwords: int) -> list[Window]:
        """The pieces in which a document is encoded. Raises ValueError where it has to fit into one and does not."""
        if self.overlap is not None:
            return windows(n_subwords, self.size, self.overlap)
        if n_subwords > self.size:
            rows = self.size + len(self.before) + len(self.after)
            raise ValueError(
                f"a document has {n_subwords} sub-words, but encoder.positions.rows is {rows}; raise it or use "
                f"positions of kind windows"
            )
        return [Window(0, n_subwords, 0, n_subwords)]


def windows(n_subwords: int, size: int, overlap: int) -> list[Window]:
    """Windows of at most `size` sub-words that share at least `overlap` with their neighbours and cover a document.

    They are of nearly equal length. In an overlap each sub-word is taken from the window in which it has more context
    on its poorer side: up to the middle of the overlap from the left one.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"the overlap of windows is {overlap}, expected at least 0 and less than their size {size}")
    if n_subwords <= size:
        return [Window(0, n_subwords, 0, n_subwords)]
    n_windows = -(-(n_subwords - overlap) // (size - overlap))
    starts = [round(i * (n_subwords - size) / (n_windows - 1)) for i in range(n_windows)]
    cuts = [0, *((right + left + size) // 2 for left, right in zip(starts, starts[1:], strict=False)), n_subwords]
    return [Window(start, start + size, cuts[i], cuts[i + 1]) for i, start in enumerate(starts)]
