"""Counts of documents: what every F1 of a study is made of, and what paired statistics resample.

A trial leaves them in `counts/{split}.json`, and what each document took in `seconds/{split}.json`
(`model.metrics.evaluation` says how they look); any trainable may. In a report's folder those of all trials are in
`counts.jsonl.gz`, one JSON object a line: first each list of documents, then a line per trial and split that says which
list it belongs to. With pandas:

    lines = [json.loads(line) for line in gzip.open("counts.jsonl.gz")]
    pd.DataFrame(lines[-1]["relation_strict"])      # document, type, correct, spurious, missed
"""

from __future__ import annotations

import gzip
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, get_args

import numpy as np

from reports.statistics import micro
from reports.statistics.micro import Statistic

FILE = "counts.jsonl.gz"
COUNTED = ("correct", "spurious", "missed")
TOLERANCE = 1e-6
"""Points by which a score may differ from what its counts give."""


@dataclass(frozen=True, eq=False)
class Documents:
    """The documents of a split, in its order."""

    ids: tuple[str, ...]
    words: np.ndarray
    """(documents,): words of each."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Rows:
    """The counts of a sub-task, without rows of noughts only."""

    document: np.ndarray
    """(rows,): index into the documents."""
    type: tuple[str, ...] | None
    """Type of each row's items, of a sub-task that has types."""
    counts: np.ndarray
    """(rows, 3): correct, spurious, missed."""

    def by_document(self, n_documents: int, of_type: str | None = None) -> np.ndarray:
        """(documents, 3): of all types together, or of one."""
        total = np.zeros((n_documents, 3), dtype=np.int64)
        if of_type is None:
            np.add.at(total, self.document, self.counts)
        elif self.type is not None:
            chosen = np.asarray([name == of_type for name in self.type], dtype=bool)
            np.add.at(total, self.document[chosen], self.counts[chosen])
        return total

    def by_type(self) -> dict[str, np.ndarray]:
        """Type → (3,), of all documents together."""
        total: dict[str, np.ndarray] = {}
        for name, counts in zip(self.type or (), self.counts, strict=False):
            total[name] = total.get(name, 0) + counts
        return total


@dataclass(frozen=True, eq=False)
class SplitCounts:
    """The counts of a trial on a split."""

    documents: Documents
    tasks: dict[str, Rows]
    seconds: np.ndarray | None = None
    """(documents,): what each took, extracted alone; `None` of a trial that has not measured it."""

    def of(self, task: str, of_type: str | None = None) -> np.ndarray:
        """(documents, 3): correct, spurious, missed. KeyError for a sub-task that is not counted."""
        return self.tasks[task].by_document(len(self.documents), of_type)

    def disagreement(self, split: str, metrics: Mapping[str, float]) -> str | None:
        """What the counts say otherwise than the scores of their trial, if anything."""
        for metric, score in metrics.items():
            parts = metric_parts(metric)
            if parts is None or parts[0] != split or parts[1] not in self.tasks:
                continue
            counted = float(measured(self.tasks[parts[1]].counts.sum(axis=0), parts[2]))
            if abs(counted - score) > TOLERANCE:
                return f"{metric} is {score:.6f}, its counts give {counted:.6f}"
        return None


@dataclass(frozen=True, eq=False)
class StudyCounts:
    """Those of all trials that have left them."""

    trials: dict[tuple[str, str], SplitCounts] = field(default_factory=dict)
    """Key of the trial and split → counts."""

    @cached_property
    def written(self) -> bytes:
        """The lines of a report's file, before they are packed."""
        encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
        return "".join(encoder.encode(line) + "\n" for line in _lines(self)).encode()

    def disagreement(self, key: str, metrics: Mapping[str, float]) -> str | None:
        """What the counts of a trial say otherwise than its scores, if anything."""
        told = (one.disagreement(split, metrics) for (of, split), one in self.trials.items() if of == key)
        return next((message for message in told if message is not None), None)

    def has(self, key: str, metric: str) -> bool:
        """Whether a trial has counted a metric `split/task_measure`."""
        parts = metric_parts(metric)
        found = None if parts is None else self.trials.get((key, parts[0]))
        return parts is not None and found is not None and parts[1] in found.tasks

    def of_metric(self, key: str, metric: str) -> np.ndarray | None:
        """(documents, 3) of a metric `split/task_measure`; `None` where the trial has not counted it."""
        parts = metric_parts(metric)
        found = None if parts is None else self.trials.get((key, parts[0]))
        return None if parts is None or found is None or parts[1] not in found.tasks else found.of(parts[1])

    def documents(self, key: str, split: str) -> Documents | None:
        found = self.trials.get((key, split))
        return None if found is None else found.documents

    def stacked(self, keys: Sequence[str], metric: str) -> np.ndarray | None:
        """(trials, documents, 3); `None` unless all have counted the metric on the same documents."""
        parts, lists = metric_parts(metric), set[tuple[str, ...]]()
        found = [self.of_metric(key, metric) for key in keys]
        for key in keys:
            documents = None if parts is None else self.documents(key, parts[0])
            lists.add(() if documents is None else documents.ids)
        counts = [one for one in found if one is not None]
        return np.stack(counts) if counts and len(counts) == len(found) and len(lists) == 1 else None


def metric_parts(metric: str) -> tuple[str, str, Statistic] | None:
    """Split, sub-task and measure of `test/relation_strict_f1`; `None` of a metric that is no such measure."""
    split, _, rest = metric.partition("/")
    task, _, measure = rest.rpartition("_")
    return next(((split, task, one) for one in get_args(Statistic) if task and measure == one), None)


