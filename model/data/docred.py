"""DocRED, Re-DocRED and JEREX's joint split of DocRED → Documents.

One JSON array of documents:

    title       a string
    sents       sentences, each a list of words
    vertexSet   entities, each the list of its mentions {sent_id, pos: [start, end) in the sentence, type, name}
    labels      relations {r: relation id, h: head, t: tail, evidence}; missing where they are withheld (DocRED test)

As in the released code, nothing is filtered: a span may stand in two entities, an entity has the type of its first
mention, and mentions keep the order of the file. `name` is not read, since it differs from the words now and then;
`evidence` is not read, since no part of the model uses it. A word may be blank (there are some): it is a word to be
counted, as positions count it.

Difference from the released code: types are numbered in alphabetical order and not in the order of a `types.json`,
so that memory rows mean the same on every split. No score depends on it but through the random start.
"""

from __future__ import annotations

import json
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

from model.data.document import Document, Entity, Mention, Relation
from model.data.files import read_text
from model.data.labels import Labels

READER = 1
"""Raised whenever the same file gives other documents, so that trials on the old ones are not taken for new ones."""


def _labels() -> Labels:
    types = json.loads(files("model.data").joinpath("docred_types.json").read_text(encoding="utf-8"))
    return Labels(
        entity_types=tuple(types["entity_types"]),
        relation_types=tuple(types["relation_types"]),
        relation_names=types["relation_types"],
    )


LABELS = _labels()
"""6 entity types and 96 relation ids, both in alphabetical order, and what the ids mean (Wikidata properties)."""


def read(path: Path) -> tuple[Document, ...]:
    """Documents of a file, plain or .gz, in its order. See `parse`."""
    return parse(read_text(path), str(path))


def parse(text: str, source: str) -> tuple[Document, ...]:
    """Documents of a JSON text, in its order.

    A document's id is its title; a title that comes again is followed by its number, as in "Lark Force (2)".
    Raises ValueError with source, document and field for anything that is missing, of another kind or out of range.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{source}: line {error.lineno}, column {error.colno}: not JSON ({error.msg})") from error
    if not isinstance(values, list) or not values:
        raise ValueError(f"{source}: expected a JSON array of at least one document, found {_shown(values)}")
    seen: Counter[str] = Counter()
    return tuple(_document(_Place(source, str(index)), value, seen) for index, value in enumerate(values))


class _Place:
    """Where in the file we are; takes values out of JSON and refuses those of another kind."""

    def __init__(self, source: str, document: str) -> None:
        self.source = source
        self.document = document

    def wrong(self, field: str, what: str) -> ValueError:
        return ValueError(f"{self.source}: document {self.document}: {field} {what}")

    def list(self, value: Any, field: str) -> list[Any]:
        if not isinstance(value, list):
            raise self.wrong(field, f"is {_shown(value)}, expected a list")
        return value

    def string(self, value: Any, field: str) -> str:
        if not isinstance(value, str):
            raise self.wrong(field, f"is {_shown(value)}, expected a string")
        return value

    def index(self, value: Any, field: str, below: int, of: str) -> int:
        """A number from 0 to `below`, not included."""
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < below:
            raise self.wrong(field, f"is {_shown(value)}, expected the number of one of the {below} {of}, from 0")
        return value

    def field(self, value: Any, field: str, name: str) -> Any:
        if not isinstance(value, dict):
            raise self.wrong(field, f"is {_shown(value)}, expected an object")
        if name not in value:
            raise self.wrong(f"{field}.{name}" if field != "it" else name, "is missing")
        return value[name]


def _document(place: _Place, value: Any, seen: Counter[str]) -> Document:
    title = place.string(place.field(value, "it", "title"), "title")
    place.document += f" {title!r}"
    seen[title] += 1
    sentences = tuple(
        tuple(
            place.string(word, f"sents[{number}][{position}]")
            for position, word in enumerate(place.list(words, f"sents[{number}]"))
        )
        for number, words in enumerate(place.list(place.field(value, "it", "sents"), "sents"))
    )
    if not any(sentences):
        raise place.wrong("sents", "has no words")
    starts = [sum(map(len, sentences[:number])) for number in range(len(sentences))]
    entities = []
    for number, cluster in enumerate(place.list(place.field(value, "it", "vertexSet"), "vertexSet")):
        if not place.list(cluster, f"vertexSet[{number}]"):
            raise place.wrong(f"vertexSet[{number}]", "has no mentions")
        entities.append(
            Entity(
                tuple(
                    _mention(place, mention, f"vertexSet[{number}][{position}]", sentences, starts)
                    for position, mention in enumerate(cluster)
                )
            )
        )
    relations = []
    for number, label in enumerate(place.list(value.get("labels", []), "labels")):
        field = f"labels[{number}]"
        type = place.string(place.field(label, field, "r"), f"{field}.r")
        if type not in LABELS.relation_index:
            raise place.wrong(f"{field}.r", f"is {type!r}, not one of the {len(LABELS.relation_types)} relation types")
        head, tail = (
            place.index(place.field(label, field, side), f"{field}.{side}", len(entities), "entities") for side in "ht"
        )
        relations.append(Relation(head, tail, type))
    return Document(
        id=title if seen[title] == 1 else f"{title} ({seen[title]})",
        sentences=sentences,
        entities=tuple(entities),
        relations=tuple(relations),
    )


def _mention(
    place: _Place, value: Any, field: str, sentences: tuple[tuple[str, ...], ...], starts: list[int]
) -> Mention:
    sentence = place.index(place.field(value, field, "sent_id"), f"{field}.sent_id", len(sentences), "sentences")
    words = len(sentences[sentence])
    position = place.list(place.field(value, field, "pos"), f"{field}.pos")
    whole = len(position) == 2 and all(type(number) is int for number in position)
    if not whole or not 0 <= position[0] < position[1] <= words:
        raise place.wrong(f"{field}.pos", f"is {_shown(position)}, expected [start, end) inside {words} words")
    kind = place.string(place.field(value, field, "type"), f"{field}.type")
    if kind not in LABELS.entity_index:
        raise place.wrong(f"{field}.type", f"is {kind!r}, expected one of {', '.join(LABELS.entity_types)}")
    return Mention(starts[sentence] + position[0], starts[sentence] + position[1], kind)


def _shown(value: Any) -> str:
    """A value of a file, short enough for a message."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
