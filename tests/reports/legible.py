"""Can what is written in a figure be read? Measured on the drawn figure, at the size at which it is saved."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

SMALLEST = 5.5
"""Points; publishers want 5 to 7 at least."""
_TOLERANCE = 1.0
"""Pixels, at 200 to an inch."""


def faults(figure: Figure) -> list[str]:
    """What is cut off, lies on other text, is too small or too pale; empty of a good figure."""
    figure.set_dpi(200)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # pyright: ignore[reportAttributeAccessIssue]
    page = figure.bbox
    found = []
    boxes = []
    for text in written(figure):
        box = text.get_window_extent(renderer).padded(-_TOLERANCE)
        said = text.get_text().replace("\n", " / ")
        if box.x0 < 0 or box.y0 < 0 or box.x1 > page.x1 or box.y1 > page.y1:
            found.append(f"cut off: {said}")
        if text.get_fontsize() < SMALLEST:
            found.append(f"{text.get_fontsize()} points: {said}")
        red, green, blue = to_rgb(text.get_color())
        if not red == green == blue <= 0.5:
            found.append(f"not dark: {said}")
        found += [f"on each other: {said} | {other}" for other, of in boxes if box.overlaps(of)]
        boxes.append((said, box))
    return found


def written(figure: Figure) -> Iterator[Text]:
    """All text that is drawn."""
    candidates: list[Text] = [*figure.texts]
    for legend in figure.legends:
        candidates += [*legend.get_texts(), legend.get_title()]
    for axes in figure.axes:
        if axes.get_visible():
            candidates += _of(axes)
    yield from (text for text in candidates if text.get_visible() and text.get_text().strip())


def _of(axes: Axes) -> Iterator[Text]:
    yield from axes.texts
    yield from (axes.title, axes._left_title, axes._right_title)  # pyright: ignore[reportAttributeAccessIssue]
    if axes.axison:
        for axis in (axes.xaxis, axes.yaxis):
            yield from (axis.label, axis.get_offset_text(), *_ticks(axis))


def _ticks(axis: Axis) -> Iterator[Text]:
    low, high = sorted(axis.get_view_interval())
    for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
        if low - 1e-9 <= tick.get_loc() <= high + 1e-9:
            yield from (label for label in (tick.label1, tick.label2) if tick.get_visible())


def is_grey(figure: Figure) -> bool:
    """Whether the picture has no colour at all, so that nothing can be told by it."""
    figure.canvas.draw()
    pixels = figure.canvas.buffer_rgba()  # pyright: ignore[reportAttributeAccessIssue]
    red, green, blue, _ = np.moveaxis(np.asarray(pixels, dtype=int), -1, 0)
    return bool((red == green).all() and (green == blue).all())
