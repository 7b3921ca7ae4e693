"""Does every file of a report still follow from the record that lies beside it?

Tables are made again from the record and compared letter by letter. A figure says in its own file of which record it
was drawn and by what (`reports.figures.style.written`); it is drawn again and compared with the one that is there, PNG
by their pixels, PDF by what they draw. Where another version of matplotlib drew it, whose letters differ a little, PNG
are compared by marks as large as a letter, and PDF not at all. The scores of the record are computed again from its
counts of documents, when it is read.
"""

from __future__ import annotations

import base64
import io
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import matplotlib.image
import numpy as np

from reports import counts, documents
from reports.build import PAGE, RECORD, origin_of, read, render

FIGURES = (".pdf", ".png")
_PICTURE = re.compile(rb"data:image/png;base64,[A-Za-z0-9+/=]*")
_BLOCK, _DIFFERENT = 12, 0.2
"""Pixels of a block, about a mark's size, and the difference in its lightness, of 1, that a mark makes."""
_ROUNDED_PIXEL, _ROUNDED_POINT = 0.35, 0.02
"""What machines may round otherwise: of a pixel's lightness, and of a coordinate in points."""


class Checked(NamedTuple):
    """What came of a report's folder."""

    problems: list[str]
    """What does not follow from its record; empty if all of it does."""
    unknown: list[Path]
    """Files that its record does not make, and that nothing checks."""


def check(folder: Path) -> Checked:
    """Make a report again from its record, and compare."""
    record = folder / RECORD
    if not record.is_file():
        return Checked([f"{folder}: there is no {RECORD}, wanted the folder of a report"], [])
    try:
        results, content = read(record), record.read_bytes()
        made = render(results, content)
    except (ValueError, OSError) as error:
        return Checked([f"{record}: {error}"], [])
    origin = origin_of(results, content)
    problems = []
    for name, content in made.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{path}: is not there, the record makes it; `orchestrate report --rebuild {folder}`")
        elif path.suffix in FIGURES:
            problems += [f"{path}: {told}" for told in _figure(path, content, origin)]
        elif name not in (RECORD, counts.FILE, documents.FILE):
            found = path.read_bytes()
            if name == PAGE:
                problems += [f"{path}: {told}" for told in _pictures(found, content, made, folder)]
                found, content = (_PICTURE.sub(b"", one) for one in (found, content))
            problems += [f"{path}:{told}" for told in _text(found, content)]
    return Checked(problems, sorted(path for path in folder.iterdir() if path.name not in made))


def _text(found: bytes, wanted: bytes) -> Iterator[str]:
    """The first line that differs."""
    if found == wanted:
        return
    lines, others = (content.decode(errors="replace").splitlines() for content in (found, wanted))
    number = next((n for n, pair in enumerate(zip(lines, others, strict=False)) if pair[0] != pair[1]), None)
    if number is None:
        yield f"{min(len(lines), len(others)) + 1}: has {len(lines)} lines, the record gives {len(others)}"
    else:
        yield f"{number + 1}: found '{_around(lines[number], others[number])}', the record gives " + (
            f"'{_around(others[number], lines[number])}'"
        )


def _around(line: str, other: str) -> str:
    """The part of a long line where it differs from another."""
    at = next((n for n, pair in enumerate(zip(line, other, strict=False)) if pair[0] != pair[1]), 0)
    start = max(at - 20, 0)
    return ("…" if start else "") + line[start : start + 60] + ("…" if len(line) > start + 60 else "")


def _figure(path: Path, wanted: bytes, origin: str) -> Iterator[str]:
    found = path.read_bytes()
    if found == wanted:
        return
    if _origin(found) != origin:
        yield f"was drawn from another record than the one beside it ({_origin(found) or 'it does not say which'})"
        return
    same_maker = _maker(found) == _maker(wanted)
    if path.suffix == ".png":
        pictures = [matplotlib.image.imread(io.BytesIO(content)) for content in (found, wanted)]
        differ = _differ(*pictures) if same_maker else _look_different(*pictures)
    else:
        differ = same_maker and not _draw_the_same(found, wanted)
    if differ:
        yield "does not look as the record makes it"


