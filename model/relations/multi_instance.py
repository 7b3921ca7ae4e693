"""MRC, the multi-instance relation classifier: a pair is all pairs of mentions of its entities, and their contexts.

Shape letters: T sub-words, M mentions, N entities, Q entity pairs, K mention pairs, C contexts, D encoder width, V type
vector width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.batch import Entities, EntityPairs, PairMentions
from model.ragged import BlockLinear, Ends, Part, RangeMaximum, segment_max
from model.settings import MultiInstanceSettings


class MultiInstanceEnds(NamedTuple):
    """What the ends give to pairs of mentions, and their types to pairs of entities."""

    mentions: Ends
    """Of the places in `Entities.member`, to which mention pairs point."""
    types: Ends
    """Of the entities."""


class MultiInstancePairs(nn.Module):
    """Mention pairs (a of the head, b of the tail), pooled by element-wise maximum.

        c = element-wise maximum of the sub-word vectors between the two spans, 0 where there are none
        l = dropout(U1 [c ; v_a ; v_b ; e_head ; e_tail ; token distance ; sentence distance] + b1)
        p = dropout(ReLU(U2 [max over mention pairs of l ; t_head ; t_tail] + b2))

    Source: JEREX (arXiv 2102.05980), section 3.5; MRE, section 5, MRC.
    """

    needs_mention_pairs = True

    def __init__(
        self, settings: MultiInstanceSettings, width: int, type_width: int, embedding_size: int, dropout: float
    ) -> None:
        super().__init__()
        self.token_distance_embedding = nn.Embedding(settings.token_distance_rows, embedding_size)
        self.sentence_distance_embedding = nn.Embedding(settings.sentence_distance_rows, embedding_size)
        self.local = BlockLinear([width] * 5 + [embedding_size] * 2, width)
        self.pair = BlockLinear([width, type_width, type_width], width)
        self.dropout = nn.Dropout(dropout)

    def ends(
        self, mention_MD: Tensor, entity_ND: Tensor, type_N: Tensor, type_vectors: Tensor, entities: Entities
    ) -> MultiInstanceEnds:
        """What mentions and entities give to all pairs that they are in.

        `entities`: the mentions of every entity. `type_N`: of which type each entity is taken to be.
        """
        return MultiInstanceEnds(
            mentions=Ends(
                self.local.sum(Part(1, mention_MD, entities.member), Part(3, entity_ND, entities.owner)),
                self.local.sum(Part(2, mention_MD, entities.member), Part(4, entity_ND, entities.owner)),
            ),
            types=Ends(self.pair.sum(Part(1, type_vectors, type_N)), self.pair.sum(Part(2, type_vectors, type_N))),
        )

    def local_representations(self, maximum: RangeMaximum, ends: Ends, mentions: PairMentions) -> Tensor:
        """l of every mention pair: [K, D]."""
        token_distance, sentence_distance = self.token_distance_embedding, self.sentence_distance_embedding
        between = self.local.sum(
            Part(0, maximum(mentions.contexts)),
            Part(5, token_distance.weight, mentions.token_distance_C.clamp(max=token_distance.num_embeddings - 1)),
            Part(
                6,
                sentence_distance.weight,
                mentions.sentence_distance_C.clamp(max=sentence_distance.num_embeddings - 1),
            ),
        )
        return self.local((between, mentions.context_K), (ends.first, mentions.head_K), (ends.second, mentions.tail_K))

    def forward(
        self, maximum: RangeMaximum, ends: MultiInstanceEnds, pairs: EntityPairs, mentions: PairMentions
    ) -> Tensor:
        local_KD = self.dropout(self.local_representations(maximum, ends.mentions, mentions))
        pooled_QD = segment_max(local_KD, mentions.entity_pair_K, len(pairs.head_Q))
        hidden_QD = self.pair(
            (self.pair.sum(Part(0, pooled_QD)), None),
            (ends.types.first, pairs.head_Q),
            (ends.types.second, pairs.tail_Q),
        )
        return self.dropout(torch.relu(hidden_QD))
