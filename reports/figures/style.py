"""How our figures look, and how they become files.

Widths are those of a two-column paper, fonts are embedded as outlines that every publisher takes, and nothing is told
by colour alone.
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.ft2font import LoadFlags

COLUMN = 3.3
PAGE = 6.9
"""Inches."""
DOTS_PER_INCH = 300
TALLEST = 9.0
"""Inches that a figure with its caption below may have on a page."""
LABEL = 1.25
"""Inches of a line of a label."""
AXIS = 32
"""Characters of a line of an axis' title."""

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 6.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "0.88",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.0,
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,
    "text.parse_math": False,
}
SEED: dict[str, Any] = {
    "linestyle": "none",
    "color": "0.45",
    "marker": "o",
    "markersize": 3.2,
    "markerfacecolor": "white",
    "markeredgewidth": 0.7,
}
MEAN: dict[str, Any] = {"marker": "o", "markersize": 4.2, "color": "black"}
BASELINE: dict[str, Any] = {"marker": "s", "markersize": 4.2, "color": "black", "linestyle": "none"}
PUBLISHED: dict[str, Any] = {
    "linestyle": "none",
    "color": "black",
    "marker": "D",
    "markersize": 4.2,
    "markerfacecolor": "none",
}
BAR: dict[str, Any] = {"elinewidth": 0.9, "capsize": 2.2, "capthick": 0.9, "ecolor": "black"}
RULE: dict[str, Any] = {"color": "0.55", "linewidth": 0.8, "linestyle": (0, (4, 3))}
"""A line through what others are compared with."""
REMARK: dict[str, Any] = {"fontsize": 6.5, "color": "0.3"}


def written(name: str, draw: Callable[[], Figure | None], origin: str, traces: Sequence[str] = ()) -> dict[str, bytes]:
    """A figure in our style as `name.pdf` and `name.png`; the same figure gives the same bytes, none gives no files.

    `origin` says in the files themselves what they were drawn from, so that it can be checked (`reports.check`), and
    `traces`, where that is from: study, commit, data, keys of trials.
    """
    with style():
        figure = draw()
        if figure is None:
            return {}
        nothing = {"CreationDate": None, "ModDate": None, "Creator": None}
        # another version of it sets letters a little otherwise
        maker = f"matplotlib {matplotlib.__version__}"
        traced = "\n".join(traces) or None
        png = _bytes(figure, "png", {"Software": maker, "Description": origin, "Comment": traced})
        figure.set_layout_engine("none")  # all is in its place now, and would be looked for once more
        pdf = _bytes(figure, "pdf", {**nothing, "Producer": maker, "Subject": origin, "Keywords": traced})
        return {f"{name}.pdf": pdf, f"{name}.png": png}


@contextmanager
def style() -> Iterator[None]:
    """Ours, whatever matplotlib's settings of the user are; theirs afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def _bytes(figure: Figure, kind: str, metadata: dict[str, str | None]) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=DOTS_PER_INCH, metadata=metadata)
    return buffer.getvalue()


def sheet(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def drawable(text: str) -> str:
    """A letter that the font lacks is drawn by its code, as in LaTeX."""
    letters = _letters()
    return "".join(
        letter if ord(letter) in letters or letter.isspace() else f"[U+{ord(letter):04X}]" for letter in text
    )


@functools.cache
def _letters() -> frozenset[int]:
    return frozenset(get_font(findfont(STYLE["font.family"])).get_charmap())


@functools.lru_cache(maxsize=20_000)
def width_of(text: str, size: float) -> float:
    """Inches that a text takes in our font at `size` points: those of its longest line."""
    font = get_font(findfont(STYLE["font.family"]))
    font.set_size(size, 72)
    widest = 0
    for line in text.splitlines():
        font.set_text(line, 0.0, flags=LoadFlags.NO_HINTING)
        widest = max(widest, font.get_width_height()[0])
    return widest / 64 / 72


def wrapped(text: str, inches: float, size: float, lines: int | None = None) -> str:
    """A text in lines of at most so many inches, broken between words, and inside a word that is longer than a line.

    Of more than so many `lines` the last one ends in an ellipsis.
    """
    found = [""]
    for word in drawable(text).split():
        if found[-1] and width_of(f"{found[-1]} {word}", size) <= inches:
            found[-1] += f" {word}"
            continue
        found += [""] if found[-1] else []
        for letter in word:
            if found[-1] and width_of(found[-1] + letter, size) > inches:
                found.append("")
            found[-1] += letter
    if lines is not None and len(found) > lines:
        last = found[lines - 1]
        while last and width_of(last + "…", size) > inches:
            last = last[:-1]
        found = [*found[: lines - 1], last.rstrip() + "…"]
    return "\n".join(found)


def legend(figure: Figure, entries: Sequence[Artist], told: Sequence[str] = ()) -> None:
    """What the marks are, below the figure; `told` are sentences on all of them, each on a line of its own."""
    size, width = STYLE["legend.fontsize"], figure.get_figwidth() - 0.1
    beside = 0.36  # of an entry: the mark and the room around it
    for entry in entries:
        entry.set_label(wrapped(str(entry.get_label()), width - beside, size))
    widths = [width_of(str(entry.get_label()), size) + beside for entry in entries]
    fitting = next(
        n for n in range(len(entries), 0, -1)
        # every column is as wide as its widest entry
        if n == 1 or sum(max(widths[first :: n]) for first in range(n)) <= width
    )  # fmt: skip
    n_columns = math.ceil(len(entries) / math.ceil(len(entries) / fitting))
    made = figure.legend(
        handles=_by_rows(entries, n_columns),
        title="\n".join(wrapped(one, width, size) for one in told) or None,
        title_fontsize=size,
        loc="outside lower center",
        ncols=n_columns,
        frameon=False,
        handletextpad=0.4,
        columnspacing=1.2,
        borderaxespad=0.1,
    )
    made.get_title().set_multialignment("center")


def _by_rows(entries: Sequence[Artist], n_columns: int) -> list[Artist]:
    """matplotlib fills a legend column by column; in this order it is read row by row."""
    return [entry for first in range(n_columns) for entry in entries[first::n_columns]]
