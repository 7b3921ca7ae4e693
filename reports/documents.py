"""Documents as a report shows them: their words, what is in gold, and what a trial has found.

A trial leaves its predictions as Documents in JSON (`predictions/{split}.json`); gold has the same form. In a report's
folder the chosen ones are in `documents.json`, which is not made for a folder that is to be published: texts of data
sets are not ours to hand on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from reports.counts import StudyCounts
from reports.records import StudyResults

FILE = "documents.json"
Span = tuple[int, int]
"""Words of the document, half-open."""


@dataclass(frozen=True)
class Annotation:
    """Entities and relations of a document."""

    entities: tuple[tuple[str, tuple[Span, ...]], ...]
    """Type and mentions of each."""
    relations: tuple[tuple[int, int, str], ...]
    """Head and tail, as places in `entities`, and type."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Annotation:
        """From a Document in JSON."""
        entities = tuple(
            (str(mentions[0]["type"]), tuple(sorted({(one["start"], one["end"]) for one in mentions})))
            for mentions in document["entities"]
        )
        relations = tuple((one["head"], one["tail"], str(one["type"])) for one in document["relations"])
        return cls(entities, relations)

    def clusters(self) -> set[tuple[str, tuple[Span, ...]]]:
        return set(self.entities)

    def strict(self) -> set[tuple[Any, ...]]:
        """Relations with both entities and their types: equal ones are the same strict relation."""
        return {(self.entities[head], self.entities[tail], name) for head, tail, name in self.relations}


@dataclass(frozen=True)
class ShownDocument:
    """One document with gold and the predictions of several trials."""

    id: str
    split: str
    sentences: tuple[tuple[str, ...], ...]
    gold: Annotation
    predicted: dict[str, Annotation]
    """Variant → what its trial has found."""
    trials: dict[str, str]
    """Variant → key of that trial: its best seed on dev."""
    why: str
    """Why this document was chosen."""


_SHOWN = TypeAdapter(tuple[ShownDocument, ...], config=ConfigDict(extra="forbid"))


def render(shown: Sequence[ShownDocument]) -> bytes:
    return _SHOWN.dump_json(tuple(shown), indent=1) + b"\n"


def read(content: bytes) -> tuple[ShownDocument, ...]:
    """Raises ValueError."""
    return _SHOWN.validate_json(content)


def choose(results: StudyResults, trials: Mapping[str, str], split: str, n: int) -> list[tuple[str, str]]:
    """Ids of up to `n` documents, each with the reason: first those on which the trials disagree most, by the spread
    of correct less spurious strict relations; then those with most relations in gold. `trials`: variant → key."""
    counts: StudyCounts | None = results.counts
    found = {} if counts is None else {name: counts.trials.get((key, split)) for name, key in trials.items()}
    there = {name: of for name, of in found.items() if of is not None and "relation_strict" in of.tasks}
    if not there:
        return []
    first = next(iter(there.values()))
    of_each = {name: of.of("relation_strict") for name, of in there.items() if of.documents.ids == first.documents.ids}
    gains = {name: of[:, 0] - of[:, 1] for name, of in of_each.items()}
    gold = next(iter(of_each.values()))[:, [0, 2]].sum(axis=1)
    apart = [
        max(int(of[at]) for of in gains.values()) - min(int(of[at]) for of in gains.values()) for at in range(len(gold))
    ]
    order = sorted(range(len(gold)), key=lambda at: (-apart[at], -int(gold[at]), first.documents.ids[at]))
    return [
        (
            first.documents.ids[at],
            "on it the variants differ most in strict relations"
            if apart[at]
            else "it has the most relations in gold of those on which the variants agree",
        )
        for at in order[:n]
    ]
