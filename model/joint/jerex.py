"""Memory-enhanced JEREX, and JEREX as a setting of it: all four sub-tasks on one encoder.

    sub-words ─ encoder ─ read ─ span maxima ─ read ┬─ mentions ─ coreference ─ entities ─┬─ relations
                           ▲                   ▲    └──────────── vectors ────────────────┘
                           └── memories ───────┴── written by the losses of entities and relations

Training and inference run the same parts. They differ in which candidates go in (gold and drawn, or all, then those
that are kept) and in what is done with the scores (a loss, or decoding).

Source: MRE (arXiv 2307.11762), section 3, figure 2; JEREX (arXiv 2102.05980), section 3.
Shape letters: B documents, T sub-words, S spans, M mentions, P coreference pairs, N entities, Q entity pairs, K mention
pairs, D encoder width, E entity types, R relation types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn

from model import batch as batches
from model.batch import Batch, CoreferencePairs, Entities, EntityPairs, PairMentions, Tokens
from model.classifiers import build_classifier
from model.coreference import CoreferenceClassifier
from model.decoding.clustering import clusters
from model.entities import EntityRepresentation
from model.memory.extended import ContentRead, Extended
from model.memory.key_value import KeyValueMemory
from model.memory.read import InverseRead, build_read
from model.memory.recurrent import RecurrentMemory
from model.memory.similarity import Bilinear
from model.memory.slots import build_external_memory, build_memories
from model.mentions import MentionClassifier
from model.ragged import BlockLinear, Ends, RangeMaximum, n_levels
from model.relations.global_pairs import GlobalPairs
from model.relations.multi_instance import MultiInstanceEnds, MultiInstancePairs
from model.relations.type_vectors import TypeVectors
from model.sampling import coreference, relations
from model.settings import GlobalSettings, InverseReadSettings, JerexSettings, MultiInstanceSettings

INITIAL_DEVIATION = 0.02
"""Of all weights that are not pretrained; biases are 0. As in BERT and the released code."""

PAIRS_AT_ONCE = 4096
"""Pairs that are scored together at inference: bounds the memory, has no effect on results."""


@dataclass(frozen=True)
class Scores:
    """Logits of a training step, and what lies between them, for inspection."""

    tokens: Extended
    pooled_SD: Tensor
    spans: Extended
    mention_S: Tensor
    mention_MD: Tensor
    coreference_P: Tensor
    entity_ND: Tensor
    entity_NE: Tensor
    pair_QD: Tensor
    relation_QR: Tensor


class Candidates(NamedTuple):
    """The spans of one document that inference looks at, in candidate order: word and sub-word ranges, sentences."""

    words_C2: np.ndarray
    subwords_C2: np.ndarray
    sentence_C: np.ndarray


EditDistances = Callable[[int, np.ndarray], np.ndarray]
"""(document of the batch, indices of kept candidates [k]) -> edit distances of their strings [k, k]."""


@dataclass(frozen=True)
class Extraction:
    """What was found in one document, with all logits.

    `kept` [k]: candidates taken for mentions. `coreference_logit`: of their pairs (earlier, later). `members`: of each
    entity, indices into `kept`. `entity_pair` [pairs, 2]: all ordered pairs. `triples`: (head, tail, relation type) of
    all probabilities at or above the threshold.
    """

    mention_logit: np.ndarray
    kept: np.ndarray
    coreference_logit: np.ndarray
    members: list[np.ndarray]
    entity_logit: np.ndarray
    entity_type: np.ndarray
    entity_pair: np.ndarray
    relation_logit: np.ndarray
    triples: np.ndarray


@dataclass
class Trace:
    """Tensors between the steps of an inference, for those who want to look (attention maps, parity)."""

    tokens: Extended | None = None
    spans: Extended | None = None
    """Of all candidates; where only kept ones are read, of those."""
    kept_pooled: Tensor | None = None
    kept_extended: Tensor | None = None
    entities: Tensor | None = None
    pairs: Tensor | None = None
    """In the order of the entity pairs; None where there are none."""


class Jerex(nn.Module):
    """The model without its encoder: from sub-word vectors to scores."""

    def __init__(self, settings: JerexSettings, width: int, n_entity_types: int, n_relation_types: int) -> None:
        super().__init__()
        self.settings = settings
        self.n_relation_types = n_relation_types
        self.reading = True
        """Whether the memories are read: False during memory warm-up. No effect where the settings read nothing."""
        d = settings.embedding_size
        self.memories = build_memories(settings, width, n_entity_types, n_relation_types)
        memories = _as_mapping(self.memories)
        read = settings.memory.read
        self.external_memory = build_external_memory(read, width)
        self.read = nn.ModuleDict({site: build_read(read, width, memories) for site in read.sites} if read else {})
        self.mention = MentionClassifier(settings.mention, width, d, settings.dropout)
        self.coreference = CoreferenceClassifier(settings.coreference, width, d, settings.dropout)
        self.entity_representation = EntityRepresentation(settings.dropout)
        self.entity_classifier = build_classifier(
            settings.entity.classifier, "entity", memories, width, n_entity_types, settings.dropout
        )
        self.type_vectors = TypeVectors(settings.relation.type_vectors, memories, n_entity_types, d)
        match settings.relation.pairs:
            case GlobalSettings():
                self.pairs = GlobalPairs(width, self.type_vectors.width, settings.dropout)
            case MultiInstanceSettings() as pairs:
                self.pairs = MultiInstancePairs(pairs, width, self.type_vectors.width, d, settings.dropout)
        self.relation_classifier = build_classifier(
            settings.relation.classifier, "relation", memories, width, n_relation_types, None
        )
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | BlockLinear):
                nn.init.normal_(module.weight, std=INITIAL_DEVIATION)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding | Bilinear):
                nn.init.normal_(module.weight, std=INITIAL_DEVIATION)
        for memory in self.memories.values():
            nn.init.normal_(memory, std=INITIAL_DEVIATION)
        for module in self.modules():
            if isinstance(module, ContentRead):
                module.start_near_identity()
            elif isinstance(module, KeyValueMemory | RecurrentMemory):
                module.draw()

    # ------------------------------------------------------------------------------------------------- shared parts

    @property
    def _reads_kept_only(self) -> bool:
        read = self.settings.memory.read
        return isinstance(read, InverseReadSettings) and read.normalisation == "kept"

    def _memories(self, x_TD: Tensor, tokens: Tokens) -> Mapping[str, Tensor]:
        """The memories of the categories, and one beside them as far as it is read; documents may write that one."""
        memories = _as_mapping(self.memories)
        if not self.reading or self.external_memory is None:
            return memories
        return {**memories, **self.external_memory(x_TD, tokens.size_B.tolist())}

    def _extend(
        self, site: str, x: Tensor, document: Tensor, n_documents: int, memories: Mapping[str, Tensor]
    ) -> Extended:
        """Read the memories at a site; unchanged where nothing is read."""
        if not self.reading or site not in self.read:
            return Extended(x, {})
        reader = self.read[site]
        assert isinstance(reader, InverseRead | ContentRead)
        return reader(x, document, n_documents, memories)

    def ends_of_pairs(
        self, mention_MD: Tensor, entity_ND: Tensor, type_N: Tensor, entities: Entities
    ) -> Ends | MultiInstanceEnds:
        """What mentions and entities give to all pairs, once for however many parts these are scored in."""
        vectors = self.type_vectors(_as_mapping(self.memories))
        if isinstance(self.pairs, GlobalPairs):
            return self.pairs.ends(entity_ND, type_N, vectors)
        return self.pairs.ends(mention_MD, entity_ND, type_N, vectors, entities)

    def _pair_representation(
        self,
        maximum: RangeMaximum,
        ends: Ends | MultiInstanceEnds,
        pairs: EntityPairs,
        mentions: PairMentions | None,
    ) -> Tensor:
        if isinstance(self.pairs, GlobalPairs):
            return self.pairs(ends, pairs)
        assert mentions is not None, "the multi-instance classifier needs mention pairs"
        return self.pairs(maximum, ends, pairs, mentions)

    @property
    def needs_mention_pairs(self) -> bool:
        return self.pairs.needs_mention_pairs

    # ------------------------------------------------------------------------------------------------------ training

    def forward(self, x_TD: Tensor, batch: Batch) -> Scores:
        """Scores of gold and drawn candidates. x_TD: the encoder's output for the sub-words of all documents."""
        memories = self._memories(x_TD, batch.tokens)
        n = batch.tokens.n_documents
        tokens = self._extend("tokens", x_TD, batch.tokens.document_T, n, memories)
        contexts = batch.pair_mentions.contexts.n_levels if batch.pair_mentions is not None else 1
        maximum = RangeMaximum(tokens.x_ND, max(batch.spans.ranges.n_levels, contexts))
        pooled_SD = maximum(batch.spans.ranges)
        # from here on gold mentions stand for those that are kept at inference
        if self._reads_kept_only:
            mention_S = self.mention(pooled_SD, batch.spans.size_S)
            document_M = batch.spans.document_S.index_select(0, batch.gold_M)
            spans = self._extend("mentions", pooled_SD.index_select(0, batch.gold_M), document_M, n, memories)
            mention_MD = spans.x_ND
        else:
            spans = self._extend("mentions", pooled_SD, batch.spans.document_S, n, memories)
            mention_S = self.mention(spans.x_ND, batch.spans.size_S)
            mention_MD = spans.x_ND.index_select(0, batch.gold_M)
        entity_ND = self.entity_representation(mention_MD, batch.entities)
        ends = self.ends_of_pairs(mention_MD, entity_ND, batch.targets.entity_type_N, batch.entities)
        pair_QD = self._pair_representation(maximum, ends, batch.entity_pairs, batch.pair_mentions)
        return Scores(
            tokens=tokens,
            pooled_SD=pooled_SD,
            spans=spans,
            mention_S=mention_S,
            mention_MD=mention_MD,
            coreference_P=self.coreference(self.coreference.ends(mention_MD), batch.coreference),
            entity_ND=entity_ND,
            entity_NE=self.entity_classifier(entity_ND, memories),
            pair_QD=pair_QD,
            relation_QR=self.relation_classifier(pair_QD, memories),
        )

    # ----------------------------------------------------------------------------------------------------- inference

    @torch.no_grad()
    def extract(
        self,
        x_TD: Tensor,
        tokens: Tokens,
        candidates: Sequence[Candidates],
        edit_distances: EditDistances,
        trace: Trace | None = None,
    ) -> list[Extraction]:
        """Find mentions, entities and relations in the documents of a batch, from all their candidate spans."""
        asked, trace = trace, Trace() if trace is None else trace
        device = x_TD.device
        n = tokens.n_documents
        n_candidates = [len(c.words_C2) for c in candidates]

        memories = self._memories(x_TD, tokens)
        trace.tokens = self._extend("tokens", x_TD, tokens.document_T, n, memories)
        spans = batches.spans([c.words_C2 for c in candidates], [c.subwords_C2 for c in candidates], tokens)
        spans = batches.to(spans, device)
        # the context between two mentions may be as long as a document
        levels = n_levels(int(tokens.size_B.max())) if self.needs_mention_pairs else spans.ranges.n_levels
        maximum = RangeMaximum(trace.tokens.x_ND, levels)
        pooled_SD = maximum(spans.ranges)
        if self._reads_kept_only:
            span_SD = pooled_SD
        else:
            trace.spans = self._extend("mentions", pooled_SD, spans.document_S, n, memories)
            span_SD = trace.spans.x_ND
        mention = _split(self.mention(span_SD, spans.size_S), n_candidates)
        kept = [np.flatnonzero(expit(logit) >= self.settings.mention.threshold) for logit in mention]

        kept_S = batches.joined(kept, batches.offsets(n_candidates)).to(device)
        mention_MD = span_SD.index_select(0, kept_S)
        trace.kept_pooled = pooled_SD.index_select(0, kept_S)
        if self._reads_kept_only:
            trace.spans = self._extend("mentions", mention_MD, spans.document_S[kept_S], n, memories)
            mention_MD = trace.spans.x_ND
        trace.kept_extended = mention_MD

        coreference_logit = self._score_coreference(mention_MD, kept, edit_distances)
        members = [
            clusters(expit(logit), len(k), self.settings.coreference.threshold)
            for logit, k in zip(coreference_logit, kept, strict=True)
        ]
        mention_offset = batches.offsets(len(k) for k in kept)
        entities = batches.to(batches.entities(members, mention_offset), device)
        trace.entities = entity_ND = self.entity_representation(mention_MD, entities)
        entity_NE = self.entity_classifier(entity_ND, _as_mapping(self.memories))
        type_N = entity_NE.argmax(dim=1)

        pairs = [relations.all_pairs(len(m)) for m in members]
        laid_out = _LaidOut.of(pairs, members, kept, candidates, tokens)
        ends = self.ends_of_pairs(mention_MD, entity_ND, type_N, entities)
        relation_logit = self._score_relations(maximum, ends, laid_out, asked)
        entity = _split(entity_NE, [len(m) for m in members])
        found = zip(mention, kept, coreference_logit, members, entity, pairs, relation_logit, strict=True)
        return [self._extraction(*of_document) for of_document in found]

    def _extraction(
        self,
        mention_logit: np.ndarray,
        kept: np.ndarray,
        coreference_logit: np.ndarray,
        members: list[np.ndarray],
        entity_logit: np.ndarray,
        pairs: np.ndarray,
        relation_logit: np.ndarray,
    ) -> Extraction:
        pair, relation = np.nonzero(expit(relation_logit) >= self.settings.relation.threshold)
        return Extraction(
            mention_logit=mention_logit,
            kept=kept,
            coreference_logit=coreference_logit,
            members=members,
            entity_logit=entity_logit,
            entity_type=entity_logit.argmax(axis=1),
            entity_pair=pairs,
            relation_logit=relation_logit,
            triples=np.column_stack([pairs[pair], relation]),
        )

    def _score_coreference(
        self, mention_MD: Tensor, kept: Sequence[np.ndarray], edit_distances: EditDistances
    ) -> list[np.ndarray]:
        """Logits of the pairs (earlier, later) of kept mentions, by document."""
        pairs = [coreference.forward_pairs(len(indices)) for indices in kept]
        distances = [edit_distances(b, kept[b])[tuple(of.T)] if len(of) else of[:, 0] for b, of in enumerate(pairs)]
        flat = batches.coreference_pairs(pairs, distances, batches.offsets(len(k) for k in kept))
        ends = self.coreference.ends(mention_MD)
        logits = [mention_MD.new_zeros(0)]
        for at in range(0, len(flat.first_P), PAIRS_AT_ONCE):
            part = slice(at, at + PAIRS_AT_ONCE)
            group = CoreferencePairs(flat.first_P[part], flat.second_P[part], flat.edit_distance_P[part])
            logits.append(self.coreference(ends, batches.to(group, mention_MD.device)))
        return _split(torch.cat(logits), [len(of) for of in pairs])

    def _score_relations(
        self, maximum: RangeMaximum, ends: Ends | MultiInstanceEnds, laid_out: _LaidOut, trace: Trace | None
    ) -> list[np.ndarray]:
        """Logits of all relation types for the entity pairs of each document."""
        device = maximum.device
        logits = [torch.zeros(0, self.n_relation_types, device=device)]
        representations: list[Tensor] = []
        sizes = np.array([len(member) for member in laid_out.members], dtype=np.int64)
        for part in _parts(sizes[laid_out.pairs].prod(axis=1)):
            pairs = laid_out.pairs[part]
            group = batches.to(batches.entity_pairs([pairs], _NO_OFFSET), device)
            mentions = None
            if self.needs_mention_pairs:
                found = relations.mention_pairs(pairs, laid_out.members, *laid_out.kept)
                mentions = batches.pair_mentions([found], _NO_OFFSET, _NO_OFFSET, _NO_OFFSET, laid_out.n_subwords)
                mentions = batches.to(mentions, device)
            pair_QD = self._pair_representation(maximum, ends, group, mentions)
            logits.append(self.relation_classifier(pair_QD, _as_mapping(self.memories)))
            if trace is not None:
                representations.append(pair_QD)
        place_Q = torch.from_numpy(laid_out.place).to(device)
        if trace is not None and representations:
            trace.pairs = torch.cat(representations).index_select(0, place_Q)
        return _split(torch.cat(logits).index_select(0, place_Q), laid_out.n_pairs_B)