def measured(counts: np.ndarray, measure: Statistic) -> np.ndarray:
    """Precision, recall or F1 in percent of counts (…, 3); 0 where there is nothing to find.

    Source: as `model.metrics.matching`, arXiv 2307.11762, section 4.
    """
    return micro.percent(micro.terms(counts, measure))


# ------------------------------------------------------------------------------------------------------------ as files


def read_split(text: str) -> SplitCounts:
    """What a trial left in `counts/{split}.json`. Raises ValueError for anything else."""
    given = json.loads(text)
    if not isinstance(given, dict) or not isinstance(given.get("documents"), dict):
        raise ValueError('wanted {"documents": {"id": […], "words": […]}, sub-task: {"document": […], …}}')
    documents = _documents(given["documents"])
    return SplitCounts(documents, _tasks(given, len(documents)))


def timed(counts: SplitCounts, text: str) -> SplitCounts:
    """Counts with what a trial left in `seconds/{split}.json`. Raises ValueError for anything else."""
    given = json.loads(text)
    if not isinstance(given, dict) or given.get("id") != list(counts.documents.ids):
        raise ValueError('wanted {"id": […], "seconds": […]}, of the documents that were counted')
    return replace(counts, seconds=_seconds(given.get("seconds"), counts.documents))


def render(counts: StudyCounts) -> bytes:
    """The file of a report. The same counts give the same bytes (with the same zlib)."""
    buffer = io.BytesIO()
    # packed harder it takes three times as long and a tenth less room
    with gzip.GzipFile("", "wb", compresslevel=4, mtime=0, fileobj=buffer) as file:
        file.write(counts.written)
    return buffer.getvalue()


def _lines(counts: StudyCounts) -> Iterator[dict[str, Any]]:
    lists: dict[tuple[str, ...], str] = {}
    for one in counts.trials.values():
        if one.documents.ids not in lists:
            name = lists[one.documents.ids] = f"d{len(lists) + 1}"
            yield {"documents": name, "id": list(one.documents.ids), "words": one.documents.words.tolist()}
    for (key, split), one in counts.trials.items():
        line: dict[str, Any] = {"trial": key, "split": split, "of": lists[one.documents.ids]}
        for task, rows in one.tasks.items():
            columns: dict[str, Any] = {"document": rows.document.tolist()}
            if rows.type is not None:
                columns["type"] = list(rows.type)
            line[task] = columns | {name: rows.counts[:, n].tolist() for n, name in enumerate(COUNTED)}
        if one.seconds is not None:
            line["seconds"] = one.seconds.tolist()
        yield line


def read(content: bytes) -> StudyCounts:
    """The counts of a report's file. Raises ValueError for anything else."""
    lists: dict[str, Documents] = {}
    trials: dict[tuple[str, str], SplitCounts] = {}
    try:
        lines = gzip.decompress(content).decode().splitlines()
    except (OSError, EOFError) as error:
        raise ValueError(f"{FILE} cannot be unpacked: {error}") from None
    for number, line in enumerate(lines, start=1):
        try:
            given = json.loads(line)
            if "trial" not in given:
                lists[given["documents"]] = _documents(given)
                continue
            documents = lists[given["of"]]
            seconds = _seconds(given["seconds"], documents) if "seconds" in given else None
            trials[given["trial"], given["split"]] = SplitCounts(documents, _tasks(given, len(documents)), seconds)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{FILE}, line {number}: {error}") from None
    return StudyCounts(trials)


def _documents(given: Mapping[str, Any]) -> Documents:
    ids, words = given.get("id"), given.get("words")
    if not isinstance(ids, list) or not isinstance(words, list) or len(ids) != len(words):
        raise ValueError("wanted `id` and `words` of documents, as many of each")
    return Documents(tuple(map(str, ids)), _integers(words, "words"))


def _seconds(given: Any, documents: Documents) -> np.ndarray:
    if not isinstance(given, list) or not all(type(one) in (int, float) and 0 <= one < math.inf for one in given):
        raise ValueError("wanted `seconds` as a list of numbers from 0")
    if len(given) != len(documents):
        raise ValueError(f"found {len(given)} `seconds`, wanted one for each of {len(documents)} documents")
    return np.array(given, dtype=np.float64)


def _tasks(given: Mapping[str, Any], n_documents: int) -> dict[str, Rows]:
    return {
        name: _rows(name, columns, n_documents)
        for name, columns in given.items()
        if name != "documents" and isinstance(columns, dict)
    }


def _rows(task: str, columns: Mapping[str, Any], n_documents: int) -> Rows:
    wanted = ("document", *COUNTED)
    lacking = [name for name in wanted if not isinstance(columns.get(name), list)]
    if lacking:
        raise ValueError(f"the counts of {task} have no {', '.join(lacking)}")
    lengths = {len(columns[name]) for name in (*wanted, *(["type"] if "type" in columns else []))}
    if len(lengths) > 1:
        raise ValueError(f"the counts of {task} have columns of {sorted(lengths)} rows, wanted as many in each")
    document = _integers(columns["document"], task)
    if document.size and (document.min() < 0 or document.max() >= n_documents):
        raise ValueError(f"the counts of {task} name document {document.max()}, wanted one of {n_documents}")
    counts = np.stack([_integers(columns[name], task) for name in COUNTED], axis=1)
    if counts.size and counts.min() < 0:
        raise ValueError(f"the counts of {task} have {counts.min()}, wanted numbers from 0")
    return Rows(document, tuple(map(str, columns["type"])) if "type" in columns else None, counts)


def _integers(given: Iterable[Any], what: str) -> np.ndarray:
    numbers = np.asarray(given if isinstance(given, list) else list(given))
    if numbers.size == 0:
        return np.zeros(len(numbers), dtype=np.int64)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise ValueError(f"{what} has other values than whole numbers")
    return numbers.astype(np.int64)
