"""Horizontal lines with a label each, from the top: what a figure of variants is laid out on."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from reports.figures.style import LABEL, STYLE, wrapped


class Lines:
    """A label of several lines of text makes room for itself. Places are in units of half a line of text or so."""

    def __init__(self, labels: Sequence[str], least: float = 2.0, inches: float = LABEL):
        """`least`: room of a line, whatever its label. `inches`: of a label."""
        self.labels = [wrapped(label, inches, STYLE["ytick.labelsize"]) for label in labels]
        room = [max(least, 1.7 + label.count("\n")) for label in self.labels]
        self.total = sum(room)
        self.tops = [sum(room[:at]) for at in range(len(room))]
        self.places = [top + own / 2 for top, own in zip(self.tops, room, strict=True)]

    @property
    def height(self) -> float:
        """Of the figure, in inches."""
        return 0.85 + 0.13 * self.total

    def label(self, axes: Axes) -> None:
        axes.set_yticks(self.places, self.labels)
        axes.set_ylim(self.total, 0)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
