"""BioCreative V CDR in PubTator format → Documents.

A document is the title and abstract of a PubMed record. An entity is a MeSH id of one type; a relation `CID` goes from
a chemical to the disease that it induces.

    PMID|t|title
    PMID|a|abstract
    PMID <tab> start <tab> end <tab> text <tab> Chemical or Disease <tab> MeSH id
    PMID <tab> CID <tab> chemical id <tab> disease id

Offsets count characters of title, one blank, abstract; they are half-open and checked against the text.

Source: Li et al., Database 2016, and the format note of the corpus.

Where we differ from the data that the released code was run on, which came from an edge-oriented graph's preparation
(GENIA sentences and words, every pair of a chemical and a disease a relation instance, labels `1:CID:2`, `1:NR:2`,
`not_include`; head and tail swapped where the tail comes first; entities in no pair left out):

* the only relation type is CID. Counting "no relation" as a type to be found raises a micro F1, since most pairs
  have none; our scores are lower for that reason;
* the head is always the chemical. With the swapped direction, half of the task is to tell which entity is named first;
* every grounded entity is kept, also in documents with chemicals only: more to find, and more places for wrong pairs.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from model.data.document import Document, Entity, Mention, Relation
from model.data.files import read_text
from model.data.labels import Labels

LABELS = Labels(
    entity_types=("Chemical", "Disease"),
    relation_types=("CID",),
    relation_names={"CID": "chemical-induced disease"},
)

READER = 1
"""Raised whenever the same file gives other documents, so that trials on the old ones are not taken for new ones."""

LONGEST_SPAN = 10
"""Words of the longest span that is predicted in the published configurations; longer mentions are only counted."""

_UNGROUNDED = "-1"
_WORD = re.compile(r"[^\W_]+|[^\w\s]|_")
_TEXT_LINE = re.compile(r"(\d+)\|([ta])\|(.*)")


@dataclass(frozen=True)
class Tally:
    """What a file holds, and what became of it on the way to Documents. All are counts."""

    documents: int = 0
    mentions: int = 0
    """Mention lines of the file."""
    entities: int = 0
    relations: int = 0
    ungrounded: int = 0
    """Mentions without a MeSH id (-1): left out."""
    composite: int = 0
    """Mentions with several ids: one mention in the entity of each."""
    widened: int = 0
    """Mentions that begin or end inside a word: widened to the words that they touch."""
    cut: int = 0
    """Mentions that cross the end of a sentence: cut to the sentence that holds most of their words."""
    merged: int = 0
    """Mentions of an entity that have the same words as another one of it, once widened or cut: kept once."""
    long: int = 0
    """Mentions of more than `LONGEST_SPAN` words."""
    sentences: int = 0
    words: int = 0

    def notes(self, source: str) -> tuple[str, ...]:
        """What was changed or left out, in sentences; nothing where nothing was."""
        said = (
            (self.ungrounded, "mentions without an id (-1) are left out"),
            (self.composite, "composite mentions belong to several entities"),
            (self.widened, "mentions are widened to whole words"),
            (self.cut, "mentions cross the end of a sentence and are cut to one of them"),
            (self.merged, "mentions coincide with another one of their entity and are kept once"),
            (self.long, f"mentions have more than {LONGEST_SPAN} words"),
        )
        return tuple(f"{source}: {count} of {self.mentions} {text}" for count, text in said if count)


def read(path: Path) -> tuple[tuple[Document, ...], Tally]:
    """Documents of a PubTator file, plain or .gz, in the order of the file. See `parse`."""
    return parse(read_text(path), str(path))


def parse(text: str, source: str) -> tuple[tuple[Document, ...], Tally]:
    """Documents of a PubTator text, and a count of everything that was left out or changed.

    Entities come in the order of their first mention in the text, mentions by position. No entity and no relation of
    the file is lost: a mention is widened or cut, never dropped, unless it has no id (and then is in no relation). So
    recall counts all gold relations. A composite mention is a span of several entities: an entity that has no other
    span cannot be told from its twin by a scorer that compares sets of spans.

    Raises ValueError with source, document, line and field for: a line that is none of the four kinds, a document
    without title or abstract, a PMID that changes within a document or comes twice, an offset that does not give the
    mention's text, an unknown type, a relation whose chemical or disease has no mention.
    """
    documents: list[Document] = []
    counts: Counter[str] = Counter()
    lines_of: dict[str, int] = {}
    for record in _records(text, source):
        if record.id in lines_of:
            raise record.wrong(
                record.line,
                "PMID",
                f"is the PMID of the document at line {lines_of[record.id]} too; every one is used once",
            )
        lines_of[record.id] = record.line
        documents.append(_document(record, counts))
    if not documents:
        raise ValueError(f"{source}: no documents; expected lines such as '227508|t|A title.'")
    return tuple(documents), Tally(documents=len(documents), **counts)


def words_of(text: str) -> list[tuple[int, int]]:
    """Half-open character ranges of the words: runs of letters and digits; every other visible character is a word.

    So "alpha-methyldopa 0.5" has the words alpha, -, methyldopa, 0, ., 5, as in the files that the community trains
    on. A gold mention can then begin or end at any punctuation mark, without the rule having seen the mention.
    """
    return [match.span() for match in _WORD.finditer(text)]


def sentence_starts(text: str) -> list[int]:
    """The character at which each sentence begins, by syntok; at least one for a text that is not blank."""
    from syntok import segmenter  # here, as no other data set needs it

    return [sentence[0].offset for paragraph in segmenter.analyze(text) for sentence in paragraph]


def segmentation() -> str:
    """What decides sentences and words besides the text; part of a trial's identity.

    Raises ValueError where syntok is not installed.
    """
    try:
        return f"reader {READER}, syntok {version('syntok')}"
    except PackageNotFoundError:
        raise ValueError(
            "the sentences of cdr are found by the package syntok, which is not installed (builtin, docred and "
            "redocred go without it); type: pip install syntok"
        ) from None


# ------------------------------------------------------------------------------------------------------- lines


@dataclass
class _MentionLine:
    line: int
    start: int
    end: int
    type: str
    ids: tuple[str, ...]


@dataclass
class _RelationLine:
    line: int
    type: str
    chemical: str
    disease: str


@dataclass
class _Record:
    """The lines of one document, as they stand in the file."""

    source: str
    id: str
    line: int
    title: str | None = None
    abstract: str | None = None
    mentions: list[_MentionLine] = field(default_factory=list)
    relations: list[_RelationLine] = field(default_factory=list)

    @property
    def text(self) -> str:
        return f"{self.title} {self.abstract}"

    def wrong(self, line: int, place: str, what: str) -> ValueError:
        return ValueError(f"{self.source}: document {self.id}: line {line}: {place} {what}")


def _records(text: str, source: str) -> Iterator[_Record]:
    record: _Record | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line.strip():
            if record is not None:
                yield _complete(record)
            record = None
            continue
        match = _TEXT_LINE.fullmatch(line)
        id = match[1] if match else line.split("\t")[0]
        if record is None:
            record = _Record(source, id, number)
        if id != record.id:
            raise record.wrong(number, "PMID", f"is {id[:40]!r}; an empty line goes between two documents")
        if match:
            _add_text(record, number, match[2], match[3])
        else:
            _add_annotation(record, number, line.split("\t"))
    if record is not None:
        yield _complete(record)


def _complete(record: _Record) -> _Record:
    for value, place in ((record.title, f"{record.id}|t|"), (record.abstract, f"{record.id}|a|")):
        if value is None:
            raise record.wrong(record.line, "text", f"has no line {place!r}")
    return record


def _add_text(record: _Record, number: int, letter: str, value: str) -> None:
    place = "title" if letter == "t" else "abstract"
    if getattr(record, place) is not None:
        raise record.wrong(number, place, "is given twice")
    setattr(record, place, value)


def _add_annotation(record: _Record, number: int, fields: list[str]) -> None:
    _complete(record)  # offsets can be checked only against title and abstract
    if len(fields) == 4:
        if fields[1] not in LABELS.relation_index:
            raise record.wrong(number, "relation type", f"is {fields[1]!r}, expected CID")
        record.relations.append(_RelationLine(number, fields[1], fields[2], fields[3]))
    elif len(fields) in (6, 7):
        record.mentions.append(_mention_line(record, number, fields))
    else:
        raise record.wrong(
            number,
            "line",
            f"has {len(fields)} fields, expected 6 or 7 for a mention and 4 for a relation, separated by tabs",
        )


def _mention_line(record: _Record, number: int, fields: list[str]) -> _MentionLine:
    try:
        start, end = int(fields[1]), int(fields[2])
    except ValueError:
        raise record.wrong(number, "start, end", f"are {fields[1]!r}, {fields[2]!r}, expected two numbers") from None
    if not 0 <= start < end <= len(record.text):
        raise record.wrong(number, "start, end", f"[{start}, {end}) is not inside the {len(record.text)} characters")
    found = record.text[start:end]
    if found != fields[3]:
        raise record.wrong(number, "text", f"is {fields[3]!r}, but characters [{start}, {end}) are {found!r}")
    if not words_of(found):
        raise record.wrong(number, "text", f"{found!r} has no words")
    if fields[4] not in LABELS.entity_index:
        raise record.wrong(number, "type", f"is {fields[4]!r}, expected Chemical or Disease")
    ids = tuple(dict.fromkeys(fields[5].split("|")))
    if not all(ids):
        raise record.wrong(number, "MeSH id", f"is {fields[5]!r}; -1 stands for none")
    return _MentionLine(number, start, end, fields[4], tuple(id for id in ids if id != _UNGROUNDED))


# ---------------------------------------------------------------------------------------------------- documents


def _document(record: _Record, counts: Counter[str]) -> Document:
    words, sentence_of, sentences = _segment(record)
    starts = [start for start, _ in words]
    clusters: dict[tuple[str, str], list[Mention]] = {}
    for line in record.mentions:
        counts["mentions"] += 1
        if not line.ids:
            counts["ungrounded"] += 1
            continue
        first, last = bisect_right(starts, line.start) - 1, bisect_right(starts, line.end - 1) - 1
        if first < 0 or words[first][1] <= line.start:
            first += 1  # the mention begins with a blank
        within = sentence_of[first : last + 1]
        kept = max(dict.fromkeys(within), key=within.count)
        span = first + within.index(kept), first + within.index(kept) + within.count(kept)
        counts["composite"] += len(line.ids) > 1
        counts["cut"] += within.count(kept) < len(within)
        counts["widened"] += words[first][0] < line.start or words[last][1] > line.end
        counts["long"] += span[1] - span[0] > LONGEST_SPAN
        mention = Mention(*span, line.type)
        for id in line.ids:
            cluster = clusters.setdefault((line.type, id), [])
            if mention in cluster:
                counts["merged"] += 1
            else:
                cluster.append(mention)
    order = sorted(clusters, key=lambda key: (min(clusters[key]).span, key))
    index = {key: position for position, key in enumerate(order)}
    document = Document(
        id=record.id,
        sentences=sentences,
        entities=tuple(Entity(tuple(sorted(clusters[key]))) for key in order),
        relations=tuple(_relation(record, line, index) for line in record.relations),
    )
    counts["entities"] += len(document.entities)
    counts["relations"] += len(document.relations)
    counts["sentences"] += len(document.sentences)
    counts["words"] += document.n_words
    return document


def _segment(record: _Record) -> tuple[list[tuple[int, int]], list[int], tuple[tuple[str, ...], ...]]:
    """Character ranges of the words, the sentence of each, and the sentences. The title ends a sentence."""
    text, title = record.text, record.title or ""
    words = words_of(text)
    if not words:
        raise record.wrong(record.line, "title and abstract", "have no words")
    boundaries = sentence_starts(title)
    boundaries += [len(title) + 1 + start for start in sentence_starts(record.abstract or "")]
    # A sentence that begins inside a word begins with the next one; so a sentence may be left without words.
    raw = [bisect_right(boundaries, start) for start, _ in words]
    number = {value: position for position, value in enumerate(dict.fromkeys(raw))}
    sentence_of = [number[value] for value in raw]
    sentences: list[list[str]] = [[] for _ in number]
    for (start, end), sentence in zip(words, sentence_of, strict=True):
        sentences[sentence].append(text[start:end])
    return words, sentence_of, tuple(tuple(sentence) for sentence in sentences)


def _relation(record: _Record, line: _RelationLine, index: dict[tuple[str, str], int]) -> Relation:
    for type, id, place in (("Chemical", line.chemical, "chemical id"), ("Disease", line.disease, "disease id")):
        if (type, id) not in index:
            raise record.wrong(line.line, place, f"{id!r} has no {type} mention in this document")
    return Relation(index["Chemical", line.chemical], index["Disease", line.disease], line.type)
