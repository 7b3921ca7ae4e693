"""What memories attend to in a document, as heat maps: its words, then the mentions that were found, over the slots.

A column is a word, or a mention; a row is a slot of a memory, an entity type or a relation type. The darker a cell, the
more attention: it is drawn as a multiple of what it would be if all inputs (of reads that attend to slots: all slots)
were alike, on a scale of powers of two, so that documents of different lengths compare. Above the cells is where the
gold mentions are and where some were found. Below an inverse read of several slots stands their mean, which scales the
input. Of a mention the cell of the type that its entity was given has a dot.

Of a long document those sentences are shown that have a mention of an entity with a gold or a found relation, as far as
there is room; of a memory of many slots those of its relations and those that are attended to most.

Source: after TriMF (arXiv 2101.10213), figure 6, which shows the sum over slots as the background of the words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pydantic import ConfigDict, TypeAdapter

from reports.figures.style import PAGE, TALLEST, drawable, sheet, width_of, wrapped, written

_STRICT = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Span:
    """words[start:end]."""

    start: int
    end: int
    type: str

    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Related:
    """Head and tail are indices of entities."""

    head: int
    tail: int
    type: str

    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Text:
    """A document with its annotation, gold or found."""

    id: str
    sentences: list[list[str]]
    entities: list[list[Span]]
    relations: list[Related]

    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Weights:
    """What one memory attends to at one site."""

    slots: list[str]
    weight: list[list[float]]
    """(inputs, slots)."""
    uniform: list[float]
    """(inputs,): the weight of each if all were alike."""

    __pydantic_config__ = _STRICT

    @property
    def multiple(self) -> np.ndarray:
        """(inputs, slots): 1 is no preference."""
        return np.array(self.weight).reshape(-1, len(self.slots)) / np.array(self.uniform).reshape(-1, 1)


@dataclass(frozen=True)
class AttentionMap:
    """A document and the attention in it, as `model.inspection` writes them."""

    document: Text
    predicted: Text
    read: str
    over: Literal["inputs", "slots"]
    """Over what the weights sum to 1."""
    words: dict[str, Weights]
    mentions: list[Span]
    of_mentions: dict[str, Weights]
    names: dict[str, str] = field(default_factory=dict)
    """Type → how it is shown."""
    trial: dict[str, Any] = field(default_factory=dict)
    """Where the model is from."""

    __pydantic_config__ = _STRICT

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> AttentionMap:
        """From what was JSON. Raises ValueError for anything else."""
        return TypeAdapter(cls).validate_python(given)


LABEL = 1.2
LABEL_TEXT = LABEL - 0.06
"""Inches of the labels of rows, and of their text."""
COLUMN = 0.118
ROW = 0.105
BETWEEN = 0.03
"""Inches of a column and of a row, and between the rows of two memories."""
SIZE = 6.2
"""Points of all text."""
LONGEST = 0.75
LONGEST_MENTION = 1.35
"""Inches of a word, and of a mention with its type; a longer one ends in an ellipsis."""
BLOCKS = 5
"""Lines of words, at most; fewer, where there are many slots."""
ALL_UP_TO = 10
SLOTS = 6
"""Slots of a memory that are all shown, and how many are of one that has more."""
LIMITS = (2, 4)
"""Least and greatest power of two at which a cell is black; at its inverse it is white."""


def files(given: AttentionMap, name: str, origin: str) -> dict[str, bytes]:
    """`name.pdf` and `name.png`."""
    return written(name, lambda: draw(given), origin)


def draw(given: AttentionMap) -> Figure:
    """The heat maps, on a page."""
    page = next(page for n in range(BLOCKS, 0, -1) if (page := _Page(given, n)).lay(None) <= TALLEST or n == 1)
    height = page.lay(None)
    figure = sheet(PAGE, height)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, PAGE)
    axes.set_ylim(height, 0)
    page.lay(axes)
    return figure


class _Page:
    """All that is drawn, from the top; `lay` without axes only measures. `blocks`: lines of words, at most."""

    def __init__(self, given: AttentionMap, blocks: int) -> None:
        self.given, self.blocks = given, blocks
        self.text = given.document
        self.room = int((PAGE - LABEL - 0.15) / COLUMN)
        self.sentence_starts = np.cumsum([0, *(len(sentence) for sentence in self.text.sentences)])
        self.words = [word for sentence in self.text.sentences for word in sentence]
        self.lines, self.shown = self._lines()
        inside = {word for number in self.shown for word in self._of_sentence(number)}
        mentions = [n for n, mention in enumerate(given.mentions) if mention.start in inside]
        mentions = mentions[: min(blocks, 2) * self.room]
        self.mention_lines = _chunks(mentions, self.room) if given.of_mentions else []
        self.n_mentions_left_out = len(given.mentions) - sum(map(len, self.mention_lines))
        words = [word for line in self.lines for word in line if word is not None]
        sites = ((given.words, words), (given.of_mentions, mentions))
        self.slots = {
            memory: self._slots(memory, [(of[memory], at) for of, at in sites if memory in of])
            for memory in given.words | given.of_mentions
        }
        self.rows_of_words = list(self._rows(given.words))
        self.rows_of_mentions = list(self._rows(given.of_mentions)) if mentions else []
        of_rows = [row.multiple for row in (*self.rows_of_words, *self.rows_of_mentions)]
        self.power = _power(np.concatenate(of_rows)) if of_rows else LIMITS[0]

    # ------------------------------------------------------------------------------------------------ what is shown

    def _of_sentence(self, number: int) -> range:
        return range(int(self.sentence_starts[number]), int(self.sentence_starts[number + 1]))

    def _lines(self) -> tuple[list[list[int | None]], list[int]]:
        """Words of each line, `None` where a sentence ends inside of it; and the sentences that are shown."""
        every = range(len(self.text.sentences))
        lines = self._filled(every)
        if len(lines) <= self.blocks:
            return lines, list(every)
        chosen: list[int] = []
        for number in self._by_interest():
            tried = sorted([*chosen, number])
            if len(self._filled(tried)) <= self.blocks:
                chosen = tried
        # a single sentence may be longer than the page
        chosen = chosen or list(self._by_interest())[:1]
        return self._filled(chosen)[: self.blocks], chosen

    def _by_interest(self) -> Iterator[int]:
        """Sentences with a mention of an entity with a relation, gold or found, then the others."""
        related = set[int]()
        for text in (self.text, self.given.predicted):
            for entity in {end for relation in text.relations for end in (relation.head, relation.tail)}:
                for mention in text.entities[entity]:
                    related.add(int(np.searchsorted(self.sentence_starts, mention.start, side="right")) - 1)
        every = range(len(self.text.sentences))
        yield from (number for number in every if number in related)
        yield from (number for number in every if number not in related)

    def _filled(self, sentences: Sequence[int]) -> list[list[int | None]]:
        lines: list[list[int | None]] = [[]]
        for number in sentences:
            words = self._of_sentence(number)
            left = self.room - len(lines[-1]) - 1
            # a sentence that would fit on a line of its own is not torn for the last few words of one
            if lines[-1] and (left < 1 or (len(words) > left and len(words) <= self.room and left < 0.4 * self.room)):
                lines.append([])
            if lines[-1]:
                lines[-1].append(None)
            for word in words:
                if len(lines[-1]) == self.room:
                    lines.append([])
                lines[-1].append(word)
        return [line for line in lines if line]

    def _slots(self, memory: str, of_sites: Sequence[tuple[Weights, Sequence[int]]]) -> list[int]:
        """The slots that are shown of a memory, the same at both sites: those of types that are in the document, gold
        or found, and those that are attended to most."""
        names = of_sites[0][0].slots
        if len(names) <= ALL_UP_TO:
            return list(range(len(names)))
        types = {relation.type for text in (self.text, self.given.predicted) for relation in text.relations}
        strongest = np.max([one.multiple[list(at)].max(axis=0, initial=0.0) for one, at in of_sites], axis=0)
        return sorted(sorted(range(len(names)), key=lambda n: (names[n] not in types, -strongest[n]))[:SLOTS])

    def _rows(self, memories: Mapping[str, Weights]) -> Iterator[_Row]:
        for memory, weights in memories.items():
            multiple = weights.multiple
            hop = f"{memory}, " if memory.startswith("hop") else ""
            for place, slot in enumerate(self.slots[memory]):
                name = weights.slots[slot]
                title = hop + self._name(name)
                if width_of(drawable(title), SIZE) > LABEL_TEXT:
                    title = hop + self.given.names.get(name, name)
                yield _Row(title, name, multiple[:, slot], starts=place == 0)
            if self.given.over == "inputs" and len(weights.slots) > 1:
                yield _Row(f"mean of {len(weights.slots)} {memory} types", None, multiple.mean(axis=1))

    def _name(self, slot: str) -> str:
        shown = self.given.names.get(slot)
        return slot if shown is None else shown if shown.replace(" ", "_") == slot else f"{shown} ({slot})"

    # ------------------------------------------------------------------------------------------------- where it goes

    def lay(self, axes: Axes | None) -> float:
        """Draw, and return how far down it goes, in inches."""
        y = self._head(axes, 0.06)
        for line in self.lines:
            y = self._block_of_words(axes, line, y) + 0.1
        if self.mention_lines:
            y = self._said(axes, 0.05, y + 0.08, "mentions that were found, with the type of their entity")
            for line in self.mention_lines:
                y = self._block_of_mentions(axes, line, y + 0.02) + 0.1
        y = self._relations(axes, y)
        return self._scale(axes, y + 0.08) + 0.05

    def _head(self, axes: Axes | None, y: float) -> float:
        shown, n = len(self.shown), len(self.text.sentences)
        of = f"{shown} of {n} sentences" if shown < n else f"{n} sentence{'s' if n > 1 else ''}"
        return (
            self._said(axes, 0.05, y, f"document {self.text.id}, {of}; {self.given.read.replace('_', '-')} read") + 0.05
        )

    def _block_of_words(self, axes: Axes | None, line: Sequence[int | None], y: float) -> float:
        labels = {at: wrapped(self.words[n], LONGEST, SIZE, 1) for at, n in enumerate(line) if n is not None}
        numbers = sorted({self._sentence_of(n) + 1 for n in line if n is not None})
        y = self._columns(axes, labels, y, _from_to("sentence", numbers))
        for title, text, look in (
            ("gold mentions", self.text, {"facecolor": "white", "edgecolor": "black"}),
            ("found mentions", self.given.predicted, {"facecolor": "0.35", "edgecolor": "black"}),
        ):
            self._label(axes, title, y)
            for at, n_words in _spans(text, line):
                _rectangle(
                    axes, self._left(at) + 0.012, y + 0.025, n_words * COLUMN - 0.024, ROW - 0.05, linewidth=0.5, **look
                )
            y += ROW
        return self._cells(axes, self.rows_of_words, list(line), y)

    def _block_of_mentions(self, axes: Axes | None, line: Sequence[int], y: float) -> float:
        of = [self.given.mentions[n] for n in line]
        labels = {at: self._mention(mention) for at, mention in enumerate(of)}
        y = self._columns(axes, labels, y, "")
        bottom = self._cells(axes, self.rows_of_mentions, list(line), y)
        for row, top in self._places(self.rows_of_mentions, y):
            for at, mention in enumerate(of):
                if axes is not None and row.slot == mention.type:
                    dark = float(self._grey(row.multiple[line[at]])) < 0.5
                    place = (self._left(at) + COLUMN / 2, top + ROW / 2)
                    axes.plot(*place, marker="o", markersize=2.0, color="white" if dark else "black", zorder=3)
        return bottom

    def _mention(self, mention: Span) -> str:
        """Its words, which end in an ellipsis before its type does."""
        type_ = drawable(f" · {mention.type}")
        room = max(LONGEST_MENTION - width_of(type_, SIZE), 0.3)
        return wrapped(" ".join(self.words[mention.start : mention.end]), room, SIZE, 1) + type_

    def _relations(self, axes: Axes | None, y: float) -> float:
        """Of the whole document."""
        gold, found = _relations_of(self.text, self.words), _relations_of(self.given.predicted, self.words)
        told = {
            "relations in gold that were found": [gold[one] for one in gold if one in found],
            "in gold, not found": [gold[one] for one in gold if one not in found],
            "found, not in gold": [found[one] for one in found if one not in gold],
        }
        for title, relations in told.items():
            if relations:
                names = [f"{head} → {tail}, {self._name(type_)}" for head, tail, type_ in relations]
                y = self._said(axes, 0.05, y + 0.03, f"{title}: {'; '.join(names)}", lines=2)
        return y

    def _scale(self, axes: Axes | None, y: float) -> float:
        """What the shades mean."""
        width = 0.26
        for at, power in enumerate(range(-self.power, self.power + 1)):
            _rectangle(
                axes, 0.05 + at * width, y, width, ROW, facecolor=self._grey(2.0**power), edgecolor="0.5", linewidth=0.3
            )
            label = f"{2**power}" if power >= 0 else f"1/{2**-power}"
            _text(axes, 0.05 + (at + 0.5) * width, y + ROW + 0.03, label, ha="center", va="top")
        alike = "all inputs of the document" if self.given.over == "inputs" else "all slots"
        said = f"attention, as a multiple of what it would be if {alike} were alike"
        if self.n_mentions_left_out and self.mention_lines:
            said += f"; {self.n_mentions_left_out} mentions are not shown"
        slots = {memory: len(one.slots) for memory, one in (self.given.words | self.given.of_mentions).items()}
        few = [f"{SLOTS} of {n} slots ({memory})" for memory, n in slots.items() if n > ALL_UP_TO]
        said += f"; shown are {', '.join(few)}" if few else ""
        left = 0.05 + (2 * self.power + 1) * width + 0.12
        return max(self._said(axes, left, y, said), y + ROW + 0.13)

    # ------------------------------------------------------------------------------------------------------- pieces

    def _columns(self, axes: Axes | None, labels: Mapping[int, str], y: float, said: str) -> float:
        """Words upright above their columns; returns where the cells begin."""
        bottom = y + max((width_of(label, SIZE) for label in labels.values()), default=0.0) + 0.03
        for at, label in labels.items():
            _text(axes, self._left(at) + COLUMN / 2, bottom - 0.03, label, rotation=90, ha="center", va="bottom")
        _text(axes, LABEL, bottom - 0.03, said, ha="right", va="bottom", color="0.3")
        return bottom

    def _cells(self, axes: Axes | None, rows: Sequence[_Row], inputs: Sequence[int | None], y: float) -> float:
        for row, top in self._places(rows, y):
            self._label(axes, row.title, top)
            for at, n in enumerate(inputs):
                if n is not None:
                    grey = self._grey(row.multiple[n])
                    _rectangle(axes, self._left(at), top, COLUMN, ROW, facecolor=grey, edgecolor="white", linewidth=0.3)
        return max([y, *(top + ROW for _, top in self._places(rows, y))])

    def _places(self, rows: Sequence[_Row], y: float) -> Iterator[tuple[_Row, float]]:
        for row in rows:
            y += BETWEEN if row.starts else 0.0
            yield row, y
            y += ROW

    def _label(self, axes: Axes | None, title: str, top: float) -> None:
        _text(axes, LABEL, top + ROW / 2, wrapped(title, LABEL_TEXT, SIZE, 1), ha="right", va="center")

    def _left(self, column: int) -> float:
        return LABEL + 0.06 + column * COLUMN

    def _sentence_of(self, word: int) -> int:
        return int(np.searchsorted(self.sentence_starts, word, side="right")) - 1

    def _said(self, axes: Axes | None, x: float, y: float, text: str, lines: int | None = None) -> float:
        said = wrapped(text, PAGE - x - 0.05, SIZE, lines)
        _text(axes, x, y, said, ha="left", va="top")
        return y + 0.12 * (said.count("\n") + 1)

    def _shade(self, multiple: float) -> float:
        """From 0, white, to 1, black."""
        if multiple <= 0:
            return 0.0
        return float(np.clip((np.log2(multiple) + self.power) / (2 * self.power), 0, 1))

    def _grey(self, multiple: float) -> str:
        # what is not preferred is the paler half of the greys, so that what is stands out
        return f"{1 - 0.95 * self._shade(multiple) ** 1.4:.3f}"


@dataclass(frozen=True, eq=False)
class _Row:
    """A slot, or the mean of several."""

    title: str
    slot: str | None
    multiple: np.ndarray
    """(inputs,)"""
    starts: bool = False
    """It is the first of a memory."""


def _power(multiple: np.ndarray) -> int:
    """Of the scale: what one cell of a hundred goes beyond is as black as the others."""
    some = multiple[multiple > 0]
    largest = float(np.quantile(np.abs(np.log2(some)), 0.99)) if len(some) else 0.0
    return int(np.clip(np.ceil(largest), *LIMITS))


def _spans(text: Text, line: Sequence[int | None]) -> Iterator[tuple[int, int]]:
    """Column and number of words of each mention, as far as it is on the line."""
    column = {word: at for at, word in enumerate(line) if word is not None}
    for mention in sorted({(one.start, one.end) for entity in text.entities for one in entity}):
        inside = [column[word] for word in range(*mention) if word in column]
        if inside:
            yield min(inside), len(inside)


def _relations_of(text: Text, words: Sequence[str]) -> dict[tuple[Any, ...], tuple[str, str, str]]:
    """What makes a relation the same → names of head and tail, and the type."""
    spans = [frozenset((one.start, one.end) for one in entity) for entity in text.entities]
    names = [" ".join(words[entity[0].start : entity[0].end]) for entity in text.entities]
    return {
        (spans[one.head], spans[one.tail], one.type): (names[one.head], names[one.tail], one.type)
        for one in text.relations
    }


def _from_to(what: str, numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"{what} {numbers[0]}"
    together = numbers[-1] - numbers[0] == len(numbers) - 1
    return f"{what}s {numbers[0]}–{numbers[-1]}" if together else f"{what}s {', '.join(map(str, numbers))}"


def _chunks(items: Sequence[int], size: int) -> list[list[int]]:
    return [list(items[first : first + size]) for first in range(0, len(items), size)]


def _text(axes: Axes | None, x: float, y: float, text: str, **how: Any) -> None:
    if axes is not None:
        axes.text(x, y, text, **{"fontsize": SIZE, **how})


def _rectangle(axes: Axes | None, x: float, y: float, width: float, height: float, **look: Any) -> None:
    if axes is not None:
        axes.add_patch(Rectangle((x, y), width, height, **look))
