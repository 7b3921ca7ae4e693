"""Extractions as Documents."""

from __future__ import annotations

from model.data.document import Document, Entity, Mention, Relation
from model.data.labels import Labels
from model.joint.jerex import Candidates, Extraction


def to_document(text: Document, candidates: Candidates, extraction: Extraction, labels: Labels) -> Document:
    """The words of `text` with the entities and relations that were found in it, in candidate order."""
    spans = candidates.words_C2[extraction.kept].tolist()
    entities = []
    for member, entity_type in zip(extraction.members, extraction.entity_type.tolist(), strict=True):
        name = labels.entity_types[entity_type]
        entities.append(Entity(tuple(Mention(spans[m][0], spans[m][1], name) for m in member.tolist())))
    relations = [Relation(head, tail, labels.relation_types[r]) for head, tail, r in extraction.triples.tolist()]
    return Document(text.id, text.sentences, tuple(entities), tuple(relations))
