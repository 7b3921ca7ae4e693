"""Strict evaluation: a line for each way of being wrong."""

from __future__ import annotations

import pytest

from model.data.document import Document, Entity, Mention, Relation
from model.metrics.matching import Counts, count, count_types, pool, scores

WORDS = (tuple("Ada met Bob in Rome ; she left Rome".split()),)
ADA, SHE, BOB, ROME, ROME2 = (0, 1), (6, 7), (2, 3), (4, 5), (8, 9)


def document(*entities: tuple, relations: tuple = ()) -> Document:
    """Entities as (type, span, span, …)."""
    return Document(
        "1",
        WORDS,
        tuple(Entity(tuple(Mention(*span, type_) for span in spans)) for type_, *spans in entities),
        tuple(Relation(*relation) for relation in relations),
    )


GOLD = document(("PER", ADA, SHE), ("PER", BOB), ("LOC", ROME, ROME2), relations=((0, 2, "left"), (1, 2, "in")))
CORRECT = {
    "mention": Counts(5, 0, 0),
    "coreference": Counts(3, 0, 0),
    "entity": Counts(3, 0, 0),
    "relation": Counts(2, 0, 0),
    "relation_strict": Counts(2, 0, 0),
}


@pytest.mark.parametrize(
    ("predicted", "wrong"),
    [
        (GOLD, {}),
        # order of entities and mentions does not count
        (
            document(("LOC", ROME2, ROME), ("PER", SHE, ADA), ("PER", BOB), relations=((1, 0, "left"), (2, 0, "in"))),
            {},
        ),
        # a repeated triple counts once
        (
            document(
                ("PER", ADA, SHE), ("PER", BOB), ("LOC", ROME, ROME2), relations=(*[(0, 2, "left")] * 3, (1, 2, "in"))
            ),
            {},
        ),
        # the wrong type of an entity: strict relations with it are wrong, others are not
        (
            document(("ORG", ADA, SHE), ("PER", BOB), ("LOC", ROME, ROME2), relations=((0, 2, "left"), (1, 2, "in"))),
            {"entity": Counts(2, 1, 1), "relation_strict": Counts(1, 1, 1)},
        ),
        # a missed mention: its cluster is wrong, and all that builds on it
        (
            document(("PER", ADA), ("PER", BOB), ("LOC", ROME, ROME2), relations=((0, 2, "left"), (1, 2, "in"))),
            {
                "mention": Counts(4, 0, 1),
                "coreference": Counts(2, 1, 1),
                "entity": Counts(2, 1, 1),
                "relation": Counts(1, 1, 1),
                "relation_strict": Counts(1, 1, 1),
            },
        ),
        # the wrong direction
        (
            document(("PER", ADA, SHE), ("PER", BOB), ("LOC", ROME, ROME2), relations=((2, 0, "left"), (1, 2, "in"))),
            {"relation": Counts(1, 1, 1), "relation_strict": Counts(1, 1, 1)},
        ),
        # the wrong relation type
        (
            document(("PER", ADA, SHE), ("PER", BOB), ("LOC", ROME, ROME2), relations=((0, 2, "in"), (1, 2, "in"))),
            {"relation": Counts(1, 1, 1), "relation_strict": Counts(1, 1, 1)},
        ),
        # one relation too few
        (
            document(("PER", ADA, SHE), ("PER", BOB), ("LOC", ROME, ROME2), relations=((1, 2, "in"),)),
            {"relation": Counts(1, 0, 1), "relation_strict": Counts(1, 0, 1)},
        ),
        # nothing
        (document(), {task: Counts(0, 0, c.correct) for task, c in CORRECT.items()}),
    ],
)  # fmt: skip
def test_a_prediction_is_counted(predicted, wrong):
    for task, by_type in count_types(GOLD, predicted).items():
        assert sum(by_type.values(), Counts()) == {**CORRECT, **wrong}[task]
    assert count(GOLD, predicted) == CORRECT | wrong


def test_counts_by_type_tell_the_gold_and_the_predicted_type_apart():
    predicted = document(("ORG", ADA, SHE), ("PER", BOB), ("LOC", ROME, ROME2), relations=((0, 2, "by"), (1, 2, "in")))
    assert count_types(GOLD, predicted) == {
        "entity": {"LOC": Counts(1, 0, 0), "ORG": Counts(0, 1, 0), "PER": Counts(1, 0, 1)},
        "relation": {"by": Counts(0, 1, 0), "in": Counts(1, 0, 0), "left": Counts(0, 0, 1)},
        "relation_strict": {"by": Counts(0, 1, 0), "in": Counts(1, 0, 0), "left": Counts(0, 0, 1)},
    }


def test_documents_are_pooled_and_not_averaged():
    counts = [{**CORRECT, "mention": Counts(1, 0, 0)}, {**CORRECT, "mention": Counts(1, 1, 7)}]
    pooled = scores(pool(counts), "test")
    assert pooled["test/mention_precision"] == pytest.approx(100 * 2 / 3)
    assert pooled["test/mention_recall"] == pytest.approx(100 * 2 / 9)
    assert pooled["test/mention_f1"] == pytest.approx(100 * 4 / 12)


def test_where_there_is_nothing_scores_are_zero():
    assert set(scores(pool([]), "dev").values()) == {0.0}


def test_another_text_is_refused():
    with pytest.raises(ValueError, match="does not belong"):
        count(GOLD, Document("2", WORDS))
