import gzip

import pytest

from model.data import cdr
from model.data.cdr import parse, read, words_of
from model.data.document import Relation

# characters:        0         1         2         3
#                    0123456789012345678901234567890123456
TITLE = "Drugx-induced fever."
ABSTRACT = "Drugx and acid gave fever. No pain."
HEAD = f"7|t|{TITLE}\n7|a|{ABSTRACT}\n"
LINES = (
    "7\t0\t5\tDrugx\tChemical\tD1",
    "7\t14\t19\tfever\tDisease\tD2",
    "7\t21\t26\tDrugx\tChemical\tD1",
    "7\t31\t35\tacid\tChemical\t-1",
    "7\t41\t46\tfever\tDisease\tD2",
    "7\t51\t55\tpain\tDisease\tD3",
    "7\tCID\tD1\tD2",
)


def text(*lines, head=HEAD):
    return head + "\n".join(lines) + "\n"


def one(*lines, head=HEAD):
    documents, tally = parse(text(*lines, head=head), "file")
    assert len(documents) == 1
    return documents[0], tally


def named(document):
    return [[document.text(*mention.span) for mention in entity.mentions] for entity in document.entities]


# ------------------------------------------------------------------------------------------------------ what is read


def test_title_and_abstract_become_sentences_of_words():
    document, tally = one(*LINES)
    assert document.id == "7"
    assert document.sentences == (
        ("Drugx", "-", "induced", "fever", "."),
        ("Drugx", "and", "acid", "gave", "fever", "."),
        ("No", "pain", "."),
    )
    assert (tally.documents, tally.sentences, tally.words) == (1, 3, 14)


def test_an_entity_is_a_mesh_id_of_one_type():
    document, _ = one(*LINES)
    assert named(document) == [["Drugx", "Drugx"], ["fever", "fever"], ["pain"]]
    assert [entity.type for entity in document.entities] == ["Chemical", "Disease", "Disease"]
    both, _ = one(LINES[0], "7\t14\t19\tfever\tDisease\tD1")
    assert len(both.entities) == 2


def test_a_relation_goes_from_the_chemical_to_the_disease():
    document, _ = one(*LINES)
    assert document.relations == (Relation(0, 1, "CID"),)
    turned, _ = one("7\t14\t19\tfever\tDisease\tD2", "7\t21\t26\tDrugx\tChemical\tD1", "7\tCID\tD1\tD2")
    assert turned.relations == (Relation(1, 0, "CID"),)


def test_entities_come_by_their_first_mention_whatever_the_order_of_the_lines():
    shuffled, _ = one(*LINES[:6][::-1], LINES[6])
    assert shuffled == one(*LINES)[0]


def test_mentions_without_an_id_are_left_out_and_counted():
    document, tally = one(*LINES)
    assert (tally.mentions, tally.ungrounded) == (6, 1)
    assert ["acid"] not in named(document)
    assert "file: 1 of 6 mentions without an id (-1) are left out" in tally.notes("file")


def test_a_composite_mention_is_in_the_entity_of_each_of_its_ids():
    document, tally = one(
        "7\t0\t5\tDrugx\tChemical\tD1|D9\tDrug|x", "7\t14\t19\tfever\tDisease\tD2", "7\tCID\tD9\tD2", "7\tCID\tD1\tD2"
    )
    assert named(document) == [["Drugx"], ["Drugx"], ["fever"]]
    assert document.relations == (Relation(1, 2, "CID"), Relation(0, 2, "CID"))
    assert tally.composite == 1


def test_a_composite_mention_keeps_the_ids_that_it_has():
    document, tally = one("7\t0\t5\tDrugx\tChemical\t-1|D9")
    assert named(document) == [["Drugx"]]
    assert (tally.composite, tally.ungrounded) == (0, 0)


def test_a_mention_inside_a_word_is_widened_to_the_word_and_counted():
    document, tally = one("7\t0\t4\tDrug\tChemical\tD1", "7\t6\t16\tinduced fe\tDisease\tD2")
    assert named(document) == [["Drugx"], ["induced fever"]]
    assert tally.widened == 2


def test_mentions_of_an_entity_that_become_the_same_words_are_kept_once_and_counted():
    document, tally = one("7\t0\t4\tDrug\tChemical\tD1", "7\t0\t5\tDrugx\tChemical\tD1")
    assert named(document) == [["Drugx"]]
    assert (tally.widened, tally.merged) == (1, 1)


def test_a_mention_across_a_sentence_end_is_cut_so_that_no_relation_is_lost():
    document, tally = one(
        LINES[0], "7\t14\t36\tfever. Drugx and acid \tDisease\tD2", "7\tCID\tD1\tD2"
    )  # two words of the title, three of the abstract
    assert named(document) == [["Drugx"], ["Drugx and acid"]]
    assert tally.cut == 1
    assert document.relations == (Relation(0, 1, "CID"),)


def test_a_mention_may_begin_with_a_blank():
    document, tally = one("7\t13\t19\t fever\tDisease\tD2")
    assert named(document) == [["fever"]]
    assert tally.widened == 0


