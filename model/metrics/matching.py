"""When is a predicted item correct?

mention            same span of words
coreference        same set of spans (clusters of one mention count)
entity             same set of spans and same type
relation           same two sets of spans in the same order, same relation type
relation_strict    and both entity types the same

Conventions: spans are half-open ranges of words of the document; a cluster is a set, so order and repetition do not
count; equal items of one document count once, in gold and prediction alike; documents are pooled (micro); scores are
in percent and 0 where there is nothing to find.

Source: MRE, section 4, "Evaluation"; JEREX (arXiv 2102.05980), section 4, strict setting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from model.data.document import Document

SUBTASKS = ("mention", "coreference", "entity", "relation", "relation_strict")
TYPED = ("entity", "relation", "relation_strict")
"""Sub-tasks whose items have a type, which is the last part of each."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Items that are in gold and prediction, in the prediction only, in gold only. Scores are made of these last."""

    correct: int = 0
    spurious: int = 0
    missed: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.correct + other.correct, self.spurious + other.spurious, self.missed + other.missed)

    @property
    def precision(self) -> float:
        """Percent of the predicted items that are correct."""
        return _percent(self.correct, self.correct + self.spurious)

    @property
    def recall(self) -> float:
        """Percent of the gold items that are found."""
        return _percent(self.correct, self.correct + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, from the counts."""
        return _percent(2 * self.correct, 2 * self.correct + self.spurious + self.missed)


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 0.0


def items(document: Document) -> dict[str, set[Hashable]]:
    """The items of a document by sub-task."""
    entities = [(entity.spans, entity.type) for entity in document.entities]
    strict = {(entities[r.head], entities[r.tail], r.type) for r in document.relations}
    return {
        "mention": {mention.span for mention in document.mentions()},
        "coreference": {spans for spans, _ in entities},
        "entity": set(entities),
        "relation": {(entities[r.head][0], entities[r.tail][0], r.type) for r in document.relations},
        "relation_strict": set(strict),
    }


def count(
    gold: Document, predicted: Document, predicted_mentions: Iterable[tuple[int, int]] | None = None
) -> dict[str, Counts]:
    """Counts of one document by sub-task. Raises ValueError where the two are not the same text.

    `predicted_mentions`: the spans taken for mentions, for a model that does not put each of them into an entity; by
    default those of the entities.
    """
    if gold.id != predicted.id or gold.n_words != predicted.n_words:
        raise ValueError(
            f"gold document {gold.id!r} ({gold.n_words} words) does not belong to the predicted one {predicted.id!r} "
            f"({predicted.n_words} words)"
        )
    wanted, found = items(gold), items(predicted)
    if predicted_mentions is not None:
        found["mention"] = set(predicted_mentions)
    return {
        task: Counts(
            correct=len(wanted[task] & found[task]),
            spurious=len(found[task] - wanted[task]),
            missed=len(wanted[task] - found[task]),
        )
        for task in SUBTASKS
    }


def count_types(gold: Document, predicted: Document) -> dict[str, dict[str, Counts]]:
    """Counts of one document by sub-task of `TYPED` and type, of types that occur; they add up to those of `count`."""
    wanted, found = items(gold), items(predicted)

    def by_type(of: Iterable[Hashable]) -> Counter[str]:
        return Counter(item[-1] for item in of if isinstance(item, tuple))

    counts = {}
    for task in TYPED:
        correct = by_type(wanted[task] & found[task])
        spurious = by_type(found[task] - wanted[task])
        missed = by_type(wanted[task] - found[task])
        names = sorted({*correct, *spurious, *missed})
        counts[task] = {name: Counts(correct[name], spurious[name], missed[name]) for name in names}
    return counts


def pool(counts: Iterable[Mapping[str, Counts]]) -> dict[str, Counts]:
    """Counts of several documents."""
    total: dict[str, Counts] = dict.fromkeys(SUBTASKS, Counts())
    for document in counts:
        for task in SUBTASKS:
            total[task] = total[task] + document[task]
    return total


def scores(counts: Mapping[str, Counts], split: str) -> dict[str, float]:
    """`{split}/{subtask}_{precision,recall,f1}` in percent."""
    return {
        f"{split}/{task}_{name}": getattr(counts[task], name)
        for task in SUBTASKS
        for name in ("precision", "recall", "f1")
    }
