import json

import pytest

from model.data.document import Document, Entity, Mention, Relation, from_json, to_json


def document(**changes):
    parts = {
        "id": "d",
        "sentences": (("Anna", "works", "."), (), ("She", "left", "Halden", ".")),
        "entities": (
            Entity((Mention(0, 1, "PER"), Mention(3, 4, "PER"))),
            Entity((Mention(5, 6, "LOC"),)),
        ),
        "relations": (Relation(0, 1, "left"),),
    }
    return Document(**(parts | changes))


def test_words_are_counted_over_the_whole_document():
    assert document().n_words == 7
    assert document().words[3] == "She"
    assert document().sentence_starts == (0, 3, 3, 7)
    assert document().sentence_of == (0, 0, 0, 2, 2, 2, 2)


def test_a_span_is_half_open():
    assert document().text(3, 5) == "She left"


def test_mentions_come_in_entity_order():
    assert [mention.span for mention in document().mentions()] == [(0, 1), (3, 4), (5, 6)]


def test_an_entity_has_the_type_of_its_first_mention_and_the_set_of_its_spans():
    entity = Entity((Mention(4, 5, "ORG"), Mention(0, 1, "PER"), Mention(4, 5, "PER")))
    assert entity.type == "ORG"
    assert entity.spans == {(0, 1), (4, 5)}


def test_an_entity_without_mentions_is_refused():
    with pytest.raises(ValueError, match="at least one mention"):
        Entity(())


@pytest.mark.parametrize("span", [(2, 4), (0, 7)])
def test_a_mention_stays_inside_its_sentence(span):
    with pytest.raises(ValueError, match=r"document 'd': entities\[0\].*crosses the end of a sentence"):
        document(entities=(Entity((Mention(*span, "PER"),)),), relations=())


@pytest.mark.parametrize("span", [(-1, 1), (6, 8), (2, 2), (2, 1)])
def test_a_mention_lies_inside_its_document_and_is_not_empty(span):
    with pytest.raises(ValueError, match=r"document 'd': entities\[0\].*not inside its 7 words"):
        document(entities=(Entity((Mention(*span, "PER"),)),), relations=())


@pytest.mark.parametrize(("relation", "side"), [(Relation(2, 0, "r"), "head 2"), (Relation(0, -1, "r"), "tail -1")])
def test_a_relation_points_at_entities_of_its_document(relation, side):
    with pytest.raises(ValueError, match=rf"document 'd': relations\[0\]: {side} is not one of its 2 entities"):
        document(relations=(relation,))


@pytest.mark.parametrize("sentences", [(), ((), ())])
def test_a_document_without_words_is_refused(sentences):
    with pytest.raises(ValueError, match="document 'd': no words"):
        Document("d", sentences)


def test_json_gives_an_equal_document_back():
    assert from_json(json.loads(json.dumps(to_json(document())))) == document()
