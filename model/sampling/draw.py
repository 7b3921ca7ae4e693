"""One training visit of a document: its gold items and freshly drawn wrong ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.data.labels import Labels
from model.data.subwords import EncodedDocument
from model.sampling import coreference, relations, spans
from model.sampling.relations import MentionPairs
from model.settings import SamplingSettings


@dataclass(frozen=True)
class Pool:
    """All that a document offers for drawing; made once per document.

    Gold mentions are numbered in entity order and addressed by the first of equal spans.
    """

    encoded: EncodedDocument
    gold_M2: np.ndarray
    inside: np.ndarray
    rest: np.ndarray
    positive_coreference: np.ndarray
    negative_coreference: np.ndarray
    edit_distance_MM: np.ndarray
    members: list[np.ndarray]
    entity_type_N: np.ndarray
    positive_relations: np.ndarray
    relation_target: np.ndarray
    negative_relations: np.ndarray


def pool(encoded: EncodedDocument, labels: Labels, max_span_size: int) -> Pool:
    """Everything that does not change from visit to visit."""
    document = encoded.document
    gold = spans.gold_spans(document)
    address = spans.first_index(gold)
    inside, rest = spans.negative_spans(encoded, max_span_size)
    positive_pairs, negative_pairs = coreference.gold_pairs(document, address)
    positive_relations, relation_target, negative_relations = relations.gold_pairs(document, labels)
    sizes = [len(entity.mentions) for entity in document.entities]
    return Pool(
        encoded=encoded,
        gold_M2=gold,
        inside=inside,
        rest=rest,
        positive_coreference=positive_pairs,
        negative_coreference=negative_pairs,
        edit_distance_MM=coreference.edit_distances(coreference.mention_texts(document, gold)),
        members=np.split(address, np.cumsum(sizes)[:-1]) if sizes else [],
        entity_type_N=np.array([labels.entity_index[entity.type] for entity in document.entities], dtype=np.int64),
        positive_relations=positive_relations,
        relation_target=relation_target,
        negative_relations=negative_relations,
    )


@dataclass(frozen=True)
class Sample:
    """What one visit trains on. Indices are local to the document; spans are gold ones first, then drawn ones."""

    encoded: EncodedDocument
    span_words_S2: np.ndarray
    span_subwords_S2: np.ndarray
    mention_target_S: np.ndarray
    coreference_P2: np.ndarray
    edit_distance_P: np.ndarray
    coreference_target_P: np.ndarray
    members: list[np.ndarray]
    entity_type_N: np.ndarray
    entity_pair_Q2: np.ndarray
    relation_target_QR: np.ndarray
    mention_pairs: MentionPairs | None


def draw(pool: Pool, settings: SamplingSettings, generator: np.random.Generator, with_mention_pairs: bool) -> Sample:
    """Draw wrong spans, coreference pairs and entity pairs, each uniformly and without replacement.

    Mention pairs are built for the multi-instance classifier only.
    """
    negative_spans = spans.draw_negative_spans(pool.inside, pool.rest, settings, generator)
    words = np.concatenate([pool.gold_M2, negative_spans])
    subwords = pool.encoded.subword_range(words)
    pairs = np.concatenate(
        [
            pool.positive_coreference,
            _some(pool.negative_coreference, settings.coreference_negatives, generator),
        ]
    )
    entity_pairs = np.concatenate(
        [pool.positive_relations, _some(pool.negative_relations, settings.relation_negatives, generator)]
    )
    target = np.zeros((len(entity_pairs), pool.relation_target.shape[1]), dtype=np.float32)
    target[: len(pool.relation_target)] = pool.relation_target
    sentence_of = np.array(pool.encoded.document.sentence_of)
    return Sample(
        encoded=pool.encoded,
        span_words_S2=words,
        span_subwords_S2=subwords,
        mention_target_S=np.arange(len(words)) < len(pool.gold_M2),
        coreference_P2=pairs,
        edit_distance_P=pool.edit_distance_MM[pairs[:, 0], pairs[:, 1]],
        coreference_target_P=np.arange(len(pairs)) < len(pool.positive_coreference),
        members=pool.members,
        entity_type_N=pool.entity_type_N,
        entity_pair_Q2=entity_pairs,
        relation_target_QR=target,
        mention_pairs=(
            relations.mention_pairs(entity_pairs, pool.members, words, subwords, sentence_of[words[:, 0]])
            if with_mention_pairs
            else None
        ),
    )


def _some(items: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    return items[generator.choice(len(items), min(most, len(items)), replace=False)]