def _pictures(found: bytes, wanted: bytes, made: Mapping[str, bytes], folder: Path) -> Iterator[str]:
    """Pictures of the page that are not those of the files beside it, which are looked at by themselves."""
    names = {base64.b64encode(content): name for name, content in made.items() if name.endswith(".png")}
    shown = [
        name for picture in _PICTURE.findall(wanted) if (name := names.get(picture.partition(b",")[2])) is not None
    ]
    pictures = [picture.partition(b",")[2] for picture in _PICTURE.findall(found)]
    if len(pictures) != len(shown):
        yield f"has {len(pictures)} pictures, the record gives {len(shown)}"
        return
    for name, picture in zip(shown, pictures, strict=True):
        beside = folder / name
        if beside.is_file() and base64.b64encode(beside.read_bytes()) != picture:
            yield f"its picture is not that of {name}"


def _differ(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether any pixel of one has nothing like it where it should be in the other, or next to that: where machines
    round otherwise, a line may stand a pixel beside."""
    if one.shape != other.shape:
        return True
    lightness = [picture[..., :3].mean(axis=-1) for picture in (one, other)]
    return any(_lacks(*pair) for pair in (lightness, lightness[::-1]))


def _lacks(one: np.ndarray, other: np.ndarray) -> bool:
    height, width = one.shape
    around = np.pad(other, 1, mode="edge")
    nearest = np.full_like(one, np.inf)
    for down in range(3):
        for right in range(3):
            np.minimum(nearest, np.abs(one - around[down : down + height, right : right + width]), out=nearest)
    return bool(nearest.max(initial=0.0) > _ROUNDED_PIXEL)


def _draw_the_same(one: bytes, other: bytes) -> bool:
    """Whether two PDF have the same operators in the same places, and the same text."""
    drawn, again = (_tokens(content) for content in (one, other))
    return len(drawn) == len(again) and all(_same(*pair) for pair in zip(drawn, again, strict=True))


def _tokens(content: bytes) -> list[bytes]:
    """Of all that is drawn: fonts and pictures have their size or kind in their dictionary, and are none of it."""
    tokens: list[bytes] = []
    for found in re.finditer(
        rb"<<((?:[^<>]|<<[^<>]*>>|<[^<>]*>)*)>>\s*stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL
    ):
        if b"/Length1" in found[1] or b"/Subtype /Image" in found[1]:
            continue
        try:
            tokens += zlib.decompress(found[2]).split()
        except zlib.error:
            tokens += found[2].split()
    return tokens


def _same(one: bytes, other: bytes) -> bool:
    if one == other:
        return True
    try:
        return abs(float(one) - float(other)) <= _ROUNDED_POINT
    except ValueError:
        return False


def _look_different(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether a mark is at another place. Letters that another version of a font draws otherwise do not count."""
    if one.shape != other.shape:
        return True
    height, width = (size // _BLOCK * _BLOCK for size in one.shape[:2])
    difference = (one - other)[:height, :width].mean(axis=-1)
    blocks = difference.reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).mean(axis=(1, 3))
    return bool(np.abs(blocks).max(initial=0.0) > _DIFFERENT)


def _maker(content: bytes) -> bytes | None:
    """What drew a figure, as it says itself."""
    found = re.search(rb"matplotlib \d[\w.+-]*", content)
    return found.group() if found else None


def _origin(content: bytes) -> str | None:
    """What a figure says of its record."""
    found = re.search(rb"orchestrate: [^()\x00]*?record sha256:[0-9a-f]{64}", content)
    if found is None:
        # matplotlib packs a long text of a PNG
        for chunk in re.finditer(rb"(?:zTXt|iTXt)Description\x00", content):
            try:
                text = zlib.decompressobj().decompress(content[chunk.end() + 1 :])
            except zlib.error:
                continue
            found = re.search(rb"orchestrate: .*", text)
    return found.group().decode(errors="replace") if found else None
