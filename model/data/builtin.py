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
from itertools import product
from random import Random

from model.data.document import Document, Entity, Mention, Relation
from model.data.labels import Labels
from model.settings import BuiltinSettings

VERSION = 1
"""Raised whenever a seed gives other documents, so that trials on the old ones are not taken for new ones."""

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


@dataclass(frozen=True)
class _Kind:
    """A way to go on: what stands in its slots, which relations it tells, and in which words.

    Slots: {s} is the subject, {o} the object, {d} a date; {s's} is the possessive; {s!} and {o!} are named, not
    reduced. A bar parts two sentences. `unseen` are wordings that only dev and test have.
    """

    slots: dict[str, str]
    relations: tuple[tuple[str, str, str], ...]
    seen: tuple[str, ...]
    unseen: tuple[str, ...] = ()


_FACTS = (
    _Kind(
        {"s": "PER", "o": "CITY", "d": "DATE"},
        (("born_in", "s", "o"), ("born_on", "s", "d")),
        (
            "{s} was born in {o} on {d} .",
            "{s} was born on {d} in {o} , where the family ran a bakery .",
            "Born in {o} on {d} , {s} trained as {job} .",
            "{s} was born on {d} . | The delivery took place at a small hospital in {o} .",
        ),
        ("{o} is the place where {s} came into the world on {d} .",),
    ),
    _Kind(
        {"s": "PER", "o": "CITY"},
        (("born_in", "s", "o"),),
        (
            "{s} was born in {o} .",
            "{s} is a native of {o} and trained as {job} .",
            "{s's} birthplace is {o} .",
            "{s} was born into a family of teachers . | The family home stood in {o} , near the railway station .",
        ),
        (
            "{o} is where {s} was born and went to school .",
            "{s} came from a large family of farmers . | The farm on which all the children were born is in {o} .",
        ),
    ),
    _Kind(
        {"s": "CITY", "o": "PER"},
        (("born_in", "o", "s"),),
        (
            "{s} is the birthplace of {o} , who became known as {job} .",
            "In {s} , people still talk of {o} , a native .",
            "{s} takes pride in a famous native . | A street near the school is named after {o} , who became {job} .",
        ),
        ("{s} has a plaque on the house in which {o} was born .",),
    ),
    _Kind(
        {"s": "PER", "o": "PER"},
        (("child_of", "s", "o"),),
        (
            "{s} is the {child} of {o} .",
            "{s's} {parent} is {o} .",
            "{o} is the {parent} of {s} .",
            "{s} grew up with one {parent} and two aunts . | The {parent} , {o} , was known for long walks .",
        ),
        ("As the {child} of {o} , {s} grew up among books .",),
    ),
    _Kind(
        {"s": "PER", "o": "ORG"},
        (("works_for", "s", "o"),),
        (
            "{s} works as {job} at {o} .",
            "{s} joined {o} as {job} .",
            "{s} has been employed by {o} for many years .",
            "{s} found a position as {job} . | The employer is {o!} , which has a good name in the field .",
        ),
        (
            "{s} is on the staff of {o} , as {job} .",
            "{s} was looking for work as {job} . | In the end it was {o} that offered a contract .",
        ),
    ),
    _Kind(
        {"s": "PER", "o": "ORG", "d": "DATE"},
        (("works_for", "s", "o"),),
        ("{s} joined {o} as {job} on {d} .", "{s} signed a contract as {job} with {o} on {d} ."),
        ("{s} took up a post at {o} on {d} .",),
    ),
    _Kind(
        {"s": "ORG", "o": "PER"},
        (("works_for", "o", "s"),),
        (
            "{s} employs {o} as {job} .",
            "{s} hired {o} , who had trained as {job} .",
            "{s} had to replace {job} . | The new employee is {o} .",
        ),
        ("{s} has {o} on the payroll .",),
    ),
    _Kind(
        {"s": "PER", "o": "ORG"},
        (("founded", "s", "o"),),
        (
            "{s} founded {o} .",
            "{s} set up {o} with money from two friends .",
            "{s} is the founder of {o} .",
            "{s} left a safe job to start a business . | The result was {o!} , a {sector} firm .",
        ),
        (
            "{s} started {o} in a rented garage .",
            "{s} used a small inheritance to go into business . | The firm was called {o} .",
        ),
    ),
    _Kind(
        {"s": "ORG", "o": "PER"},
        (("founded", "o", "s"),),
        (
            "{s} was founded by {o} .",
            "{s} was set up by {o} , who had trained as {job} .",
            "{s} began as a workshop with one employee . | The founder was {o} , who had trained as {job} .",
        ),
        ("{s} goes back to {o} , the founder .",),
    ),
    _Kind(
        {"s": "ORG", "o": "PER", "d": "DATE"},
        (("founded", "o", "s"), ("founded_on", "s", "d")),
        ("{s} was founded by {o} on {d} .", "On {d} , {o} founded {s} ."),
        ("{s} came into being on {d} , when {o} signed the papers .",),
    ),
    _Kind(
        {"s": "ORG", "d": "DATE"},
        (("founded_on", "s", "d"),),
        (
            "{s} was founded on {d} .",
            "{s} was established on {d} as a small workshop .",
            "{s} has a long history . | The founding papers were signed on {d} .",
        ),
        ("The founding date of {s} is {d} .", "{s} began in a small rented office . | The founding date was {d} ."),
    ),
    _Kind(
        {"s": "ORG", "o": "CITY"},
        (("headquartered_in", "s", "o"),),
        (
            "{s} is headquartered in {o} .",
            "{s!} is a {sector} firm based in {o} .",
            "{s's} head office is in {o} .",
            "{s} sells to customers in the {sector} industry . | The head office stands in {o} , on the main square .",
        ),
        (
            "The headquarters of {s} are in {o} .",
            "{s} outgrew the first offices within a few years . | A new head office was built in {o} .",
        ),
    ),
    _Kind(
        {"s": "CITY", "o": "ORG"},
        (("headquartered_in", "o", "s"),),
        ("{s} is home to {o!} , a {sector} firm .", "{s} hosts the headquarters of {o} ."),
        ("{s} owes many jobs to the head office of {o} .",),
    ),
    _Kind(
        {"s": "ORG", "o": "ORG"},
        (("acquired", "s", "o"),),
        (
            "{s} acquired {o} .",
            "{s} bought {o} for an undisclosed sum .",
            "{o} was acquired by {s} .",
            "{s} looked for a smaller rival to buy . | The choice fell on {o} , which became a subsidiary .",
        ),
        (
            "{s} took over {o} after long talks .",
            "{s} was eager to grow . | It took a year of talks before {o} agreed to become a subsidiary .",
        ),
    ),
    _Kind(
        {"s": "ORG", "o": "ORG", "d": "DATE"},
        (("acquired", "s", "o"),),
        ("{s} acquired {o} on {d} .", "On {d} , {s} bought {o} ."),
        ("{o} became a subsidiary of {s} on {d} .",),
    ),
    _Kind(
        {"s": "CITY", "o": "REGION"},
        (("located_in", "s", "o"),),
        (
            "{s!} is a {noun} in {o} .",
            "{s} lies in {o} , close to the coast .",
            "{s!} is the largest {noun} in {o} .",
            "{s} sits on both banks of a wide river . | The region around is called {o} .",
        ),
        ("{s} is part of {o} .", "{s} was once a fishing village . | The region , {o} , is still rural ."),
    ),
)

