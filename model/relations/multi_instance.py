"""MRC, the multi-instance relation classifier: a pair is all pairs of mentions of its entities, and their contexts.

Shape letters: T sub-words, M mentions, N entities, Q entity pairs, K mention pairs, C contexts, D encoder width, V type
vector width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.batch import Entities, EntityPairs, PairMentions
from model.ragged import BlockLinear, Part, RangeMaximum, segment_max
from model.settings import MultiInstanceSettings


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

    def local_representations(
        self, maximum: RangeMaximum, mention_MD: Tensor, entity_ND: Tensor, entities: Entities, mentions: PairMentions
    ) -> Tensor:
        """l of every mention pair: [K, D]."""
        context_CD = maximum(mentions.contexts)
        token_rows = self.token_distance_embedding.num_embeddings
        sentence_rows = self.sentence_distance_embedding.num_embeddings
        between, head, tail = mentions.context_K, mentions.head_K, mentions.tail_K
        return self.local(
            Part(context_CD, None, between),
            Part(mention_MD, entities.member, head),
            Part(mention_MD, entities.member, tail),
            Part(entity_ND, entities.owner, head),
            Part(entity_ND, entities.owner, tail),
            Part(self.token_distance_embedding.weight, mentions.token_distance_C.clamp(max=token_rows - 1), between),
            Part(
                self.sentence_distance_embedding.weight,
                mentions.sentence_distance_C.clamp(max=sentence_rows - 1),
                between,
            ),
        )

    def forward(
        self,
        maximum: RangeMaximum,
        mention_MD: Tensor,
        entity_ND: Tensor,
        type_N: Tensor,
        type_vectors: Tensor,
        entities: Entities,
        pairs: EntityPairs,
        mentions: PairMentions,
    ) -> Tensor:
        """`entities`: the mentions of every entity, to which `mentions` point."""
        local_KD = self.dropout(self.local_representations(maximum, mention_MD, entity_ND, entities, mentions))
        pooled_QD = segment_max(local_KD, mentions.entity_pair_K, len(pairs.head_Q))
        hidden_QD = self.pair(
            Part(pooled_QD),
            Part(type_vectors, type_N.index_select(0, pairs.head_Q)),
            Part(type_vectors, type_N.index_select(0, pairs.tail_Q)),
        )
        return self.dropout(torch.relu(hidden_QD))
