"""What a search has tried: the record of it, and the files that are made from the record alone.

    best.yaml     the best settings, to be pasted into another study
    search.csv    every suggestion: its values, what came of it, its score on dev
    search.md     the best ten, and what has to be said about them
    search.pdf    and .png: the scores in order, and over each setting that was searched

The scores are those that the search chose by. Each is of one seed, and the best of many is better than it would be
again, so nothing here compares settings; no score on test is here at all.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from reports import markdown
from reports.records import _STRICT, StudyResults, _Json
from reports.settings import METRICS, Metric, ReportSettings, word
from reports.table import PERCENT_DECIMALS, four_digits, number

KIND = "search"
SHOWN = 10
"""Rows of the table."""
Standing = Literal["finished", "pruned", "failed", "interrupted", "waiting"]


@dataclass(frozen=True)
class Parameter(_Json):
    """A setting that is searched: a range of numbers, or choices."""

    path: str
    kind: Literal["uniform", "integer", "choice"]
    low: float | None = None
    high: float | None = None
    log: bool = False
    values: tuple[Any, ...] = ()

    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Tried(_Json):
    """A suggestion and what came of it."""

    index: int
    """From 1, in the order of suggestion."""
    values: dict[str, Any]
    """By dotted path."""
    standing: Standing
    key: str | None = None
    """Of its trial; `None` of settings that do not go together."""
    score: float | None = None
    """On dev: of a trial that has finished at its selected epoch, of any other at its last."""
    epochs: int = 0
    """How many were trained."""
    duration_s: float | None = None
    reason: str | None = None
    """Why it has failed."""

    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class SearchResults(_Json):
    """A search with what it has tried so far."""

    study: str
    question: str
    budget: str
    budget_note: str | None
    """What the budget cuts; `None` for `full` and for nothing else."""
    metric: Metric
    """What is searched for, on dev."""
    report: ReportSettings
    """How the metric and the values are shown."""
    algorithm: Literal["tpe", "random"]
    search_seed: int
    """Of the suggestions."""
    seed: int
    """Of every trial."""
    n_declared: int
    """Suggestions that were asked for."""
    space: tuple[Parameter, ...]
    tried: tuple[Tried, ...]
    pruning: str | None = None
    """The rule by which trials were pruned, in words."""
    provenance: dict[str, Any] = field(default_factory=dict)
    kind: Literal["search"] = KIND

    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        if (self.budget == "full") != (self.budget_note is None):
            raise ValueError(
                f"budget '{self.budget}' with the note {self.budget_note!r}: every budget but 'full' says what it cuts"
            )
        paths = [parameter.path for parameter in self.space]
        for place, one in enumerate(self.tried, 1):
            if one.index != place or list(one.values) != paths:
                raise ValueError(f"suggestion {one.index} at place {place} has {list(one.values)}, not {paths}")
            if one.standing == "finished" and (one.score is None or not math.isfinite(one.score)):
                raise ValueError(f"suggestion {one.index} has finished with the score {one.score}")

    @property
    def sign(self) -> int:
        return -1 if self.report.info(self.metric).better == "lower" else 1

    @property
    def ranked(self) -> tuple[Tried, ...]:
        """Those that have finished, each trial once, the best first; of equal ones the earlier."""
        finished: dict[str | None, Tried] = {}
        for one in self.tried:
            if one.standing == "finished":
                finished.setdefault(one.key, one)
        return tuple(sorted(finished.values(), key=lambda one: (-self.sign * (one.score or 0.0), one.index)))

    @property
    def best(self) -> Tried | None:
        return next(iter(self.ranked), None)

    @property
    def counts(self) -> dict[str, int]:
        """Standing → how many, those that there are; suggestions that are not made yet are `to come`."""
        standings = [one.standing for one in self.tried]
        counts = {standing: standings.count(standing) for standing in dict.fromkeys(standings)}
        missing = max(self.n_declared - len(self.tried), 0)
        return {**counts, **({"to come": missing} if missing else {})}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must not miss: a reduced budget. A search is never led by test scores."""
        if self.budget_note is None:
            return ()
        return (f"Reduced budget “{self.budget}”: {self.budget_note.rstrip('.')}. Not the whole protocol.",)

    @property
    def title(self) -> str:
        """The metric in running text."""
        from reports.comparison import metric_title

        return metric_title(self.report, self.metric)

    @property
    def names(self) -> dict[str, str]:
        """Path → the shortest end of it that tells it from the others, of two parts at least: `slot_size.entity`."""
        paths = [parameter.path.split(".") for parameter in self.space]
        names = {}
        for path in paths:
            ends = [path[-n:] for n in range(min(2, len(path)), len(path) + 1)]
            alone = (end for end in ends if sum(other[-len(end) :] == end for other in paths) == 1)
            names[".".join(path)] = ".".join(next(alone, path))
        return names

    def shown(self, score: float | None) -> str:
        """A score as it is printed."""
        if score is None:
            return "–"
        scores = [one.score for one in self.tried if one.score is not None]
        is_percent = self.metric in METRICS or self.report.info(self.metric).percent
        return number(score, PERCENT_DECIMALS if is_percent else four_digits(scores))


def read(text: str) -> StudyResults | SearchResults:
    """The record of a report, of whichever kind. Raises ValueError."""
    given = json.loads(text)
    is_search = isinstance(given, dict) and given.get("kind") == KIND
    return (SearchResults if is_search else StudyResults).from_json(text)


