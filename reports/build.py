"""From a record to a folder of files that one can publish, and from the folder's own record to the same files again."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from reports import (
    by_type,
    comparison,
    counts,
    differences,
    documents,
    figures,
    html_table,
    latex,
    macros,
    markdown,
    page,
    search,
    sub_tasks,
    table_csv,
)
from reports.comparison import scores_frame, trials_frame
from reports.records import StudyResults
from reports.search import SearchResults
from reports.table import Table

RECORD, PAGE = "record.json", "report.html"
_SCRATCH = ".report-"
_BESIDE = [f"{name}.{kind}" for name in ("differences", "sub_tasks", "types") for kind in ("tex", "md", "html", "csv")]
OPTIONAL = frozenset({counts.FILE, documents.FILE, *_BESIDE, *figures.OPTIONAL})
"""Files that not every report has; one of an earlier report does not stay beside a new one that has none."""


def build(results: StudyResults | SearchResults, folder: Path) -> dict[str, Path]:
    """Write the report into `folder`: file name → path.

    All files are made before the first is written, and each takes the place of its predecessor at once: a report that
    fails leaves the old one as it was. The same results give the same bytes.
    """
    return _write(render(results), folder)


def _write(contents: dict[str, bytes], folder: Path) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder), tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder) as scratch:
        for name, content in contents.items():
            (Path(scratch) / name).write_bytes(content)
        for name in contents:
            os.replace(Path(scratch) / name, folder / name)
        for name in OPTIONAL - contents.keys():
            (folder / name).unlink(missing_ok=True)
    return {name: folder / name for name in contents}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One writer at a time, so that what one that was killed has left is known to be that, and is removed."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            pass  # some network file systems do not lock folders: what was left stays
        else:
            for left in folder.glob(f"{_SCRATCH}*"):
                shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        os.close(handle)


def rebuild(record: Path, folder: Path) -> dict[str, Path]:
    """The files of a report from its record alone, which stays as it is, also if it is from an earlier version."""
    content = record.read_bytes()
    return _write(render(read(record), content), folder)


def read(record: Path) -> StudyResults | SearchResults:
    """The results of a report's folder, with the counts that lie beside its record. Raises ValueError or OSError."""
    results = search.read(record.read_text(encoding="utf-8"))
    if isinstance(results, SearchResults):
        return results
    of_trials, shown = record.parent / counts.FILE, record.parent / documents.FILE
    there = of_trials.is_file()
    if results.counts_digest is not None and not there:
        raise ValueError(f"{counts.FILE} is not there, with which the report was made; put it beside the record again")
    results = replace(
        results,
        counts=counts.read(of_trials.read_bytes()) if there else None,
        documents=documents.read(shown.read_bytes()) if shown.is_file() else (),
    )
    if results.counts_digest not in (None, _digest(results)):
        raise ValueError(f"{counts.FILE} has other counts than those with which the report was made")
    return results


def render(results: StudyResults | SearchResults, record: bytes | None = None) -> dict[str, bytes]:
    """Every file of the report, by name. `record`: the file that the results were read from, which stays as it is."""
    if record is None:
        if isinstance(results, StudyResults):
            results = replace(results, counts_digest=_digest(results))
        record = results.to_json().encode()
    origin = origin_of(results, record)
    if isinstance(results, SearchResults):
        return {RECORD: record, **search.render(results, origin)}
    beside: dict[str, bytes] = {}
    if results.counts is not None:
        beside[counts.FILE] = counts.render(results.counts)
    if results.documents:
        beside[documents.FILE] = documents.render(results.documents)
    made, drawn = _tables(results), figures.of_study(results, origin)
    return {
        RECORD: record,
        **beside,
        PAGE: page.render(results, list(made.values()), drawn, results.documents).encode(),
        **_table_files(results, made),
        "trials.csv": table_csv.render(_traced(trials_frame(results), results)).encode(),
        "numbers.tex": macros.render(results).encode(),
        **drawn,
    }


def _tables(results: StudyResults) -> dict[str, Table]:
    """The main table, and those beside it that the study asks for and that there is something for."""
    beside = {"differences": differences.table, "sub_tasks": sub_tasks.table, "types": by_type.table}
    made = {name: beside[name](results) for name in results.report.tables}
    return {"table": comparison.table(results), **{name: one for name, one in made.items() if one is not None}}


def _table_files(results: StudyResults, made: Mapping[str, Table]) -> dict[str, bytes]:
    """Each table in LaTeX, Markdown and HTML, and its numbers as CSV; those of `sub_tasks` are all in trials.csv."""
    frames = {"table": scores_frame, "differences": differences.frame, "types": by_type.frame}
    files = {}
    for name, one in made.items():
        files[f"{name}.tex"] = latex.render(one).encode()
        files[f"{name}.md"] = markdown.render(one).encode()
        files[f"{name}.html"] = html_table.render(one).encode()
        if name in frames:
            files[f"{name}.csv"] = table_csv.render(_traced(frames[name](results), results)).encode()
    return files


def _traced(frame: pd.DataFrame, results: StudyResults) -> pd.DataFrame:
    """With what traces each row, in columns behind its numbers: the keys of its trials, study, budget, commit, data."""
    keys = {one.name: " ".join(trial.key for trial in results.finished(one.name)) for one in results.variants}
    data = results.provenance.get("data")
    told: dict[str, Any] = {} if "key" in frame else {"keys": [keys.get(name, "") for name in frame["variant"]]}
    if "baseline" in frame:
        told["baseline_keys"] = [keys.get(name, "") for name in frame["baseline"]]
    told |= {"study": results.study, "budget": results.budget, "commit": results.provenance.get("commit")}
    told["data"] = " ".join(f"{name}={digest}" for name, digest in data.items()) if isinstance(data, dict) else data
    return frame.assign(**{name: value for name, value in told.items() if name not in frame})


def _digest(results: StudyResults) -> str | None:
    found: counts.StudyCounts | None = results.counts
    return None if found is None else hashlib.sha256(found.written).hexdigest()


def origin_of(results: StudyResults | SearchResults, record: bytes) -> str:
    """What a figure says of where its numbers are from: the study and the digest of its record, counts included."""
    digest = hashlib.sha256(record)
    if isinstance(results, StudyResults) and results.counts is not None:
        digest.update(results.counts.written)
    return f"orchestrate: {results.study}, budget {results.budget}, record sha256:{digest.hexdigest()}"
