"""Why two trials differ: in what identifies them, in what came of them, in where they ran.

settings, trainable, seed, data, code    what a key is made of; where these are equal it is the same trial
status, metrics, time, facts             what came of it
provenance                               what should not change a score: commit, packages, machine, command
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.errors import did_you_mean, refused
from orchestrator.overrides import flat
from orchestrator.store import RECORD, Home, TrialRecord

SHORTEST_PREFIX = 4
"""Hex digits by which a trial can be named."""


class _Absent:
    """Marks a setting that one of two trials does not have."""

    def __repr__(self) -> str:
        return "(absent)"


ABSENT: Final = _Absent()


@dataclass(frozen=True)
class Change:
    """One thing that differs."""

    path: str
    """Dotted."""
    a: Any
    b: Any
    """`ABSENT` where B does not have it."""


@dataclass(frozen=True)
class Score:
    """A metric of two trials, in percent; `None` where a trial does not have it."""

    name: str
    a: float | None
    b: float | None

    @property
    def difference(self) -> float | None:
        """B − A."""
        return None if self.a is None or self.b is None else self.b - self.a


@dataclass(frozen=True)
class Difference:
    """Two trials and what differs between them. What is equal is not listed, but for metrics."""

    a: TrialRecord
    b: TrialRecord
    settings: tuple[Change, ...]
    """In the order of A's settings. A part that one trial does not have at all is one change."""
    rest_of_key: tuple[Change, ...]
    """Of the trainable, seed, data digest and code epoch."""
    outcome: tuple[Change, ...]
    """Of status, selected epoch, attempts and duration."""
    metrics: tuple[Score, ...]
    """All that either trial has: on test before dev, F1 first."""
    facts: tuple[Change, ...]
    provenance: tuple[Change, ...]
    """Code first, then environment, packages, Python, hardware, command."""

    @property
    def same_trial(self) -> bool:
        """Whether nothing differs that could change a score."""
        return not self.settings and not self.rest_of_key