_LOOK_ALIKES = (
    _Kind(
        {"s": "PER", "o": "CITY"},
        (),
        (
            "{s} once gave a lecture in {o} .",
            "{s} was not born in {o} , although some sources say so .",
            "{s} spent several summers in {o} .",
        ),
        ("{s} owns a small house in {o} .",),
    ),
    _Kind(
        {"s": "PER", "o": "CITY", "d": "DATE"},
        (),
        ("{s} received a prize in {o} on {d} .", "{s} married in {o} on {d} ."),
    ),
    _Kind(
        {"s": "PER", "o": "ORG"},
        (),
        (
            "{s} declined an offer to join {o} .",
            "{s} never worked for {o} , despite rumours .",
            "{s} wrote a critical report about {o} .",
        ),
        ("{s} lost a court case against {o} .",),
    ),
    _Kind(
        {"s": "PER", "o": "PER"},
        (),
        (
            "{s} is a close friend of {o} .",
            "{s} is not related to {o} , a neighbour .",
            "{s} played chess with {o} at school .",
        ),
        ("{s} shares an interest in sailing with {o} .",),
    ),
    _Kind(
        {"s": "PER", "d": "DATE"},
        (),
        ("{s} received a medal on {d} .", "{s} gave a first public speech on {d} ."),
    ),
    _Kind(
        {"s": "ORG", "o": "CITY"},
        (),
        (
            "{s} opened a small branch in {o} .",
            "{s} considered a move to {o} but decided against it .",
            "{s} has a warehouse in {o} .",
        ),
        ("{s} closed a factory in {o} .",),
    ),
    _Kind(
        {"s": "ORG", "o": "ORG"},
        (),
        (
            "{s} and {o} signed a supply contract .",
            "{s} tried to buy {o} , but the talks failed .",
            "{s} competes with {o} .",
        ),
        ("{s} sued {o} over a patent .",),
    ),
    _Kind(
        {"s": "ORG", "o": "PER"},
        (),
        (
            "{s} turned down {o} , who had applied for a post as {job} .",
            "{s} was criticised in a book by {o} .",
            "{s} paid for the studies of {o} , who never joined .",
        ),
        ("{s} has a portrait of {o} in the entrance hall .",),
    ),
    _Kind(
        {"s": "PER", "o": "ORG", "d": "DATE"},
        (),
        ("{s} visited {o} on {d} .", "{s} wrote an open letter to {o} on {d} ."),
    ),
    _Kind(
        {"s": "CITY", "o": "PER"}, (), ("{s} made {o} an honorary citizen .", "{s} once invited {o} to give a talk .")
    ),
    _Kind(
        {"s": "ORG", "d": "DATE"},
        (),
        ("{s} reported a record profit on {d} .", "{s} changed the logo on {d} ."),
    ),
    _Kind(
        {"s": "CITY", "o": "CITY"},
        (),
        ("{s} has had a partnership with {o} for decades .", "{s} is often confused with {o} ."),
    ),
    _Kind({"s": "CITY", "d": "DATE"}, (), ("{s} was flooded on {d} .", "{s} opened a new library on {d} .")),
)

