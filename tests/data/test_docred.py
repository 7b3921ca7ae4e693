import copy
import json

import pytest

from model.data.docred import LABELS, parse, read
from model.data.document import Mention, Relation

ANNA = {
    "title": "Anna",
    "sents": [["Anna", "lives", "."], ["She", " ", "left", "Halden", "."]],
    "vertexSet": [
        [
            {"sent_id": 1, "pos": [0, 1], "type": "PER", "name": "She"},
            {"sent_id": 0, "pos": [0, 1], "type": "ORG", "name": "other text"},
        ],
        [{"sent_id": 1, "pos": [3, 4], "type": "LOC", "name": "Halden"}],
    ],
    "labels": [{"r": "P19", "h": 0, "t": 1, "evidence": [0]}],
}


def test_positions_in_a_sentence_become_positions_in_the_document():
    (document,) = parse(json.dumps([ANNA]), "file")
    assert document.id == "Anna"
    assert document.entities[0].mentions == (Mention(3, 4, "PER"), Mention(0, 1, "ORG"))
    assert document.text(*document.entities[1].mentions[0].span) == "Halden"
    assert document.relations == (Relation(0, 1, "P19"),)


def test_an_entity_has_the_type_of_the_mention_that_the_file_lists_first():
    (document,) = parse(json.dumps([ANNA]), "file")
    assert document.entities[0].type == "PER"


def test_nothing_that_is_listed_twice_is_dropped():
    twice = copy.deepcopy(ANNA)
    twice["vertexSet"][0] *= 2
    twice["vertexSet"].append(twice["vertexSet"][1])
    twice["labels"] *= 2
    (document,) = parse(json.dumps([twice]), "file")
    assert [len(entity.mentions) for entity in document.entities] == [4, 1, 1]
    assert len(document.relations) == 2


def test_a_document_may_have_no_labels():
    unlabelled = {key: value for key, value in ANNA.items() if key != "labels"}
    assert parse(json.dumps([unlabelled]), "file")[0].relations == ()


def test_a_title_that_comes_again_is_numbered():
    assert [document.id for document in parse(json.dumps([ANNA, ANNA, ANNA]), "file")] == [
        "Anna",
        "Anna (2)",
        "Anna (3)",
    ]


def test_types_are_in_alphabetical_order_and_every_relation_has_a_readable_name():
    assert LABELS.entity_types == ("LOC", "MISC", "NUM", "ORG", "PER", "TIME")
    assert len(LABELS.relation_types) == 96
    assert list(LABELS.relation_types) == sorted(LABELS.relation_types)
    assert set(LABELS.relation_names) == set(LABELS.relation_types)
    assert LABELS.relation_names["P17"] == "country"


def changed(path, value):
    """ANNA with another value at a path; `...` takes the field away."""
    result = copy.deepcopy(ANNA)
    *way, last = path
    place = result
    for step in way:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return result


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["title"], ..., r"document 1: title is missing"),
        (["title"], 5, r"document 1: title is 5, expected a string"),
        (["sents"], ..., r"document 1 'Anna': sents is missing"),
        (["sents"], [[]], r"document 1 'Anna': sents has no words"),
        (["sents", 0], "Anna", r"document 1 'Anna': sents\[0\] is \"Anna\", expected a list"),
        (["sents", 1, 0], None, r"document 1 'Anna': sents\[1\]\[0\] is null, expected a string"),
        (["vertexSet"], ..., r"document 1 'Anna': vertexSet is missing"),
        (["vertexSet", 1], [], r"document 1 'Anna': vertexSet\[1\] has no mentions"),
        (["vertexSet", 0, 1], 3, r"document 1 'Anna': vertexSet\[0\]\[1\] is 3, expected an object"),
        (["vertexSet", 0, 1, "pos"], ..., r"document 1 'Anna': vertexSet\[0\]\[1\].pos is missing"),
        (["vertexSet", 0, 1, "pos"], [2, 4], r"document 1 'Anna': vertexSet\[0\]\[1\].pos is \[2, 4\].*inside 3 words"),
        (["vertexSet", 0, 1, "pos"], [1, 1], r"document 1 'Anna': vertexSet\[0\]\[1\].pos is \[1, 1\]"),
        (["vertexSet", 0, 1, "pos"], [0, "1"], r"document 1 'Anna': vertexSet\[0\]\[1\].pos is"),
        (["vertexSet", 0, 1, "sent_id"], 2, r"document 1 'Anna': vertexSet\[0\]\[1\].sent_id is 2.*the 2 sentences"),
        (["vertexSet", 0, 1, "sent_id"], -1, r"document 1 'Anna': vertexSet\[0\]\[1\].sent_id is -1"),
        (["vertexSet", 0, 1, "type"], "GPE", r"document 1 'Anna': vertexSet\[0\]\[1\].type is 'GPE'.*LOC, MISC"),
        (["labels"], {}, r"document 1 'Anna': labels is \{\}, expected a list"),
        (["labels", 0, "r"], "P0", r"document 1 'Anna': labels\[0\].r is 'P0', not one of the 96"),
        (["labels", 0, "h"], 2, r"document 1 'Anna': labels\[0\].h is 2.*the 2 entities"),
        (["labels", 0, "t"], True, r"document 1 'Anna': labels\[0\].t is true"),
        (["labels", 0, "t"], ..., r"document 1 'Anna': labels\[0\].t is missing"),
    ],
)
def test_a_malformed_document_is_refused_with_file_title_and_field(path, value, message):
    with pytest.raises(ValueError, match=f"^file: {message}"):
        parse(json.dumps([{**ANNA, "title": "Before"}, changed(path, value)]), "file")


@pytest.mark.parametrize("value", ["{}", "[]", "3"])
def test_a_file_that_is_no_list_of_documents_is_refused(value):
    with pytest.raises(ValueError, match="^file: expected a JSON array"):
        parse(value, "file")


def test_a_file_that_is_no_json_is_refused_with_line_and_column(tmp_path):
    path = tmp_path / "dev.json"
    path.write_text('[\n  {"title": }]', encoding="utf-8")
    with pytest.raises(ValueError, match=r"dev.json: line 2, column 13: not JSON"):
        read(path)
