"""The built-in corpus: short encyclopedic texts made from a seed, for the quickstart and for tests.

Each document tells of a person, an organisation or a place. Entities are named in full, then by a short name, a
pronoun or a noun ("she", "the company", "the town"), all of which are mentions. Facts are told by one sentence or by
two, the second of which does not name the head again; look-alikes ("declined an offer to join") tell of no relation.

What makes it a test and not a game of look-up: dev and test use names that train does not have, and tell a part of
their facts in words that train does not have. A score on this corpus says that the parts work together. It compares
with no published number.

Every draw comes from generators made of the seed, one a split, so that a split does not depend on the others' sizes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from itertools import product
from random import Random
from typing import Literal

from pydantic import ConfigDict, TypeAdapter

from model.data.document import Document, Entity, Mention, Relation
from model.data.labels import Labels
from model.settings import BuiltinSettings

PAIR_TYPES: dict[str, tuple[str, str]] = {
    "acquired": ("ORG", "ORG"),
    "born_in": ("PER", "LOC"),
    "born_on": ("PER", "DATE"),
    "child_of": ("PER", "PER"),
    "founded": ("PER", "ORG"),
    "founded_on": ("ORG", "DATE"),
    "headquartered_in": ("ORG", "LOC"),
    "located_in": ("LOC", "LOC"),
    "works_for": ("PER", "ORG"),
}
"""Entity types of head and tail of every relation type."""

LABELS = Labels(
    entity_types=("DATE", "LOC", "ORG", "PER"),
    relation_types=tuple(PAIR_TYPES),
    relation_names={name: name.replace("_", " ") for name in PAIR_TYPES},
)

SENTENCES = (5, 9)
"""Fewest and most sentences of a document."""

WORDS = (60, 130)
"""Fewest and most words of a document."""

FEWEST_RELATIONS = 2

# ------------------------------------------------------------------------------------------------------ what is said

_SLOT = re.compile(r"\{([sod])('s|!)?\}")
_BLANKS = {"{job}", "{sector}", "{noun}", "{child}", "{parent}"}  # filled with words that are no mention
_TYPES = {"PER": "PER", "ORG": "ORG", "CITY": "LOC", "REGION": "LOC", "DATE": "DATE"}
"""Entity type of what can stand in a slot."""

_NameKind = Literal["women", "men", "surnames", "cities", "regions", "organisations"]
_Names = dict[_NameKind, tuple[str, ...]]
"""The names that one split may use."""


@dataclass(frozen=True)
class _Kind:
    """A way to go on: what stands in its slots, which relations it tells, and in which words.

    Slots: {s} is the subject, {o} the object, {d} a date; {s's} is the possessive; {s!} and {o!} are named, not
    reduced. A bar parts two sentences. `unseen` are wordings that only dev and test have.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    slots: dict[Literal["s", "o", "d"], Literal["PER", "ORG", "CITY", "REGION", "DATE"]]
    relations: tuple[tuple[str, str, str], ...]
    seen: tuple[str, ...]
    unseen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        types = {slot: _TYPES[kind] for slot, kind in self.slots.items()}
        for type, *ends in self.relations:
            if PAIR_TYPES.get(type) != tuple(map(types.get, ends)):
                raise ValueError(f"{type} does not hold between {ends} of the slots {self.slots}")
        for wording in self.seen + self.unseen:
            pieces = {piece for piece in wording.split() if "{" in piece} - _BLANKS
            if {slot[1] if (slot := _SLOT.fullmatch(piece)) else piece for piece in pieces} != set(self.slots):
                raise ValueError(f"{wording!r} does not fit the slots {self.slots}")


@dataclass(frozen=True)
class _Material:
    """What the texts are made of: `builtin_sentences.json`, checked when this file is imported."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    facts: tuple[_Kind, ...]
    look_alikes: tuple[_Kind, ...]
    fillers: tuple[_Kind, ...]
    openings: tuple[str, ...]
    jobs: tuple[str, ...]
    months: tuple[str, ...]
    branches: dict[str, tuple[str, str]]
    """Second part of an organisation's name: what it may be called, and its trade."""
    names: dict[_NameKind, tuple[tuple[str, ...], ...]]
    """The parts of a name, each a list to choose from: a stem and an ending, or a first name only."""


_MATERIAL = TypeAdapter(_Material).validate_json(files("model.data").joinpath("builtin_sentences.json").read_bytes())


def _name_shares(random: Random) -> tuple[_Names, _Names, _Names]:
    """All names, dealt out to train, dev and test: three fifths, one fifth, one fifth; no name is in two of them."""
    train, dev, test = shares = _Names(), _Names(), _Names()
    for kind, parts in _MATERIAL.names.items():
        names = tuple(map("".join, product(*parts)))
        shuffled = tuple(random.sample(names, len(names)))
        first, second = len(names) * 3 // 5, len(names) * 4 // 5
        for share, part in zip(shares, (shuffled[:first], shuffled[first:second], shuffled[second:]), strict=True):
            share[kind] = part
    return train, dev, test


# --------------------------------------------------------------------------------------------------------- documents


def generate(settings: BuiltinSettings) -> tuple[tuple[Document, ...], tuple[Document, ...], tuple[Document, ...]]:
    """Train, dev and test documents. The same settings give the same documents; more documents keep the first ones."""
    sizes = (("train", settings.train, 0.0), ("dev", settings.dev, 0.3), ("test", settings.test, 0.3))
    shares = _name_shares(Random(settings.seed * 4 + 3))
    train, dev, test = (
        tuple(_documents(Random(settings.seed * 4 + number), names, unseen, f"{split}-{settings.seed}", size))
        for number, ((split, size, unseen), names) in enumerate(zip(sizes, shares, strict=True))
    )
    return train, dev, test


def _documents(random: Random, names: _Names, p_unseen: float, prefix: str, size: int) -> Iterator[Document]:
    for number in range(size):
        while True:  # a story that comes out too short, too long or too empty is told anew
            document = _Story(random, names, p_unseen).tell(f"{prefix}-{number}")
            if (
                SENTENCES[0] <= len(document.sentences) <= SENTENCES[1]
                and WORDS[0] <= document.n_words <= WORDS[1]
                and len(document.relations) >= FEWEST_RELATIONS
            ):
                yield document
                break


@dataclass(eq=False)
class _Thing:
    """An entity of a story. `kind` is its type, but for places: CITY or REGION."""

    kind: str
    full: str
    short: str
    reduced: str
    """Pronoun, or noun with article; empty if it is always named."""
    woman: bool = False
    trade: str = ""
    generation: int = 0
    """How many children down the line the text has; a birth is that many times 25 years earlier."""

    @property
    def type(self) -> str:
        return _TYPES[self.kind]

    def may_be_taken_for(self, other: _Thing) -> bool:
        """Whether "she" or "the town" may mean either."""
        return self.kind == other.kind and self.woman == other.woman


_ONE_TAIL = {"born_in", "born_on", "works_for", "child_of", "founded_on", "headquartered_in", "located_in", "founded"}
"""A head has at most one tail, so that no text contradicts itself."""
_ONE_HEAD = {"founded", "acquired"}


class _Story:
    """Tells one document sentence by sentence, going from an entity to what can be said next of it."""

    def __init__(self, random: Random, names: _Names, p_unseen: float) -> None:
        self.random = random
        self.names = names
        self.p_unseen = p_unseen
        self.things: list[_Thing] = []
        self.mentions: dict[_Thing, list[Mention]] = {}
        self.relations: list[tuple[str, _Thing, _Thing]] = []
        self.related: set[frozenset[_Thing]] = set()
        """Pairs of which something has been told, true or look-alike; nothing more is told of them."""
        self.sentences: list[list[str]] = []
        self.subject: _Thing | None = None
        self.recent: list[_Thing] = []
        self.used: set[str] = set()
        self.opened = False
        self.first_year = random.randint(1905, 1950)
        """People are born first, organisations founded a generation later, and all else happens after that."""

    def tell(self, id: str) -> Document:
        topic = self._new(self.random.choices(("PER", "ORG", "CITY"), (9, 7, 4))[0])
        length = self.random.randint(*SENTENCES)
        self._go_on(topic, _MATERIAL.facts)
        while len(self.sentences) < length:
            kinds = self.random.choices((_MATERIAL.facts, _MATERIAL.look_alikes, _MATERIAL.fillers), (63, 31, 6))[0]
            if self.random.random() < 0.55 and self.subject:
                topic = self.subject
            else:
                topic = self.random.choice([thing for thing in self.things if thing.kind in ("PER", "ORG", "CITY")])
            self._go_on(topic, kinds)
        order = sorted(self.mentions, key=lambda thing: self.mentions[thing][0])
        index = {thing: position for position, thing in enumerate(order)}
        return Document(
            id=id,
            sentences=tuple(map(tuple, self.sentences)),
            entities=tuple(Entity(tuple(self.mentions[thing])) for thing in order),
            relations=tuple(Relation(index[head], index[tail], type) for type, head, tail in self.relations),
        )

    def _go_on(self, topic: _Thing, kinds: tuple[_Kind, ...]) -> None:
        """Say one more thing of the topic, if there is one left to say."""
        kind = self.random.choice([kind for kind in kinds if kind.slots["s"] == topic.kind])
        if self._contradicts(kind, "s", topic):
            return
        wordings = kind.unseen if kind.unseen and self.random.random() < self.p_unseen else kind.seen
        wording = self.random.choice(wordings)
        if wording in self.used:
            return
        self.used.add(wording)
        filled = {"s": topic}
        for slot, wanted in kind.slots.items():
            if slot != "s":
                filled[slot] = self._object(kind, slot, wanted, topic)
        if "o" in filled:
            self.related.add(frozenset((topic, filled["o"])))
        self.relations += [(type, filled[head], filled[tail]) for type, head, tail in kind.relations]
        self._say(wording, filled)

    def _contradicts(self, kind: _Kind, slot: str, thing: _Thing) -> bool:
        """Whether the thing in this slot would have a second tail or head where the text may tell of one only."""
        return any(
            ends[side] == slot and told == type and told_ends[side] is thing
            for type, *ends in kind.relations
            for side, limited in enumerate((_ONE_TAIL, _ONE_HEAD))
            if type in limited
            for told, *told_ends in self.relations
        )

    def _object(self, kind: _Kind, slot: str, wanted: str, topic: _Thing) -> _Thing:
        """An entity of the text of which nothing was told together with the topic, or a new one."""
        types = {type for type, *_ in kind.relations}
        if wanted == "DATE":
            return self._new(wanted, year=self._year(types, topic))
        family = "child_of" in types
        known = [
            thing
            for thing in self.things
            if thing.kind == wanted
            and thing is not topic
            and frozenset((thing, topic)) not in self.related
            and not (family and self._has_age(thing))
            and not self._contradicts(kind, slot, thing)
        ]
        if known and self.random.random() < 0.5:
            thing = self.random.choice(known)
        else:
            thing = self._new(wanted, like=topic if family and self.random.random() < 0.3 else None)
        if family:
            thing.generation = topic.generation + 1
        return thing

    def _has_age(self, thing: _Thing) -> bool:
        """Whether the text tells of a birth date, parents or children, so that it may be too young for a parent."""
        return any(thing in ends for type, *ends in self.relations if type in ("born_on", "child_of"))

    def _year(self, types: set[str], topic: _Thing) -> int:
        if "born_on" in types:
            return self.first_year - 25 * topic.generation + self.random.randint(0, 6)
        if "founded_on" in types:
            return self.first_year + self.random.randint(30, 36)
        return self.first_year + self.random.randint(38, 60)

    # -------------------------------------------------------------------------------------------------- entities

    def _new(self, kind: str, like: _Thing | None = None, year: int = 0) -> _Thing:
        """An entity with a name that the text does not have yet; `like` gives its surname to a parent."""
        while True:
            thing = self._draw(kind, like, year)
            taken = {name for other in self.things for name in (other.full, other.short)}
            if not {thing.full, thing.short} & taken:
                self.things.append(thing)
                return thing

    def _draw(self, kind: str, like: _Thing | None, year: int) -> _Thing:
        pick = self.random.choice
        match kind:
            case "PER":
                woman = self.random.random() < 0.5
                first = pick(self.names["women" if woman else "men"])
                surname = like.full.split()[-1] if like else pick(self.names["surnames"])
                return _Thing(kind, f"{first} {surname}", first if like else surname, "she" if woman else "he", woman)
            case "ORG":
                stem, branch = pick(self.names["organisations"]), pick(tuple(_MATERIAL.branches))
                noun, trade = _MATERIAL.branches[branch]
                return _Thing(kind, f"{stem} {branch}", stem, f"the {noun}", trade=trade)
            case "CITY":
                name = pick(self.names["cities"])
                return _Thing(kind, name, name, pick(("the town", "the city")))
            case "REGION":
                name = pick(self.names["regions"])
                return _Thing(kind, name, name, "")
            case "DATE":
                day, month = self.random.randint(1, 28), pick(_MATERIAL.months)
                date = pick((f"{day} {month} {year}", f"{month} {day} , {year}"))
                return _Thing(kind, date, date, "")
        raise AssertionError(kind)

    # ------------------------------------------------------------------------------------------------- sentences

    def _say(self, wording: str, filled: dict[str, _Thing]) -> None:
        """Put the entities into the words. Every second sentence of a wording is a sentence of its own."""
        if wording.startswith("{s}") and not self.opened and self.random.random() < 0.15:
            wording = f"{self.random.choice(_MATERIAL.openings)} {wording}"
            self.opened = True
        for sentence in wording.split(" | "):
            words: list[str] = []
            offset = sum(map(len, self.sentences))
            for piece in sentence.split():
                slot = _SLOT.fullmatch(piece)
                if not slot:
                    words += self._word(piece, filled).split()
                    continue
                thing, mark = filled[slot[1]], slot[2] or ""
                name = self._name(thing, slot[1], mark, filled)
                possessive = {"she": "her", "he": "his"}.get(name) if mark == "'s" else None
                start = offset + len(words)
                words += (possessive or name).split()
                self.mentions.setdefault(thing, []).append(Mention(start, offset + len(words), thing.type))
                if mark == "'s" and not possessive:
                    words.append("'s")
            words[0] = words[0][0].upper() + words[0][1:]
            self.sentences.append(words)
        self.subject = filled["s"]
        self.recent = list(filled.values())

    def _word(self, piece: str, filled: dict[str, _Thing]) -> str:
        match piece:
            case "{job}":
                return self.random.choice(_MATERIAL.jobs)
            case "{sector}":
                return next(thing.trade for thing in filled.values() if thing.trade)
            case "{noun}":
                return filled["s"].reduced.removeprefix("the ")
            case "{child}":
                return "daughter" if filled["s"].woman else "son"
            case "{parent}":
                return "mother" if filled["o"].woman else "father"
        return piece

    def _name(self, thing: _Thing, slot: str, mark: str, filled: dict[str, _Thing]) -> str:
        """In full at first; then short, in full, or reduced where the sentence before leaves no doubt who is meant."""
        if thing not in self.mentions:
            return thing.full
        others = [other for other in self.recent if other is not thing]
        clear = thing in self.recent and not any(thing.may_be_taken_for(other) for other in others)
        if slot == "s":
            p_reduced = 0.2 if thing is self.subject and mark != "!" else 0.0
        else:
            named_too = any(thing.may_be_taken_for(other) for other in filled.values() if other is not thing)
            p_reduced = 0.12 if thing.kind in ("ORG", "CITY") and mark != "!" and not named_too else 0.0
        if clear and thing.reduced and self.random.random() < p_reduced:
            return thing.reduced
        return thing.short if self.random.random() < 0.5 else thing.full