_FILLERS = (
    _Kind(
        {"s": "PER"},
        (),
        (
            "{s} speaks four languages .",
            "{s} has published two books on the history of science .",
            "{s} is known as a patient teacher and a keen gardener .",
        ),
    ),
    _Kind(
        {"s": "ORG"},
        (),
        (
            "{s} has about three hundred employees .",
            "{s} has won several awards for design .",
            "{s} is active in the {sector} industry .",
        ),
    ),
    _Kind(
        {"s": "CITY"},
        (),
        (
            "{s} is known for a weekly market and an old bridge .",
            "{s} has two theatres and a football stadium .",
            "{s} attracts many visitors in summer .",
        ),
    ),
)

_OPENINGS = ("According to local records ,", "As most sources agree ,", "By all accounts ,")
_JOBS = (
    *("an engineer", "a chemist", "an accountant", "a lawyer", "a physicist", "a translator", "a nurse", "an editor"),
    *("a pilot", "a botanist", "a designer", "an economist", "a surgeon", "a librarian", "a programmer", "a geologist"),
)
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

# ------------------------------------------------------------------------------------------------------------- names

_WOMEN = (
    *("Anna", "Clara", "Elena", "Greta", "Helen", "Irene", "Julia", "Karin", "Laura", "Maria", "Nadia", "Olga"),
    *("Paula", "Rosa", "Sarah", "Teresa", "Vera", "Wanda", "Yvonne", "Zoe", "Alice", "Beatrice", "Diana", "Emma"),
    *("Fiona", "Hannah", "Ingrid", "Joan", "Lydia", "Martha", "Nora", "Petra", "Ruth", "Sonia", "Tessa", "Ursula"),
)
_MEN = (
    *("Adam", "Boris", "Carl", "David", "Erik", "Felix", "George", "Henry", "Ivan", "Jonas", "Kevin", "Leo"),
    *(
        "Martin",
        "Nathan",
        "Oscar",
        "Peter",
        "Robert",
        "Simon",
        "Thomas",
        "Victor",
        "Walter",
        "Albert",
        "Bruno",
        "Daniel",
    ),
    *("Edwin", "Frank", "Gustav", "Hugo", "Jacob", "Konrad", "Lucas", "Marcus", "Oliver", "Paul", "Samuel", "Tobias"),
)
_SURNAMES = (
    (
        *("Ander", "Blom", "Carl", "Dahl", "Ek", "Fors", "Grim", "Hals", "Iver", "Jern", "Kirk", "Lind"),
        *("Mag", "Nord", "Ost", "Palm", "Rud", "Rask", "Stein", "Thor", "Ulv", "Vester", "Winter", "Ziel"),
    ),
    ("sen", "berg", "man", "strom", "quist", "er", "holt", "ley"),
)
_CITIES = (
    (
        *("Ash", "Bar", "Chel", "Dun", "East", "Fal", "Glen", "Had", "Ips", "Kel", "Lang", "Mil"),
        *("Nor", "Old", "Pem", "Red", "Shel", "Tam", "Up", "Wal", "Yar", "Brack", "Crom", "Stan"),
    ),
    ("ford", "burgh", "mouth", "haven", "field", "minster", "wick", "bridge"),
)
_REGIONS = (
    (
        *("Abber", "Brenn", "Cald", "Dorv", "Elm", "Farn", "Garr", "Holm", "Inver", "Jar", "Kell", "Lor"),
        *("Mont", "Nair", "Oren", "Perth", "Rosk", "Suth", "Tarn", "Vald"),
    ),
    ("shire", "land", "ia", " County", " Valley"),
)
_ORGANISATIONS = (
    (
        *("Acti", "Bio", "Cen", "Delta", "Evo", "Ferro", "Geno", "Helio", "Inno", "Kine", "Lumi", "Meri"),
        *("Neo", "Opti", "Pano", "Quan", "Reso", "Syner", "Tele", "Uni", "Velo", "Xeno", "Zeni", "Vita"),
    ),
    ("tron", "mark", "gen", "corp", "plex", "vance", "dex", "lux", "tech", "max"),
)
_BRANCHES = {
    "Systems": ("company", "software"),
    "Instruments": ("company", "camera"),
    "Bank": ("bank", "finance"),
    "Foods": ("company", "food"),
    "Airlines": ("airline", "travel"),
    "Press": ("publisher", "publishing"),
    "Motors": ("company", "car"),
    "Energy": ("company", "power"),
    "Textiles": ("company", "textile"),
}
"""Second part of an organisation's name: what it may be called, and its trade."""


