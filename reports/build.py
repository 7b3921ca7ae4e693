"""From a record to a folder of files that one can publish, and from the folder's own record to the same files again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from reports import figures, latex, markdown, table_csv
from reports.comparison import scores_frame, table, trials_frame
from reports.records import StudyResults

RECORD = "record.json"


def build(results: StudyResults, folder: Path) -> dict[str, Path]:
    """Write the report into `folder`: file name → path.

    All files are made before the first is written, and each takes the place of its predecessor at once: a report that
    fails leaves the old one as it was. The same results give the same bytes.
    """
    return _write(render(results), folder)


def _write(contents: dict[str, bytes], folder: Path) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".report-", dir=folder) as scratch:
        for name, content in contents.items():
            (Path(scratch) / name).write_bytes(content)
        for name in contents:
            os.replace(Path(scratch) / name, folder / name)
    return {name: folder / name for name in contents}


def rebuild(record: Path, folder: Path) -> dict[str, Path]:
    """The files of a report from its record alone, which stays as it is, also if it is from an earlier version."""
    content = record.read_bytes()
    return _write({**render(StudyResults.from_json(content.decode())), RECORD: content}, folder)


def render(results: StudyResults) -> dict[str, bytes]:
    """Every file of the report, by name."""
    tabular = table(results)
    drawn = figures.files(results)
    return {
        RECORD: results.to_json().encode(),
        "table.tex": latex.render(tabular).encode(),
        "table.md": markdown.render(tabular).encode(),
        "table.csv": table_csv.render(scores_frame(results)).encode(),
        "trials.csv": table_csv.render(trials_frame(results)).encode(),
        "figure.pdf": drawn["pdf"],
        "figure.png": drawn["png"],
    }
