import pytest

from model.data.document import Document, Entity, Mention, Relation
from model.data.labels import Labels

LABELS = Labels(("LOC", "PER"), ("P17", "P19"), {"P17": "country"})


def document(entity_type="PER", relation_type="P19"):
    entities = (Entity((Mention(0, 1, entity_type),)), Entity((Mention(1, 2, "LOC"),)))
    return Document("d", (("Anna", "Halden"),), entities, (Relation(0, 1, relation_type),))


def test_the_index_of_a_type_is_its_position():
    assert LABELS.entity_index == {"LOC": 0, "PER": 1}
    assert LABELS.relation_index == {"P17": 0, "P19": 1}


def test_readable_names_do_not_make_labels_different():
    assert LABELS == Labels(("LOC", "PER"), ("P17", "P19"))


def test_known_types_pass():
    LABELS.check([document()], "file")


def test_an_unknown_entity_type_names_source_document_and_field():
    with pytest.raises(ValueError, match=r"^file: document 'd': entities\[0\]: unknown entity type 'ORG'.*LOC, PER"):
        LABELS.check([document(), document(entity_type="ORG")], "file")


def test_an_unknown_relation_type_names_source_document_and_field():
    with pytest.raises(ValueError, match=r"^file: document 'd': relations\[0\]: unknown relation type 'P1'"):
        LABELS.check([document(relation_type="P1")], "file")
