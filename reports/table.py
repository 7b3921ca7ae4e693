"""A table before it is LaTeX or Markdown: what stands where, which cell is best, and what has to be said about it.

All text is plain Unicode (±, †, Δ); each renderer writes it in its own way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

PERCENT_DECIMALS = 2
"""As the papers print F1."""
MOST_DECIMALS = 6


@dataclass(frozen=True)
class Score:
    """Mean ± standard deviation over the `n` finished of `n_declared` seeds."""

    mean: float | None
    sd: float | None
    n: int
    n_declared: int
    best: bool = False
    starred: bool = False
    """It differs from its baseline, by the test that the caption names."""
    bare: bool = False
    """Printed without its standard deviation, for want of room."""

    @property
    def has_spread(self) -> bool:
        return self.n_declared > 1 and not self.bare

    @property
    def incomplete(self) -> bool:
        return self.n < self.n_declared

    @property
    def ranked(self) -> float | None:
        """What it competes with for the best of its column. Seeds that are missing may be the ones that failed to
        learn, so a mean without them competes for nothing."""
        return None if self.incomplete else self.mean


@dataclass(frozen=True)
class Single:
    """One trial's score: the seed that is best on dev."""

    value: float | None
    incomplete: bool = False
    best: bool = False

    @property
    def ranked(self) -> float | None:
        return None if self.incomplete else self.value


@dataclass(frozen=True)
class Difference:
    """Difference of two means, shown with its sign; incomplete if one of the two is."""

    value: float | None
    incomplete: bool = False
    starred: bool = False
    """It is one, by the test that the caption names."""
    decimals: int | None = None
    """`None`: those of its column."""


@dataclass(frozen=True)
class Interval:
    """Of a difference, at the level that the caption names; shown with signs."""

    low: float | None
    high: float | None
    decimals: int | None = None
    """`None`: those of its column."""


@dataclass(frozen=True)
class Probability:
    """A p, from 0 to 1, printed with three decimals; below 0.001 as that."""

    value: float | None


@dataclass(frozen=True)
class Plain:
    """A number that is neither ranked nor has a spread: an effect size, a number of items."""

    value: float | None
    decimals: int = PERCENT_DECIMALS
    sign: bool = False


@dataclass(frozen=True)
class Said:
    """Words."""

    text: str


@dataclass(frozen=True)
class Quoted:
    """A number from a publication."""

    value: float | None


@dataclass(frozen=True)
class Count:
    """Finished seeds."""

    n: int
    n_declared: int

    @property
    def incomplete(self) -> bool:
        return self.n < self.n_declared


Cell = Score | Single | Difference | Quoted | Count | Interval | Probability | Plain | Said


def marks(cell: Cell) -> str:
    """What stands raised behind a cell: * differs from the baseline, † fewer seeds than declared."""
    starred = isinstance(cell, Score | Difference) and cell.starred
    incomplete = isinstance(cell, Score | Single | Difference | Count) and cell.incomplete
    return ("*" if starred else "") + ("†" if incomplete else "")


def probability(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


@dataclass(frozen=True)
class Column:
    title: str
    over: str | None = None
    """Title that it shares with its neighbours."""
    decimals: int = PERCENT_DECIMALS
    better: Literal["higher", "lower", "neither"] = "higher"
    """Which of its values is marked as best."""
    words: bool = False
    """It holds words, which stand to the left."""


def decimals_in(cell: Cell, column: Column) -> int:
    own = cell.decimals if isinstance(cell, Difference | Interval) else None
    return column.decimals if own is None else own


@dataclass(frozen=True)
class Row:
    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Section:
    """Rows that are ranked among themselves, under a title if there are several sections."""

    title: str | None
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """Everything that a table says. `warnings` are what a reader must not miss; they stand in the caption."""

    label: str
    caption: str
    warnings: tuple[str, ...]
    explanations: tuple[str, ...]
    stub: str
    """Title of the row labels."""
    columns: tuple[Column, ...]
    sections: tuple[Section, ...]
    notes: tuple[str, ...]
    origin: tuple[str, ...]
    """Lines that tell where the numbers come from."""


def four_digits(values: Iterable[float]) -> int:
    """Decimals with which the largest of the values, as F1 in percent, has four digits."""
    largest = max((abs(value) for value in values), default=0.0)
    return min(max(3 - math.floor(math.log10(largest)), 0), MOST_DECIMALS) if largest else PERCENT_DECIMALS


def number(value: float, decimals: int, *, sign: bool = False) -> str:
    """As it is printed. A difference that rounds to nothing has no sign."""
    text = f"{value:+.{decimals}f}" if sign else f"{value:.{decimals}f}"
    return text.lstrip("+-") if float(text) == 0.0 else text


def signed(value: float, decimals: int) -> str:
    """With its sign, a minus as it is set."""
    return number(value, decimals, sign=True).replace("-", "−")


def mark_best(section: Section, columns: tuple[Column, ...]) -> Section:
    """Mark the best of each column, all of those that print the same; nothing where all print the same."""
    marked = []
    for column, cells in zip(columns, zip(*(row.cells for row in section.rows), strict=True), strict=True):
        ranked = [cell.ranked for cell in cells if isinstance(cell, Score | Single) and cell.ranked is not None]
        several = len({number(value, column.decimals) for value in ranked}) > 1
        best = None
        if several and column.better != "neither":
            best = number(max(ranked) if column.better == "higher" else min(ranked), column.decimals)
        marked.append([_marked(cell, best, column.decimals) for cell in cells])
    rows = zip(section.rows, zip(*marked, strict=True), strict=True)
    return Section(section.title, tuple(Row(row.label, cells) for row, cells in rows))


def _marked(cell: Cell, best: str | None, decimals: int) -> Cell:
    if isinstance(cell, Score | Single) and cell.ranked is not None and number(cell.ranked, decimals) == best:
        return replace(cell, best=True)
    return cell
