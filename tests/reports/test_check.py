"""A report's folder that still follows from its record, and the ways in which one does not."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from reports import counts
from reports.build import build, rebuild
from reports.check import _differ, check
from tests.reports import samples


@pytest.fixture(params=[samples.comparison, samples.sweep, samples.by_dataset, samples.foreign, samples.counted])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    build(request.param(), tmp_path)
    return tmp_path


def test_what_was_just_made_follows_from_its_record(folder: Path):
    assert check(folder) == ([], [])
    (folder / "README.md").write_text("by hand")
    assert check(folder) == ([], [folder / "README.md"])


@pytest.mark.parametrize("name", ["table.tex", "table.md", "table.csv", "trials.csv"])
def test_a_number_that_was_changed_in_a_table_is_found_with_its_line(folder: Path, name: str):
    path = folder / name
    before = path.read_text()
    at = next(n for n in range(len(before) - 1, 0, -1) if before[n].isdigit())
    path.write_text(f"{before[:at]}{(int(before[at]) + 1) % 10}{before[at + 1 :]}")
    (told,) = check(folder).problems
    assert told.startswith(f"{path}:{before[:at].count(chr(10)) + 1}: found ") and "the record gives" in told


def test_a_score_that_was_changed_in_the_record_is_found_in_tables_and_figures(folder: Path):
    record = folder / "record.json"
    given = json.loads(record.read_text())
    trial = next(one for one in given["trials"] if one["status"] == "finished")
    metric = next(name for name in trial["metrics"] if name.startswith("test/"))
    trial["metrics"][metric] += 3.0
    record.write_text(json.dumps(given))
    told = check(folder).problems
    if (folder / counts.FILE).is_file():
        assert len(told) == 1 and f"{metric} is" in told[0] and "its counts give" in told[0]
    else:
        named = {Path(one.split(":")[0]).name for one in told}
        assert {"table.tex", "table.md", "table.csv", "trials.csv", "figure.pdf", "figure.png"} <= named


def test_a_figure_of_another_record_and_one_that_was_painted_over_are_found(folder: Path, tmp_path: Path):
    build(samples.sweep((0.1, 0.9)), tmp_path / "other")
    path = folder / "figure.png"
    mine = path.read_bytes()
    shutil.copy(tmp_path / "other" / "figure.png", path)
    assert [one for one in check(folder).problems if "was drawn from another record" in one]
    # the same words about its origin, but a dot more
    path.write_bytes(mine)
    pixels = matplotlib.image.imread(path).copy()
    pixels[100:130, 200:230, :3] = 0.0
    origin = next(text for text in _descriptions(mine) if text.startswith("orchestrate"))
    for maker in (f"matplotlib {matplotlib.__version__}", None):
        matplotlib.image.imsave(path, pixels, metadata={"Description": origin, "Software": maker})
        told = check(folder).problems
        assert [one for one in told if one == f"{path}: does not look as the record makes it"]
        # nor is the page's picture the file's any more
        assert [one for one in told if one.endswith("report.html: its picture is not that of figure.png")]


def test_a_digit_of_a_picture_and_a_mark_of_a_drawing_that_were_changed_are_found(folder: Path):
    path = folder / "figure.png"
    pixels = matplotlib.image.imread(path).copy()
    origin = next(text for text in _descriptions(path.read_bytes()) if text.startswith("orchestrate"))
    # about a digit's size, and as dark as one
    y, x = np.argwhere(pixels[..., 0] < 0.5)[0]
    for at in (-9, 9):
        pixels[y - 6 : y + 6, x + at - 3 : x + at + 3, :3] = 1.0 - pixels[y - 6 : y + 6, x + at - 3 : x + at + 3, :3]
    maker = f"matplotlib {matplotlib.__version__}"
    matplotlib.image.imsave(path, pixels, metadata={"Description": origin, "Software": maker})
    drawing = folder / "figure.pdf"
    before = drawing.read_bytes()
    page = max(re.findall(rb"stream\n(.*?)\nendstream", before, re.DOTALL), key=lambda one: _n_operators(one))
    text = zlib.decompress(page)
    at = [found.start() for found in re.finditer(rb"\d\n", text)][-1]
    moved = zlib.compress(text[:at] + (b"1" if text[at : at + 1] != b"1" else b"7") + text[at + 1 :])
    drawing.write_bytes(before.replace(page, moved))
    told = check(folder).problems
    assert f"{path}: does not look as the record makes it" in told
    assert f"{drawing}: does not look as the record makes it" in told


def test_a_line_that_another_machine_sets_a_pixel_beside_is_no_difference_and_one_two_beside_is():
    picture = np.ones((40, 60, 3))
    picture[10:12, 5:50] = 0.0
    beside, further = np.roll(picture, 1, axis=0), np.roll(picture, 3, axis=0)
    assert not _differ(picture, beside) and _differ(picture, further)
    assert _differ(picture, np.ones_like(picture)) and _differ(np.ones_like(picture), picture)


def _n_operators(stream: bytes) -> int:
    try:
        return len(re.findall(rb" [lmS]\n", zlib.decompress(stream)))
    except zlib.error:
        return 0


def test_a_picture_of_the_page_that_was_exchanged_is_found(folder: Path):
    page = folder / "report.html"
    text = page.read_text()
    pictures = re.findall(r"data:image/png;base64,[^\"]*", text)
    if len(pictures) < 2:
        pytest.skip("a page with one picture")
    page.write_text(text.replace(pictures[0], pictures[1]))
    (told,) = check(folder).problems
    assert told.startswith(f"{page}: its picture is not that of ")


def test_counts_that_are_gone_or_of_another_report_are_told_and_nothing_is_rebuilt_without_them(tmp_path: Path):
    build(samples.counted(), tmp_path)
    path, table = tmp_path / counts.FILE, (tmp_path / "table.tex").read_bytes()
    other = samples.counted()
    assert other.counts is not None
    kept = {key: one for key, one in other.counts.trials.items() if not key[0].endswith("-4")}
    path.write_bytes(counts.render(counts.StudyCounts(kept)))
    (told,) = check(tmp_path).problems
    assert "has other counts than those with which the report was made" in told
    path.unlink()
    (told,) = check(tmp_path).problems
    assert "counts.jsonl.gz is not there, with which the report was made" in told
    with pytest.raises(ValueError, match="is not there"):
        rebuild(tmp_path / "record.json", tmp_path)
    assert (tmp_path / "table.tex").read_bytes() == table


def _descriptions(content: bytes) -> list[str]:
    import io

    from PIL import Image

    return [str(text) for text in Image.open(io.BytesIO(content)).info.values()]


def test_counts_that_were_changed_are_found(tmp_path: Path):
    build(samples.counted(), tmp_path)
    path = tmp_path / counts.FILE
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
    next(line for line in reversed(lines) if line["split"] == "test")["entity"]["missed"][0] += 5
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    (told,) = check(tmp_path).problems
    assert "entity_recall is" in told and "its counts give" in told


def test_a_missing_file_is_named_and_can_be_made_again(folder: Path):
    (folder / "table.tex").unlink()
    (told,) = check(folder).problems
    assert told.startswith(f"{folder / 'table.tex'}: is not there")
    rebuild(folder / "record.json", folder)
    assert check(folder).problems == []


def test_what_is_no_report_is_told(tmp_path: Path):
    assert "there is no record.json" in check(tmp_path).problems[0]
    (tmp_path / "record.json").write_text("{}")
    assert len(check(tmp_path).problems) == 1


def test_counts_of_an_earlier_report_do_not_stay_beside_a_new_one_without(tmp_path: Path):
    build(samples.counted(), tmp_path)
    assert (tmp_path / counts.FILE).is_file()
    build(replace(samples.counted(), counts=None), tmp_path)
    assert not (tmp_path / counts.FILE).exists() and check(tmp_path).problems == []
