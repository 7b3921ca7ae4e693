"""How our figures look, and how they become files.

Widths are those of a two-column paper, fonts are embedded as outlines that every publisher takes, and nothing is told
by colour alone.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

COLUMN = 3.3
PAGE = 6.9
"""Inches."""
LABEL = 22
AXIS = 32
"""Characters of a line of a label, and of an axis' title."""

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
REMARK: dict[str, Any] = {"fontsize": 6.5, "color": "0.3"}


def written(name: str, draw: Callable[[], Figure], origin: str) -> dict[str, bytes]:
    """A figure in our style as `name.pdf` and `name.png`; the same figure gives the same bytes.

    `origin` says in the files themselves what they were drawn from, so that it can be checked (`reports.check`).
    """
    with style():
        figure = draw()
        nothing = {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None}
        return {
            f"{name}.pdf": _bytes(figure, "pdf", {**nothing, "Subject": origin}),
            f"{name}.png": _bytes(figure, "png", {"Software": None, "Description": origin}),
        }


@contextmanager
def style() -> Iterator[None]:
    """Ours, whatever matplotlib's settings of the user are; theirs afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def _bytes(figure: Figure, kind: str, metadata: dict[str, str | None]) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=300, metadata=metadata)
    return buffer.getvalue()


def sheet(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def drawable(text: str) -> str:
    """A letter that the font lacks is drawn by its code, as in LaTeX."""
    letters = get_font(findfont(STYLE["font.family"])).get_charmap()
    return "".join(
        letter if ord(letter) in letters or letter.isspace() else f"[U+{ord(letter):04X}]" for letter in text
    )