_NO_OFFSET = np.zeros(1, dtype=np.int64)


@dataclass(frozen=True)
class _LaidOut:
    """Entity pairs of all documents and the spans behind them, as if of one."""

    pairs: np.ndarray
    """[Q, 2], a pair beside its reverse, as these have the same contexts between their mentions."""
    place: np.ndarray
    """Where each pair stands in it, document by document as given."""
    n_pairs_B: list[int]
    members: list[np.ndarray]
    """Of each entity, indices into `kept`."""
    kept: Candidates
    n_subwords: int

    @classmethod
    def of(
        cls,
        pairs: Sequence[np.ndarray],
        members: Sequence[Sequence[np.ndarray]],
        kept: Sequence[np.ndarray],
        candidates: Sequence[Candidates],
        tokens: Tokens,
    ) -> _LaidOut:
        """From those of each document."""
        entity_offset = batches.offsets(len(m) for m in members)
        mention_offset = batches.offsets(len(k) for k in kept)
        given = np.concatenate([of + by for of, by in zip(pairs, entity_offset, strict=True)])
        order = np.lexsort((given[:, 0] > given[:, 1], given.max(axis=1), given.min(axis=1)))
        chosen = [Candidates(*(part[k] for part in c)) for c, k in zip(candidates, kept, strict=True)]
        return cls(
            pairs=given[order],
            place=np.argsort(order),
            n_pairs_B=[len(of) for of in pairs],
            members=[entity + by for of, by in zip(members, mention_offset, strict=True) for entity in of],
            kept=Candidates(
                np.concatenate([c.words_C2 for c in chosen]),
                np.concatenate([c.subwords_C2 + by for c, by in zip(chosen, tokens.offset_B, strict=True)]),
                np.concatenate([c.sentence_C for c in chosen]),
            ),
            n_subwords=tokens.n_subwords,
        )


def _split(logits: Tensor, sizes: Sequence[int]) -> list[np.ndarray]:
    """Logits of all documents, document by document."""
    return np.split(logits.float().cpu().numpy(), np.cumsum(sizes)[:-1])


def _as_mapping(memories: nn.ParameterDict) -> Mapping[str, Tensor]:
    return dict(memories.items())


def _parts(weights: np.ndarray) -> Iterator[slice]:
    """Slices of a list whose items weigh at most PAIRS_AT_ONCE together, or are one."""
    total = np.cumsum(weights)
    start = 0
    while start < len(weights):
        done = total[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(total, done + PAIRS_AT_ONCE, side="right")))
        yield slice(start, end)
        start = end