def find(home: Home, prefix: str) -> TrialRecord:
    """The trial whose key begins so. Raises StudyError where none does, or more than one."""
    wanted = prefix.strip().lower()
    if not re.fullmatch(f"[0-9a-f]{{{SHORTEST_PREFIX},}}", wanted):
        raise refused(
            f"'{prefix}' is no trial key, wanted its first {SHORTEST_PREFIX} or more hex digits; "
            f"`orchestrate status` lists the keys"
        )
    keys = sorted(path.parent.name for path in home.trials.glob(f"*/{RECORD}"))
    if not keys:
        raise refused(f"there is no trial under {home.root}; run a study, or name another home by --home")
    found = [key for key in keys if key.startswith(wanted)]
    if not found:
        # a prefix is compared with as much of each key
        starts = {key[: len(wanted)]: key for key in keys}
        raise refused(f"no trial of {home.root} has a key that begins with '{wanted}'{did_you_mean(wanted, starts)}")
    if len(found) > 1:
        shown = [_named(home, key) for key in found[:_SHOWN]]
        more = [f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        raise refused(f"{len(found)} keys begin with '{wanted}', give more digits: {'; '.join(shown + more)}")
    record = home.record(found[0])
    assert record is not None, f"{found[0]} had a record a moment ago"
    return record


_SHOWN = 6


def _named(home: Home, key: str) -> str:
    record = home.record(key)
    return key if record is None else f"{key} ({record.study}, {record.variant}, seed {record.seed})"


def difference(a: TrialRecord, b: TrialRecord) -> Difference:
    """What differs from A to B."""
    return Difference(
        a=a,
        b=b,
        settings=_changes(a.settings, b.settings),
        rest_of_key=_changes(
            *(_fields(record, ("trainable", "seed", "data_digest", "code_epoch")) for record in (a, b))
        ),
        outcome=_changes(
            *(_fields(record, ("status", "selected_epoch", "attempts", "duration_s")) for record in (a, b))
        ),
        metrics=tuple(
            Score(name, a.metrics.get(name), b.metrics.get(name))
            for name in sorted({**a.metrics, **b.metrics}, key=_importance)
        ),
        facts=_changes(a.facts, b.facts),
        provenance=tuple(sorted(_changes(a.provenance, b.provenance), key=_section)),
    )


def _fields(record: TrialRecord, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def _changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Change, ...]:
    left, right = flat(a), flat(b)
    changes: dict[str, Change] = {}
    for path in {**left, **right}:
        at = path
        if path not in left or path not in right:
            # where one side has `null` or another leaf in place of a whole part, that part is one change
            other = right if path in left else left
            at = next((outer for outer in _outer(path) if outer in other), path)
        change = Change(at, _value(a, left, at), _value(b, right, at))
        if _written(change.a) != _written(change.b):
            changes[at] = change
    return tuple(changes.values())


def _outer(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _value(tree: Any, leaves: Mapping[str, Any], path: str) -> Any:
    if path in leaves:
        return leaves[path]
    for part in path.split("."):
        if not isinstance(tree, Mapping) or part not in tree:
            return ABSENT
        tree = tree[part]
    return tree


def _written(value: Any) -> str:
    """`1`, `1.0` and `true` are different values of a setting, although Python takes them for equal."""
    return repr(value) if value is ABSENT else json.dumps(value, sort_keys=True, default=str)


def _importance(metric: str) -> tuple[bool, bool, str]:
    return not metric.endswith("_f1"), not metric.startswith("test/"), metric


_SECTIONS = ("code", "environment", "packages", "python", "hardware", "command", "cwd")


def _section(change: Change) -> int:
    name = change.path.partition(".")[0]
    return _SECTIONS.index(name) if name in _SECTIONS else len(_SECTIONS)


# ------------------------------------------------------------------------------------------------------------ rendering


def as_json(found: Difference) -> dict[str, Any]:
    """For programs: values whole, and a side that does not have a setting without its key."""

    def changes(given: Iterable[Change]) -> list[dict[str, Any]]:
        return [
            {"path": change.path, **{s: v for s, v in (("a", change.a), ("b", change.b)) if v is not ABSENT}}
            for change in given
        ]

    def trial(record: TrialRecord) -> dict[str, Any]:
        return _fields(record, ("key", "study", "budget", "variant", "seed", "status"))

    return {
        "a": trial(found.a),
        "b": trial(found.b),
        "same_trial": found.same_trial,
        "settings": changes(found.settings),
        "rest_of_key": changes(found.rest_of_key),
        "outcome": changes(found.outcome),
        "metrics": [
            {"name": score.name, "a": score.a, "b": score.b, "difference": score.difference} for score in found.metrics
        ],
        "facts": changes(found.facts),
        "provenance": changes(found.provenance),
    }


def lines(found: Difference) -> list[str]:
    """For people: what most likely explains the scores first. Long digests are cut to 12 digits."""
    made = [f"{name}  {_title(record)}" for name, record in (("A", found.a), ("B", found.b))]
    made += ["", _verdict(found)]
    made += _section_of("in the key", (*found.settings, *found.rest_of_key))
    made += _metrics(found)
    for title, changes in (("outcome", found.outcome), ("facts", found.facts), ("provenance", found.provenance)):
        made += _section_of(title, changes)
    return made


def _title(record: TrialRecord) -> str:
    return (
        f"{record.key}  {record.study}, budget {record.budget}: {record.variant}, seed {record.seed}, {record.status}"
    )


def _verdict(found: Difference) -> str:
    if found.a.key == found.b.key:
        return "A and B are one trial"
    if found.same_trial:
        equal = "A and B are the same trial: settings, seed, data and code epoch are equal"
        scores_differ = any(score.a != score.b for score in found.metrics)
        return f"{equal}, yet their scores differ" if scores_differ else equal
    n_settings = len(found.settings)
    parts = [f"{n_settings} setting{'s' * (n_settings != 1)}"] if found.settings else []
    parts += dict.fromkeys(_WORDS[change.path.partition(".")[0]] for change in found.rest_of_key)
    return f"differ in {', '.join(parts)}"


_WORDS = {"trainable": "the trainable", "seed": "the seed", "data_digest": "the data", "code_epoch": "the code epoch"}
_WIDEST = 44
"""Letters of a value that has a column; longer ones have a line each."""


def _section_of(title: str, changes: Iterable[Change]) -> list[str]:
    rows = [(change.path, *(_shown(value, change.path) for value in (change.a, change.b))) for change in changes]
    if not rows:
        return []
    return ["", *_aligned([(title, "A", "B"), *rows])]


def _metrics(found: Difference) -> list[str]:
    # precision and recall stand in the JSON; where there is no F1, all do
    main = [score for score in found.metrics if score.name.endswith("_f1")] or list(found.metrics)
    if not main:
        return []
    rows = []
    for score in main:
        change = "" if score.difference is None else _signed(score.difference)
        a, b = ("(absent)" if value is None else f"{value:.2f}" for value in (score.a, score.b))
        rows.append((score.name, a, b, change))
    more = len(found.metrics) - len(main)
    left_out = [f"  and {more} more, by --json"] if more else []
    return ["", *_aligned([("metrics", "A", "B", "B − A"), *rows], numbers=True), *left_out]


def _signed(value: float) -> str:
    if value == 0:
        return "="
    # a difference that two decimals would hide is a difference all the same
    return f"{value:+.2f}" if abs(value) >= 0.005 else f"{value:+.0e}"


def _aligned(rows: list[tuple[str, ...]], numbers: bool = False) -> list[str]:
    narrow = [row for row in rows if max(map(len, row[1:])) <= _WIDEST]
    widths = [max(len(row[at]) for row in narrow) for at in range(len(rows[0]))] if narrow else []
    made = []
    for row in rows:
        if row not in narrow:
            made += [f"  {row[0]}", f"    A  {row[1]}", f"    B  {row[2]}"]
            continue
        cells = [
            cell.rjust(width) if numbers and at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        made.append("  " + "  ".join(cells).rstrip())
    return made


def _shown(value: Any, path: str) -> str:
    """A value as YAML would have it; text that reads like another value is in quotes."""
    if value is ABSENT:
        text = repr(ABSENT)
    elif path == "command" and isinstance(value, list):
        text = shlex.join(map(str, value))
    elif path == "duration_s":
        text = f"{value:.1f} s"
    elif isinstance(value, str) and not _reads_as_json(value):
        text = value
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{28,}\b", r"\1…", text.replace("\n", "\\n"))


def _reads_as_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