@dataclass(frozen=True)
class _Names:
    """The names that one split may use."""

    women: tuple[str, ...]
    men: tuple[str, ...]
    surnames: tuple[str, ...]
    cities: tuple[str, ...]
    regions: tuple[str, ...]
    organisations: tuple[str, ...]


def _name_shares(random: Random) -> tuple[_Names, _Names, _Names]:
    """All names, dealt out to train, dev and test: three fifths, one fifth, one fifth; no name is in two of them."""
    lists = [_WOMEN, _MEN]
    lists += [tuple(map("".join, product(*parts))) for parts in (_SURNAMES, _CITIES, _REGIONS, _ORGANISATIONS)]
    shares: list[list[tuple[str, ...]]] = [[], [], []]
    for names in lists:
        shuffled = random.sample(names, len(names))
        first, second = len(names) * 3 // 5, len(names) * 4 // 5
        for share, part in zip(shares, (shuffled[:first], shuffled[first:second], shuffled[second:]), strict=True):
            share.append(tuple(part))
    train, dev, test = (_Names(*share) for share in shares)
    return train, dev, test


# --------------------------------------------------------------------------------------------------------- documents


def generate(
    settings: BuiltinSettings,
) -> tuple[tuple[Document, ...], tuple[Document, ...], tuple[Document, ...]]:
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
        return "LOC" if self.kind in ("CITY", "REGION") else self.kind

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
        self._go_on(topic, _FACTS)
        while len(self.sentences) < length:
            kinds = self.random.choices((_FACTS, _LOOK_ALIKES, _FILLERS), (63, 31, 6))[0]
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
        if any(
            self._taken(type, side, topic) for type, *ends in kind.relations for side in (0, 1) if ends[side] == "s"
        ):
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

    def _taken(self, type: str, side: int, thing: _Thing) -> bool:
        """Whether a relation of this type with this thing at this end would contradict what was told."""
        limited = (_ONE_TAIL, _ONE_HEAD)[side]
        return type in limited and any(told == type and ends[side] is thing for told, *ends in self.relations)

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
            and not any(
                self._taken(type, side, thing)
                for type, *ends in kind.relations
                for side in (0, 1)
                if ends[side] == slot
            )
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
                first = pick(self.names.women if woman else self.names.men)
                surname = like.full.split()[-1] if like else pick(self.names.surnames)
                return _Thing(kind, f"{first} {surname}", first if like else surname, "she" if woman else "he", woman)
            case "ORG":
                stem, branch = pick(self.names.organisations), pick(tuple(_BRANCHES))
                noun, trade = _BRANCHES[branch]
                return _Thing(kind, f"{stem} {branch}", stem, f"the {noun}", trade=trade)
            case "CITY":
                name = pick(self.names.cities)
                return _Thing(kind, name, name, pick(("the town", "the city")))
            case "REGION":
                name = pick(self.names.regions)
                return _Thing(kind, name, name, "")
            case "DATE":
                day, month = self.random.randint(1, 28), pick(_MONTHS)
                date = pick((f"{day} {month} {year}", f"{month} {day} , {year}"))
                return _Thing(kind, date, date, "")
        raise AssertionError(kind)

    # ------------------------------------------------------------------------------------------------- sentences

    def _say(self, wording: str, filled: dict[str, _Thing]) -> None:
        """Put the entities into the words. Every second sentence of a wording is a sentence of its own."""
        if wording.startswith("{s}") and not self.opened and self.random.random() < 0.15:
            wording = f"{self.random.choice(_OPENINGS)} {wording}"
            self.opened = True
        for sentence in wording.split(" | "):
            words: list[str] = []
            offset = sum(map(len, self.sentences))
            for piece in sentence.split():
                slot = re.fullmatch(r"\{([sod])('s|!)?\}", piece)
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
                return self.random.choice(_JOBS)
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
