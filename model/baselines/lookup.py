"""A lookup baseline: it remembers the strings of the training documents, and looks at nothing else.

    mentions     a string is found wherever it stands, if it was a mention in at least `mention_share` of the places
                 where it stands in the training documents; of strings that overlap the first counts, and the longest
                 of those that begin together; its type is its most frequent one
    entities     the mentions of one string in a document are an entity; two strings are of one entity if they were so
                 in at least `alias_share` of the training documents that mention both
    relations    an ordered pair of entities has the relation types that at least `relation_share` of the training
                 pairs with these strings had; a pair of strings that was never seen goes by the two entity types

What it scores is what a data set gives away by the names that come again. The shares are candidates: each combination
is a step, told as an epoch is, and the first that is best on dev is evaluated on test. Nothing is drawn: the seed
changes nothing.

A study runs it like any system that is not ours: as a function, the entry point `lookup` of the group
`orchestrate.trainables`, or as a command.

    python -m model.baselines.lookup --settings FILE --seed N --out DIR [--data-path DIR:DIR]

Source: none; dictionary and co-occurrence baselines are common. `relations_by: [types]` at a share of 0 is
co-occurrence.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby, permutations, product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from model.data import catalog
from model.data.document import Document, Entity, Mention, Relation
from model.data.labels import Labels
from model.metrics.evaluation import Evaluation
from model.settings import DataSettings, Proportion, Settings

log = logging.getLogger("model")

Report = Callable[[dict], None]
"""Takes {"epoch": int, "metrics": {name: float}} after every step."""
Span = tuple[int, int]
Pair = tuple[str, str]
"""Strings, or entity types, of head and tail."""
Shares = Annotated[tuple[Proportion, ...], Field(strict=False, min_length=1)]
"""Candidates. Not strict, as YAML and JSON know lists only."""


class LookupSettings(Settings):
    """All that decides what is found."""

    data: DataSettings
    case_sensitive: bool = False
    """False: strings are compared in lower case."""
    minimum_count: PositiveInt = 1
    """What was seen less often is not remembered: mentions of a string, documents in which two strings are of one
    entity, pairs of entities with two strings or types."""
    mention_share: Shares = (0.3, 0.5, 0.7)
    alias_share: Proportion | None = 0.5
    """`null`: an entity has one string."""
    relations_by: Annotated[tuple[Literal["strings", "types"], ...], Field(strict=False, min_length=1)] = (
        "strings",
        "types",
    )
    """What a pair of entities is remembered by; the first by which it was ever seen tells its relations."""
    relation_share: Shares = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    """A relation type that no such pair had is not found at a share of 0 either."""
    select: Literal["mention_f1", "coreference_f1", "entity_f1", "relation_f1", "relation_strict_f1"] = (
        "relation_strict_f1"
    )
    """The score on dev that selects the step."""


# -------------------------------------------------------------------------------------------------------------- strings


@dataclass(frozen=True)
class Text:
    """The words of a document in the form in which strings are compared."""

    document: Document
    words: tuple[str, ...]

    @classmethod
    def of(cls, document: Document, settings: LookupSettings) -> Text:
        words = document.words if settings.case_sensitive else tuple(word.lower() for word in document.words)
        return cls(document, words)

    def string(self, span: Span) -> str:
        return " ".join(self.words[span[0] : span[1]])

    def strings(self) -> list[frozenset[str]]:
        """Those of each gold entity."""
        return [frozenset(map(self.string, entity.spans)) for entity in self.document.entities]


class Dictionary:
    """Strings, found at all their places in a text."""

    def __init__(self, strings: Iterable[str]) -> None:
        self._strings = frozenset(strings)
        self._beginnings = {
            string[:end] for string in self._strings for end, letter in enumerate(string) if letter == " "
        }

    def places(self, text: Text) -> Iterator[Span]:
        """Spans inside a sentence that are one of the strings; by their start, then by their end."""
        for first, end in zip(text.document.sentence_starts, text.document.sentence_starts[1:], strict=False):
            for start in range(first, end):
                for stop in range(start + 1, end + 1):
                    string = text.string((start, stop))
                    if string in self._strings:
                        yield start, stop
                    if string not in self._beginnings:
                        break

    def without_overlap(self, text: Text) -> Iterator[Span]:
        """From left to right, each time the longest."""
        free = 0
        for start, spans in groupby(self.places(text), key=lambda span: span[0]):
            if start >= free:
                *_, longest = spans
                yield longest
                free = longest[1]


# --------------------------------------------------------------------------------------------------------------- memory


@dataclass
class Pairs:
    """How many pairs of entities were seen, by what they are remembered by, and how many had which relation."""

    seen: Counter[Pair]
    related: dict[Pair, Counter[str]]

    def shares(self, pairs: Iterable[Pair], minimum_count: int) -> dict[str, float] | None:
        """Share of each relation type among all that was seen of some pairs; `None` if that is nothing."""
        known = [pair for pair in pairs if self.seen[pair] >= minimum_count]
        if not known:
            return None
        n_seen = sum(self.seen[pair] for pair in known)
        n_related = sum((self.related[pair] for pair in known if pair in self.related), Counter[str]())
        return {relation_type: n / n_seen for relation_type, n in n_related.items()}


@dataclass(frozen=True)
class Memory:
    """What the training documents say."""

    mention_shares: Mapping[str, float]
    """String → share of its places that are mentions."""
    types: Mapping[str, str]
    aliases: Mapping[frozenset[str], float]
    """Two strings → share of the documents mentioning both in which they are of one entity."""
    pairs: Mapping[str, Pairs]
    """By strings, by types."""


def remember(documents: Sequence[Document], labels: Labels, settings: LookupSettings) -> Memory:
    """Go through the training documents once. Of types that are equally frequent the first of the labels counts.

    A place inside of a longer mention is none where a string was passed over: the longer one is found there.
    """
    texts = [Text.of(document, settings) for document in documents]
    mentions: Counter[str] = Counter()
    types: dict[str, Counter[str]] = defaultdict(Counter)
    for text in texts:
        mentions.update(text.string(span) for span in {mention.span for mention in text.document.mentions()})
        for mention in set(text.document.mentions()):
            types[text.string(mention.span)][mention.type] += 1
    known = Dictionary(mentions)
    places = Counter(text.string(span) for text in texts for span in _places_that_count(text, known))
    return Memory(
        mention_shares={string: n / places[string] for string, n in mentions.items() if n >= settings.minimum_count},
        types={string: max(labels.entity_types, key=counts.__getitem__) for string, counts in types.items()},
        aliases=_aliases(texts, settings.minimum_count),
        pairs={"strings": _pairs(texts, _by_strings), "types": _pairs(texts, _by_types)},
    )


def _places_that_count(text: Text, known: Dictionary) -> Iterator[Span]:
    gold = {mention.span for mention in text.document.mentions()}
    for start, end in known.places(text):
        if (start, end) in gold or not any(first <= start and end <= last for first, last in gold):
            yield start, end


def _aliases(texts: Sequence[Text], minimum_count: int) -> dict[frozenset[str], float]:
    of_one_entity: Counter[frozenset[str]] = Counter()
    for text in texts:
        pairs = (combinations(sorted(strings), 2) for strings in text.strings())
        of_one_entity.update({frozenset(pair) for of_entity in pairs for pair in of_entity})
    together: Counter[frozenset[str]] = Counter()
    for text in texts:
        strings = sorted(frozenset[str]().union(*text.strings()))
        together.update(pair for pair in map(frozenset, combinations(strings, 2)) if pair in of_one_entity)
    return {pair: n / together[pair] for pair, n in of_one_entity.items() if n >= minimum_count}


_Named = tuple[frozenset[str], str]
"""Strings and type of an entity."""


def _by_strings(head: _Named, tail: _Named) -> Iterable[Pair]:
    return product(head[0], tail[0])


def _by_types(head: _Named, tail: _Named) -> Iterable[Pair]:
    return [(head[1], tail[1])]


_BY = {"strings": _by_strings, "types": _by_types}


def _pairs(texts: Sequence[Text], by: Callable[[_Named, _Named], Iterable[Pair]]) -> Pairs:
    pairs = Pairs(Counter(), defaultdict(Counter))
    for text in texts:
        named = [(strings, entity.type) for strings, entity in zip(text.strings(), text.document.entities, strict=True)]
        relations: dict[Span, set[str]] = defaultdict(set)
        for relation in text.document.relations:
            relations[relation.head, relation.tail].add(relation.type)
        for head, tail in permutations(range(len(named)), 2):
            for pair in by(named[head], named[tail]):
                pairs.seen[pair] += 1
                if (head, tail) in relations:
                    pairs.related[pair].update(relations[head, tail])
    return pairs


# -------------------------------------------------------------------------------------------------------------- finding


@dataclass(frozen=True)
class Found:
    """The entities of a document, and every relation that a pair of them may have, with its share."""

    document: Document
    entities: tuple[Entity, ...]
    relations: tuple[tuple[Relation, float], ...]

    def above(self, relation_share: float) -> Document:
        """The document with these entities, and the relations that have at least this share."""
        relations = tuple(relation for relation, share in self.relations if share >= relation_share)
        return Document(self.document.id, self.document.sentences, self.entities, relations)


def find(documents: Iterable[Document], memory: Memory, settings: LookupSettings, mention_share: float) -> list[Found]:
    """Look for what is remembered. Annotation that the documents come with is not looked at."""
    known = Dictionary(string for string, share in memory.mention_shares.items() if share >= mention_share)
    return [_found(Text.of(document, settings), known, memory, settings) for document in documents]


def _found(text: Text, known: Dictionary, memory: Memory, settings: LookupSettings) -> Found:
    spans: dict[str, list[Span]] = {}
    for span in known.without_overlap(text):
        spans.setdefault(text.string(span), []).append(span)
    named: list[_Named] = []
    entities = []
    for strings in _clusters(list(spans), memory, settings.alias_share):
        entity_type = memory.types[strings[0]]
        named.append((frozenset(strings), entity_type))
        members = sorted(span for string in strings for span in spans[string])
        entities.append(Entity(tuple(Mention(start, end, entity_type) for start, end in members)))
    relations = []
    for (head, of_head), (tail, of_tail) in permutations(enumerate(named), 2):
        tried = (
            memory.pairs[name].shares(_BY[name](of_head, of_tail), settings.minimum_count)
            for name in settings.relations_by
        )
        shares = next((found for found in tried if found is not None), {})
        relations += [(Relation(head, tail, name), share) for name, share in sorted(shares.items())]
    return Found(text.document, tuple(entities), tuple(relations))


def _clusters(strings: Sequence[str], memory: Memory, alias_share: float | None) -> list[list[str]]:
    """Strings of one entity, directly or by a third one. Strings of two types never are."""
    clusters: list[list[str]] = []
    for string in strings:
        linked = [
            cluster
            for cluster in clusters
            if alias_share is not None
            and memory.types[cluster[0]] == memory.types[string]
            and any(memory.aliases.get(frozenset((string, other)), -1.0) >= alias_share for other in cluster)
        ]
        clusters = [cluster for cluster in clusters if cluster not in linked]
        clusters.append([*(other for cluster in linked for other in cluster), string])
    return clusters


# ---------------------------------------------------------------------------------------------------------------- trial


def run(
    settings: Mapping[str, Any], seed: int, folder: Path, report: Report, *, data: Sequence[Path]
) -> dict[str, Any]:
    """Remember train, try each combination of the shares on dev, evaluate the best on test.

    `data` is the data search path. Leaves predictions and per-document counts in `folder`, as our training does.
    Returns `metrics` (`{dev,test}/{subtask}_{precision,recall,f1}` in percent, at the selected step), the step as
    `selected_epoch`, and facts. Raises ValueError for settings that are none, and for data that is not there.
    """
    chosen = LookupSettings.model_validate(settings)
    corpus = catalog.load(chosen.data, data)
    for note in corpus.notes:
        log.info("data: %s", note)
    memory = remember(corpus.train, corpus.labels, chosen)
    log.info("%d strings of %d documents are remembered", len(memory.mention_shares), len(corpus.train))
    steps: list[tuple[dict[str, float], dict[str, float]]] = []
    for mention_share in chosen.mention_share:
        found = find(corpus.dev, memory, chosen, mention_share)
        for relation_share in chosen.relation_share:
            shares = {"mention_share": mention_share, "relation_share": relation_share}
            scores = Evaluation.of(corpus.dev, [one.above(relation_share) for one in found]).scores("dev")
            steps.append((scores, shares))
            log.info("step %d, %s: dev %s %.2f", len(steps), shares, chosen.select, scores[f"dev/{chosen.select}"])
            report({"epoch": len(steps), "metrics": {**scores, **shares}})
    # the first of equal ones
    selected = max(range(len(steps)), key=lambda step: steps[step][0][f"dev/{chosen.select}"])
    shares = steps[selected][1]
    metrics: dict[str, float] = {}
    for split, documents in (("dev", corpus.dev), ("test", corpus.test)):
        found = find(documents, memory, chosen, shares["mention_share"])
        evaluation = Evaluation.of(documents, [one.above(shares["relation_share"]) for one in found])
        evaluation.write(folder, split)
        metrics |= evaluation.scores(split)
    return {
        "metrics": metrics,
        "selected_epoch": selected + 1,
        **shares,
        "remembered_strings": len(memory.mention_shares),
        "notes": list(corpus.notes),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The same as a command: scores go to `metrics.json`, steps to `progress.jsonl`, both in the folder `--out`."""
    parser = argparse.ArgumentParser(prog="python -m model.baselines.lookup", description="The lookup baseline.")
    parser.add_argument("--settings", type=Path, required=True, help="a JSON file", metavar="FILE")
    parser.add_argument("--seed", type=int, default=1, help="changes nothing", metavar="N")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--data-path", help="data folders, parted by colons", metavar="DIR:DIR")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)

    def report(told: dict) -> None:
        with (given.out / "progress.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")

    try:
        settings = json.loads(given.settings.read_bytes())
        data = [Path(folder) for folder in given.data_path.split(os.pathsep)] if given.data_path else None
        result = run(settings, given.seed, given.out, report, data=data or catalog.search_path())
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    (given.out / "metrics.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
