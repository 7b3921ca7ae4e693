import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.data import builtin
from model.settings import BuiltinSettings

ANAPHORA = {"she", "he", "her", "his", "the"}
TRAIN, DEV, TEST = builtin.generate(BuiltinSettings())
ALL = TRAIN + DEV + TEST

small_corpora = st.integers(0, 10_000).map(lambda seed: BuiltinSettings(seed=seed, train=6, dev=3, test=3))


def sentences(document, entity, named_only=False):
    return {
        document.sentence_of[mention.start]
        for mention in document.entities[entity].mentions
        if not (named_only and document.words[mention.start].lower() in ANAPHORA)
    }


def share_of_relations(documents, condition):
    flags = [condition(document, relation) for document in documents for relation in document.relations]
    return sum(flags) / len(flags)


def test_there_are_as_many_documents_as_asked():
    assert (len(TRAIN), len(DEV), len(TEST)) == (200, 40, 60)
    assert len({document.id for document in ALL}) == 300


@given(small_corpora)
def test_a_seed_gives_one_corpus(settings):
    assert builtin.generate(settings) == builtin.generate(settings)


@given(small_corpora)
def test_two_seeds_give_two_corpora(settings):
    other = settings.model_copy(update={"seed": settings.seed + 1})
    for ours, theirs in zip(builtin.generate(settings), builtin.generate(other), strict=True):
        assert not {document.words for document in ours} & {document.words for document in theirs}


def test_a_split_does_not_depend_on_the_size_of_another():
    train, dev, test = builtin.generate(BuiltinSettings(train=5, dev=7, test=9))
    assert (train, dev, test) == (TRAIN[:5], DEV[:7], TEST[:9])


@given(small_corpora)
def test_types_and_lengths_are_as_promised(settings):
    for documents in builtin.generate(settings):
        builtin.LABELS.check(documents, "built-in")
        for document in documents:
            assert builtin.SENTENCES[0] <= len(document.sentences) <= builtin.SENTENCES[1]
            assert builtin.WORDS[0] <= document.n_words <= builtin.WORDS[1]
            assert len(document.relations) >= builtin.FEWEST_RELATIONS


@given(small_corpora)
def test_a_relation_holds_between_the_types_that_it_allows(settings):
    for documents in builtin.generate(settings):
        for document in documents:
            for relation in document.relations:
                ends = document.entities[relation.head].type, document.entities[relation.tail].type
                assert ends == builtin.PAIR_TYPES[relation.type]
                assert relation.head != relation.tail
            assert len(set(document.relations)) == len(document.relations)


@given(small_corpora)
def test_no_text_contradicts_itself(settings):
    for documents in builtin.generate(settings):
        for document in documents:
            for type in ("born_in", "born_on", "works_for", "founded_on", "headquartered_in", "located_in"):
                heads = [relation.head for relation in document.relations if relation.type == type]
                assert len(set(heads)) == len(heads)
            for type in ("founded", "acquired"):
                tails = [relation.tail for relation in document.relations if relation.type == type]
                assert len(set(tails)) == len(tails)


@given(small_corpora)
def test_every_span_is_one_mention_and_mentions_do_not_overlap(settings):
    for documents in builtin.generate(settings):
        for document in documents:
            spans = sorted(mention.span for mention in document.mentions())
            assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))


@given(small_corpora)
def test_entities_and_their_mentions_come_in_the_order_of_the_text_and_begin_with_a_name(settings):
    for documents in builtin.generate(settings):
        for document in documents:
            firsts = [entity.mentions[0] for entity in document.entities]
            assert firsts == sorted(firsts)
            for entity in document.entities:
                assert list(entity.mentions) == sorted(entity.mentions)
                assert document.words[entity.mentions[0].start].lower() not in ANAPHORA


def test_no_slot_is_left_open():
    assert not any(character in word for document in ALL for word in document.words for character in "{}|")


@given(small_corpora)
def test_dev_and_test_name_nobody_that_train_names(settings):
    names = [
        {
            document.text(*entity.mentions[0].span)
            for document in documents
            for entity in document.entities
            if entity.type != "DATE"
        }
        for documents in builtin.generate(settings)
    ]
    assert not names[0] & names[1] and not names[0] & names[2] and not names[1] & names[2]


def test_test_tells_facts_in_words_that_train_does_not_have():
    assert not any("payroll" in document.words for document in TRAIN)
    assert any("payroll" in document.words for document in TEST)


def test_every_type_is_in_every_split():
    for documents in (TRAIN, DEV, TEST):
        assert {entity.type for document in documents for entity in document.entities} == set(
            builtin.LABELS.entity_types
        )
        assert {relation.type for document in documents for relation in document.relations} == set(
            builtin.LABELS.relation_types
        )


@pytest.mark.parametrize("documents", [TRAIN, DEV, TEST], ids=["train", "dev", "test"])
def test_many_relations_are_in_no_single_sentence(documents):
    def crosses(document, relation):
        return not sentences(document, relation.head) & sentences(document, relation.tail)

    def needs_coreference(document, relation):
        return not sentences(document, relation.head, True) & sentences(document, relation.tail, True)

    assert share_of_relations(documents, crosses) > 0.12
    assert share_of_relations(documents, needs_coreference) > 0.2


@pytest.mark.parametrize("type", ["works_for", "born_in", "acquired"])
def test_many_pairs_of_the_right_types_in_one_sentence_have_no_relation(type):
    types = builtin.PAIR_TYPES[type]
    related = unrelated = 0
    for document in ALL:
        pairs = {(relation.head, relation.tail) for relation in document.relations}
        for head in range(len(document.entities)):
            for tail in range(len(document.entities)):
                ends = document.entities[head].type, document.entities[tail].type
                if head != tail and ends == types and sentences(document, head) & sentences(document, tail):
                    related += (head, tail) in pairs
                    unrelated += (head, tail) not in pairs
    assert unrelated > 0.15 * related


def test_many_entities_are_mentioned_in_several_ways():
    several = [
        len({document.text(*span).lower() for span in entity.spans}) for document in ALL for entity in document.entities
    ]
    assert sum(count > 1 for count in several) > 0.15 * len(several)