def test_long_mentions_are_counted():
    words = " ".join("abcdefghijk")
    assert one(f"7\t0\t21\t{words}\tDisease\tD2", head=f"7|t|{words}\n7|a|\n")[1].long == 1
    assert one(f"7\t0\t19\t{words[:19]}\tDisease\tD2", head=f"7|t|{words}\n7|a|\n")[1].long == 0


def test_nothing_is_noted_where_nothing_was_changed():
    assert one(LINES[0], LINES[1])[1].notes("file") == ()


def test_every_punctuation_mark_is_a_word():
    assert [("a-b_c 0.5 (β2)!"[i:j]) for i, j in words_of("a-b_c 0.5 (β2)!")] == [
        *("a", "-", "b", "_", "c", "0", ".", "5", "(", "β2", ")", "!")
    ]


def test_words_and_sentences_do_not_depend_on_the_annotation():
    assert one(*LINES)[0].sentences == one("7\t0\t4\tDrug\tChemical\tD1")[0].sentences


def test_documents_are_parted_by_empty_lines_and_windows_line_ends_do_not_matter():
    other = text(*LINES).replace("7\t", "8\t").replace("7|", "8|")
    documents, tally = parse("\n\n" + text(*LINES) + "\n" + other, "file")
    assert [document.id for document in documents] == ["7", "8"]
    assert documents[0].sentences == documents[1].sentences
    assert (tally.documents, tally.mentions, tally.relations) == (2, 12, 2)
    assert parse(text(*LINES).replace("\n", "\r\n"), "file") == parse(text(*LINES), "file")


def test_a_packed_file_reads_as_the_plain_one(tmp_path):
    plain, packed = tmp_path / "a.txt", tmp_path / "a.txt.gz"
    plain.write_text(text(*LINES), encoding="utf-8")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read(plain) == read(packed)


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["7\t0\t5\tDrugy\tChemical\tD1"], r"document 7: line 3: text is 'Drugy', but characters \[0, 5\) are 'Drugx'"),
        (
            ["7\t0\t99\tDrugx\tChemical\tD1"],
            r"document 7: line 3: start, end \[0, 99\) is not inside the 56 characters",
        ),
        (["7\t5\t5\t\tChemical\tD1"], r"document 7: line 3: start, end \[5, 5\)"),
        (["7\ta\t5\tDrugx\tChemical\tD1"], "document 7: line 3: start, end are 'a', '5', expected two numbers"),
        (["7\t20\t21\t \tChemical\tD1"], "document 7: line 3: text ' ' has no words"),
        (["7\t0\t5\tDrugx\tGene\tD1"], "document 7: line 3: type is 'Gene', expected Chemical or Disease"),
        (["7\t0\t5\tDrugx\tChemical\t"], "document 7: line 3: MeSH id is ''"),
        (["7\t0\t5\tDrugx\tChemical\tD1|"], "document 7: line 3: MeSH id is 'D1|'".replace("|", r"\|")),
        ([LINES[0], "7\t0\t5"], "document 7: line 4: line has 3 fields"),
        ([LINES[0], "7\tNR\tD1\tD2"], "document 7: line 4: relation type is 'NR', expected CID"),
        ([*LINES[:6], "7\tCID\tD2\tD1"], "document 7: line 9: chemical id 'D2' has no Chemical mention"),
        ([*LINES[:6], "7\tCID\tD1\tD8"], "document 7: line 9: disease id 'D8' has no Disease mention"),
        (["8\t0\t5\tDrugx\tChemical\tD1"], "document 7: line 3: PMID is '8'"),
        (["7|t|Again"], "document 7: line 3: title is given twice"),
        (["", "7|t|x", "7|a|y"], "document 7: line 4: PMID is the PMID of the document at line 1 too"),
        (["", "8|t|x"], r"document 8: line 4: text has no line '8\|a\|'"),
        (["", "8\t0\t1\tx\tDisease\tD1"], r"document 8: line 4: text has no line '8\|t\|'"),
        (["", "8|t|", "8|a| "], "document 8: line 4: title and abstract have no words"),
    ],
)
def test_a_malformed_line_is_refused_with_file_document_line_and_field(lines, message):
    with pytest.raises(ValueError, match=f"^file: {message}"):
        parse(text(*lines), "file")


def test_a_file_without_documents_is_refused():
    with pytest.raises(ValueError, match="file: no documents"):
        parse("\n\n", "file")


def test_a_file_that_is_not_utf8_or_not_whole_is_refused(tmp_path):
    latin, cut = tmp_path / "a.txt", tmp_path / "a.txt.gz"
    latin.write_bytes("7|t|Fièvre".encode("latin-1"))
    cut.write_bytes(gzip.compress(text(*LINES).encode())[:-12])
    with pytest.raises(ValueError, match="a.txt: byte 6 is not UTF-8"):
        read(latin)
    with pytest.raises(ValueError, match="a.txt.gz: not a whole gzip file"):
        read(cut)


def test_what_decides_the_words_is_named():
    assert str(cdr.READER) in cdr.segmentation()
    assert "syntok 1." in cdr.segmentation()