def render(results: SearchResults, origin: str) -> dict[str, bytes]:
    """Every file but the record, by name; `best.yaml` once a trial has finished. `origin` is told in the figures."""
    from reports.figures import search

    files = {
        "search.md": table(results).encode(),
        "search.csv": as_csv(results).encode(),
        **search.files(results, origin),
    }
    return files if results.best is None else {"best.yaml": best_settings(results, results.best).encode(), **files}


def best_settings(results: SearchResults, best: Tried) -> str:
    """The values of a suggestion as YAML, over the settings of the study that has searched."""
    note = "" if results.budget_note is None else f" (budget {results.budget}: {results.budget_note})"
    n_equal = sum(results.shown(one.score) == results.shown(best.score) for one in results.ranked)
    others = f", one of {n_equal} with this score" if n_equal > 1 else ""
    lines = [
        f"# {results.title} {results.shown(best.score)}: found by search, tuned on dev, one seed; suggestion "
        f"{best.index} of {len(results.tried)}{others}",
        f"# study {results.study}{note}, trial {best.key}",
        "# These go over the settings of that study; paste them under `settings:` of another.",
        *(f"{path}: {_yaml(value)}" for path, value in best.values.items()),
    ]
    return "\n".join(" ".join(line.split()) if line.startswith("#") else line for line in lines) + "\n"


def _yaml(value: Any) -> str:
    """A plain value, which JSON writes as YAML reads it but for numbers such as 1e-05: YAML 1.1 wants a point there."""
    if isinstance(value, float):
        mantissa, e, exponent = repr(value).partition("e")
        return f"{mantissa if '.' in mantissa else f'{mantissa}.0'}{e}{exponent}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {_yaml(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if isinstance(value, str) and re.fullmatch(r"[a-z]\w*", value) and value not in _NO_TEXT:
        return value
    return json.dumps(value, ensure_ascii=False)


_NO_TEXT = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")


def as_csv(results: SearchResults) -> str:
    """A row a suggestion: numbers with all their digits, an empty field where there is none."""
    paths = [parameter.path for parameter in results.space]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["suggestion", *paths, "standing", "epochs", results.metric, "duration_s", "key", "reason"])
    for one in results.tried:
        values = [word(one.values[path]) for path in paths]
        writer.writerow([one.index, *values, one.standing, one.epochs, one.score, one.duration_s, one.key, one.reason])
    return buffer.getvalue()


def table(results: SearchResults) -> str:
    """The best ten as Markdown."""
    escape = markdown.escape
    ranked = results.ranked
    lines = [results.report.caption or results.question]
    lines[0] = " ".join([escape(lines[0]), *(f"**{escape(warning)}**" for warning in results.warnings)])
    heads = ["Suggestion", *results.names.values(), results.title, "Epochs", "Trial"]
    lines += ["", "| " + " | ".join(map(escape, heads)) + " |", "|" + "--:|" * (len(heads) - 1) + ":--|"]
    for one in ranked[:SHOWN]:
        values = [results.report.name(value) for value in one.values.values()]
        cells = [str(one.index), *values, results.shown(one.score), str(one.epochs), one.key or "–"]
        lines.append("| " + " | ".join(map(escape, cells)) + " |")
    for note in notes(results):
        lines += ["", escape(note)]
    lines += ["", "<details><summary>Origin</summary>", "", *(f"- {escape(line)}" for line in _origin(results))]
    return "\n".join([*lines, "", "</details>"]) + "\n"


def notes(results: SearchResults) -> list[str]:
    """What the scores are, and what they are not."""
    ranked = results.ranked
    which = f"The best {SHOWN} of {len(ranked)} settings" if len(ranked) > SHOWN else "The settings"
    unit = " in percent" if results.metric in METRICS or results.report.info(results.metric).percent else ""
    ends = ", lower is better" if results.sign < 0 else ""
    told = [
        f"{which} that were trained to the end, by {results.title}{unit} at the selected epoch{ends}, with one seed "
        f"({results.seed}) each. These are the scores that the search chose by: the best of them is better than it "
        f"would be again, and settings that differ by less than seeds do are not told apart. To compare settings, make "
        f"a study of them, with more seeds and its scores on test."
    ]
    counts = ", ".join(f"{n} {standing}" for standing, n in results.counts.items())
    told.append(f"Suggestions: {counts}.")
    if results.algorithm == "tpe":
        told.append(
            f"Suggested by TPE (Optuna), seed {results.search_seed}, from the scores that were known by then: where "
            f"trials run side by side, another search with this seed may suggest others. Those of this one are kept."
        )
    else:
        told.append(f"Drawn at random, seed {results.search_seed}.")
    if results.pruning is not None:
        told.append(f"Pruned by {results.pruning}.")
    return told


def _origin(results: SearchResults) -> list[str]:
    lines = [f"study: {results.study}", f"budget: {results.budget}", f"searched for: {results.metric}"]
    for parameter in results.space:
        if parameter.kind == "choice":
            told = ", ".join(map(word, parameter.values))
        else:
            told = f"{parameter.kind} from {word(parameter.low)} to {word(parameter.high)}"
            told += ", all orders of magnitude alike" if parameter.log else ""
        lines.append(f"{parameter.path}: {told}")
    return [*lines, *(f"{name}: {word(value)}" for name, value in results.provenance.items())]
