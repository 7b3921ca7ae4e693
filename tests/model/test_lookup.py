"""The lookup baseline, with numbers that can be checked by head."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from model.baselines import lookup
from model.baselines.lookup import Dictionary, LookupSettings, Text, find, main, remember, run
from model.data.catalog import Corpus, DataNotFound, search_path
from model.data.document import Document, Entity, Mention, Relation, from_json
from model.data.labels import Labels
from model.metrics.evaluation import Evaluation
from model.metrics.matching import Counts

LABELS = Labels(("Chemical", "Disease"), ("CID", "treats"))
BUILTIN = {"name": "builtin", "train": 60, "dev": 10, "test": 10}


def settings(**given):
    return LookupSettings.model_validate({"data": BUILTIN, **given})


def document(text, *entities, relations=(), name="d"):
    """Sentences end in a full stop. An entity is a type and its strings, which are mentions wherever they stand."""
    words = text.split()
    ends = sorted({n for n, word in enumerate(words, 1) if word == "."} | {len(words)})
    sentences = tuple(tuple(words[start:end]) for start, end in zip([0, *ends], ends, strict=False))

    def mentions(entity_type, strings):
        for string in strings:
            n = len(string.split())
            for start in range(len(words) - n + 1):
                if " ".join(words[start : start + n]) == string:
                    yield Mention(start, start + n, entity_type)

    made = tuple(Entity(tuple(mentions(entity_type, strings))) for entity_type, *strings in entities)
    return Document(name, sentences, made, tuple(Relation(*relation) for relation in relations))


def found(memory, text, mention_share=0.5, relation_share=0.5, **given):
    (one,) = find([document(text)], memory, settings(**given), mention_share)
    return one.above(relation_share)


def strings(of):
    """Type and strings of each entity."""
    return [(e.type, *(of.text(*m.span) for m in e.mentions)) for e in of.entities]


def relations(of):
    return {(r.head, r.tail, r.type) for r in of.relations}


# ------------------------------------------------------------------------------------------------------------- mentions


def test_a_string_is_a_mention_if_it_was_one_often_enough_where_it_stood():
    # lead stands three times and is a mention once
    train = [document("lead harms .", ("Chemical", "lead")), document("they lead . we lead .")]
    memory = remember(train, LABELS, settings())
    assert memory.mention_shares == {"lead": 1 / 3}
    assert strings(found(memory, "lead", mention_share=0.33)) == [("Chemical", "lead")]
    assert strings(found(memory, "lead", mention_share=0.34)) == []


def test_the_longest_of_the_strings_that_begin_together_counts_and_spans_do_not_overlap():
    train = [document("renal failure . renal failure acute . acute pain .", ("Disease", "renal failure"),
                      ("Disease", "renal failure acute"), ("Disease", "acute pain"))]  # fmt: skip
    memory = remember(train, LABELS, settings(alias_share=None))
    assert strings(found(memory, "renal failure acute pain", alias_share=None)) == [("Disease", "renal failure acute")]
    assert strings(found(memory, "renal acute pain", alias_share=None)) == [("Disease", "acute pain")]


def test_no_string_reaches_over_the_end_of_a_sentence():
    memory = remember([document("acute pain", ("Disease", "acute pain"))], LABELS, settings())
    text = Document("d", (("acute",), ("pain",)))
    assert not find([text], memory, settings(), 0.0)[0].entities


def test_a_place_inside_of_a_longer_mention_does_not_count_against_a_string():
    train = [document("back pain . pain", ("Disease", "back pain"), name="1")]
    inner = Document("2", (("pain", "."),), (Entity((Mention(0, 1, "Disease"),)),))
    assert remember([*train, inner], LABELS, settings()).mention_shares == {"back pain": 1.0, "pain": 0.5}


def test_a_string_has_its_most_frequent_type_and_of_two_the_first_of_the_labels():
    chemical, disease = (document("iron", (kind, "iron")) for kind in ("Chemical", "Disease"))
    assert remember([disease, chemical, disease], LABELS, settings()).types == {"iron": "Disease"}
    assert remember([disease, chemical], LABELS, settings()).types == {"iron": "Chemical"}


def test_case_counts_only_if_it_is_to():
    train = [document("MI", ("Disease", "MI"))]
    assert strings(found(remember(train, LABELS, settings()), "mi")) == [("Disease", "mi")]
    given = {"case_sensitive": True}
    memory = remember(train, LABELS, settings(**given))
    assert strings(found(memory, "mi", **given)) == []
    assert strings(found(memory, "MI", **given)) == [("Disease", "MI")]


def test_what_was_seen_less_often_than_the_minimum_is_not_remembered():
    train = [document("rash . rash . pain", ("Disease", "rash"), ("Disease", "pain"))]
    assert remember(train, LABELS, settings(minimum_count=2)).mention_shares == {"rash": 1.0}


def test_a_dictionary_finds_all_places_of_its_strings():
    text = Text.of(document("a b c a b"), settings())
    known = Dictionary(["a", "a b c", "b c"])
    assert list(known.places(text)) == [(0, 1), (0, 3), (1, 3), (3, 4)]
    assert list(known.without_overlap(text)) == [(0, 3), (3, 4)]


# ------------------------------------------------------------------------------------------------------------- entities


def test_the_mentions_of_one_string_are_an_entity():
    memory = remember([document("rash . pain", ("Disease", "rash"), ("Disease", "pain"))], LABELS, settings())
    assert strings(found(memory, "rash and Rash and pain")) == [("Disease", "rash", "Rash"), ("Disease", "pain")]


def test_two_strings_are_of_one_entity_if_they_were_so_often_enough():
    # together in three documents, of one entity in two of them
    one = document("infarction mi", ("Disease", "infarction", "mi"))
    two = document("infarction mi", ("Disease", "infarction"), ("Disease", "mi"))
    memory = remember([one, one, two], LABELS, settings())
    assert memory.aliases == {frozenset(("infarction", "mi")): 2 / 3}
    assert strings(found(memory, "mi infarction", alias_share=0.6)) == [("Disease", "mi", "infarction")]
    assert len(found(memory, "mi infarction", alias_share=0.7).entities) == 2
    assert len(found(memory, "mi infarction", alias_share=None).entities) == 2


def test_aliases_join_by_a_third_string_and_never_two_types():
    train = [document(" ".join(pair), ("Disease", *pair)) for pair in (("a", "b"), ("b", "c"), ("a", "d"))]
    train += 2 * [document("d", ("Chemical", "d"))]
    memory = remember(train, LABELS, settings())
    assert strings(found(memory, "a c d b")) == [("Chemical", "d"), ("Disease", "a", "c", "b")]


# ------------------------------------------------------------------------------------------------------------ relations


def pair(chemical, disease, related, name="d"):
    entities = ("Chemical", chemical), ("Disease", disease)
    return document(f"{chemical} {disease}", *entities, relations=[(0, 1, "CID")] if related else [], name=name)


def test_a_pair_of_strings_has_the_relations_that_it_had_often_enough():
    train = [pair("lead", "rash", True), pair("lead", "rash", True), pair("lead", "rash", False)]
    memory = remember(train, LABELS, settings())
    assert relations(found(memory, "rash lead", relation_share=0.66)) == {(1, 0, "CID")}
    assert relations(found(memory, "rash lead", relation_share=0.67)) == set()


def test_a_pair_that_was_never_seen_goes_by_its_types():
    # of four pairs of a chemical and a disease one is related; iron and pain never stood together
    train = [
        pair("lead", "rash", True),
        pair("lead", "pain", False),
        pair("iron", "rash", False),
        pair("zinc", "rash", False),
    ]
    memory = remember(train, LABELS, settings())
    assert relations(found(memory, "iron pain", relation_share=0.25)) == {(0, 1, "CID")}
    assert relations(found(memory, "iron pain", relation_share=0.26)) == set()
    # iron and rash were seen, without a relation
    assert relations(found(memory, "iron rash", relation_share=0.0)) == set()
    by_types, by_strings = ({"relations_by": [name]} for name in ("types", "strings"))
    assert relations(found(memory, "iron rash", relation_share=0.0, **by_types)) == {(0, 1, "CID")}
    assert relations(found(memory, "iron pain", relation_share=0.0, **by_strings)) == set()


def test_a_pair_of_entities_goes_by_all_their_strings_together():
    # mi and infarction are one entity; of four pairs of their strings and lead three are related
    infarction = ("Disease", "mi", "infarction")
    train = [document("mi infarction lead", infarction, ("Chemical", "lead"), relations=[(1, 0, "CID")])]
    train += [pair("lead", "mi", True), pair("lead", "mi", False)]
    memory = remember(train, LABELS, settings())
    assert memory.pairs["strings"].shares([("lead", "mi"), ("lead", "infarction")], 1) == {"CID": 3 / 4}
    assert memory.pairs["strings"].shares([("lead", "mi"), ("lead", "infarction")], 2) == {"CID": 2 / 3}
    assert memory.pairs["strings"].shares([("lead", "iron")], 1) is None


def test_a_pair_may_have_two_relations():
    train = [
        document("lead rash", ("Chemical", "lead"), ("Disease", "rash"), relations=[(0, 1, "CID"), (0, 1, "treats")])
    ]
    assert relations(found(remember(train, LABELS, settings()), "lead rash")) == {(0, 1, "CID"), (0, 1, "treats")}


# ----------------------------------------------------------------------------------------------------------- evaluation


def test_annotation_that_a_text_comes_with_is_not_looked_at():
    train = [pair("lead", "rash", True)]
    memory = remember(train, LABELS, settings())
    gold = document("lead rash pain", ("Disease", "pain"))
    (one,) = find([gold], memory, settings(), 0.5)
    assert strings(one.above(0.5)) == [("Chemical", "lead"), ("Disease", "rash")]


def test_what_was_remembered_is_found_again_in_the_same_documents():
    train = [
        pair("lead", "rash", True, "1"),
        document("zinc helps pain .", ("Chemical", "zinc"), ("Disease", "pain"), name="2"),
    ]
    memory = remember(train, LABELS, settings())
    evaluation = Evaluation.of(train, [one.above(0.5) for one in find(train, memory, settings(), 0.5)])
    assert {name: value for name, value in evaluation.scores("dev").items() if name.endswith("f1")} == dict.fromkeys(
        [f"dev/{task}_f1" for task in ("mention", "coreference", "entity", "relation", "relation_strict")], 100.0
    )
    assert evaluation.counts[0]["relation_strict"] == Counts(1, 0, 0)


# ---------------------------------------------------------------------------------------------------------------- trial


def run_in(folder, seed=1, **given):
    folder.mkdir()
    told = []
    result = run({"data": BUILTIN, **given}, seed, folder, told.append, data=search_path())
    return result, told


def test_each_combination_of_shares_is_a_step_and_the_first_that_is_best_on_dev_counts(tmp_path, monkeypatch):
    lead, rash = ("Chemical", "lead"), ("Disease", "rash")
    # lead is a mention in one of its three places, rash in all
    train = document("lead and rash .", lead, rash), document("they lead . we lead .")
    dev, test = document("lead and rash", lead, rash), document("we lead a rash", rash)
    corpus = Corpus("builtin", "builtin", train, (dev,), (test,), LABELS, "")
    monkeypatch.setattr(lookup.catalog, "load", lambda settings, search: corpus)
    shares = {"mention_share": [0.5, 0.3], "relation_share": [0.2, 0.4]}
    result, told = run_in(tmp_path / "trial", select="mention_f1", **shares)
    assert [(one["epoch"], one["metrics"]["mention_share"], one["metrics"]["relation_share"]) for one in told] == [
        (1, 0.5, 0.2), (2, 0.5, 0.4), (3, 0.3, 0.2), (4, 0.3, 0.4),
    ]  # fmt: skip
    # without lead one of two is found
    assert [one["metrics"]["dev/mention_f1"] for one in told] == [pytest.approx(200 / 3)] * 2 + [100.0] * 2
    assert (result["selected_epoch"], result["mention_share"], result["relation_share"]) == (3, 0.3, 0.2)
    assert result["metrics"]["dev/mention_f1"] == 100.0
    assert (result["metrics"]["test/mention_precision"], result["metrics"]["test/mention_recall"]) == (50.0, 100.0)


def test_a_trial_leaves_predictions_and_counts_that_agree_with_its_scores(tmp_path):
    result, _ = run_in(tmp_path / "trial")
    for split, n_documents in (("dev", 10), ("test", 10)):
        read = [
            json.loads((tmp_path / "trial" / kind / f"{split}.json").read_text()) for kind in ("predictions", "counts")
        ]
        predicted, counts = read
        assert [from_json(one).id for one in predicted] == counts["documents"]["id"]
        assert len(predicted) == n_documents
        correct, spurious, missed = (sum(counts["mention"][name]) for name in ("correct", "spurious", "missed"))
        assert result["metrics"][f"{split}/mention_f1"] == pytest.approx(
            200 * correct / (2 * correct + spurious + missed)
        )
        assert correct > 0


def test_nothing_is_drawn(tmp_path):
    assert run_in(tmp_path / "a", seed=1) == run_in(tmp_path / "b", seed=2)


def test_settings_and_data_that_are_none_are_refused(tmp_path):
    for given in (
        {"mention_shares": [0.5]},
        {"mention_share": []},
        {"mention_share": [1.5]},
        {"relations_by": ["words"]},
    ):
        with pytest.raises(ValidationError):
            settings(**given)
    with pytest.raises(DataNotFound):
        run({"data": {"name": "cdr"}}, 1, tmp_path, lambda told: None, data=[tmp_path])


def test_the_command_does_the_same(tmp_path):
    result, told = run_in(tmp_path / "function")
    (tmp_path / "settings.json").write_text(json.dumps({"data": BUILTIN}))
    main(
        [
            "--settings",
            str(tmp_path / "settings.json"),
            "--out",
            str(tmp_path / "command"),
            "--data-path",
            str(tmp_path),
        ]
    )
    assert json.loads((tmp_path / "command" / "metrics.json").read_text()) == result
    lines = (tmp_path / "command" / "progress.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == told
    with pytest.raises(SystemExit, match="no-such-file"):
        main(["--settings", "no-such-file", "--out", str(tmp_path / "command")])


def test_torch_is_not_needed():
    program = "import sys, model.baselines.lookup; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.data
def test_on_cdr_it_finds_most_mentions_and_few_relations(tmp_path):
    try:
        result, _ = run_in(tmp_path / "cdr", data={"name": "cdr"}, mention_share=[0.3], relation_share=[0.2])
    except DataNotFound:
        pytest.skip("CDR is not on the data search path")
    rounded = {name: round(result["metrics"][f"test/{name}"], 2) for name in ("mention_f1", "relation_strict_f1")}
    assert rounded == {"mention_f1": 72.83, "relation_strict_f1": 12.62}
