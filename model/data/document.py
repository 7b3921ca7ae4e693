"""A document with its entities and relations, gold or predicted: the one shape in which all data travels.

Spans are half-open ranges of words, counted over the whole document. A word is a token of the data set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate


@dataclass(frozen=True, slots=True, order=True)
class Mention:
    """A span of words of one sentence that names an entity: words[start:end]."""

    start: int
    end: int
    type: str

    @property
    def span(self) -> tuple[int, int]:
        return self.start, self.end


@dataclass(frozen=True, slots=True)
class Entity:
    """A cluster of coreferent mentions, at least one. Its type is that of its first mention."""

    mentions: tuple[Mention, ...]

    def __post_init__(self) -> None:
        if not self.mentions:
            raise ValueError("an entity needs at least one mention")

    @property
    def type(self) -> str:
        return self.mentions[0].type

    @property
    def spans(self) -> frozenset[tuple[int, int]]:
        return frozenset(mention.span for mention in self.mentions)


@dataclass(frozen=True, slots=True, order=True)
class Relation:
    """A typed, ordered pair of entities, which are given by their position in the document's list."""

    head: int
    tail: int
    type: str


@dataclass(frozen=True)
class Document:
    """Sentences of words, entities, relations. Raises ValueError naming the document and the field that is wrong."""

    id: str
    sentences: tuple[tuple[str, ...], ...]
    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()

    def __post_init__(self) -> None:
        if not any(self.sentences):
            raise ValueError(f"document {self.id!r}: no words in `sentences`")
        for index, entity in enumerate(self.entities):
            for mention in entity.mentions:
                if not 0 <= mention.start < mention.end <= self.n_words:
                    raise ValueError(
                        f"document {self.id!r}: entities[{index}]: mention [{mention.start}, {mention.end}) is not "
                        f"inside its {self.n_words} words"
                    )
                if self.sentence_of[mention.start] != self.sentence_of[mention.end - 1]:
                    raise ValueError(
                        f"document {self.id!r}: entities[{index}]: mention [{mention.start}, {mention.end}) crosses "
                        f"the end of a sentence"
                    )
        for index, relation in enumerate(self.relations):
            for side, entity in (("head", relation.head), ("tail", relation.tail)):
                if not 0 <= entity < len(self.entities):
                    raise ValueError(
                        f"document {self.id!r}: relations[{index}]: {side} {entity} is not one of its "
                        f"{len(self.entities)} entities"
                    )

    @cached_property
    def words(self) -> tuple[str, ...]:
        return tuple(word for sentence in self.sentences for word in sentence)

    @property
    def n_words(self) -> int:
        return len(self.words)

    @cached_property
    def sentence_starts(self) -> tuple[int, ...]:
        """First word of every sentence, and the number of words: one more than there are sentences."""
        return tuple(accumulate((len(sentence) for sentence in self.sentences), initial=0))

    @cached_property
    def sentence_of(self) -> tuple[int, ...]:
        """The sentence of every word."""
        return tuple(index for index, sentence in enumerate(self.sentences) for _ in sentence)

    def mentions(self) -> Iterator[Mention]:
        """All mentions in entity order; a span that is listed twice comes twice."""
        for entity in self.entities:
            yield from entity.mentions

    def text(self, start: int, end: int) -> str:
        """The words [start, end) joined by one blank."""
        return " ".join(self.words[start:end])


def to_json(document: Document) -> dict:
    """A JSON object that `from_json` turns back into an equal document."""
    return {
        "id": document.id,
        "sentences": [list(sentence) for sentence in document.sentences],
        "entities": [
            [{"start": mention.start, "end": mention.end, "type": mention.type} for mention in entity.mentions]
            for entity in document.entities
        ],
        "relations": [
            {"head": relation.head, "tail": relation.tail, "type": relation.type} for relation in document.relations
        ],
    }


def from_json(value: dict) -> Document:
    """The inverse of `to_json`."""
    return Document(
        id=value["id"],
        sentences=tuple(tuple(sentence) for sentence in value["sentences"]),
        entities=tuple(
            Entity(tuple(Mention(mention["start"], mention["end"], mention["type"]) for mention in mentions))
            for mentions in value["entities"]
        ),
        relations=tuple(
            Relation(relation["head"], relation["tail"], relation["type"]) for relation in value["relations"]
        ),
    )
