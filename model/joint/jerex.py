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
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn

from model import batch as batches
from model.batch import Batch, EntityPairs, PairMentions, Tokens
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
from model.ragged import BlockLinear, RangeMaximum
from model.relations.global_pairs import GlobalPairs
from model.relations.multi_instance import MultiInstancePairs
from model.relations.type_vectors import TypeVectors
from model.sampling import coreference, relations
from model.settings import GlobalSettings, InverseReadSettings, JerexSettings, MultiInstanceSettings

INITIAL_DEVIATION = 0.02
"""Of all weights that are not pretrained; biases are 0. As in BERT and the released code."""

PAIRS_AT_ONCE = 20_000
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
    pairs: list[Tensor] = field(default_factory=list)
    """In the order of the entity pairs, in parts."""


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

    def _pair_representation(
        self,
        maximum: RangeMaximum,
        mention_MD: Tensor,
        entity_ND: Tensor,
        type_N: Tensor,
        pairs: EntityPairs,
        mentions: PairMentions | None,
    ) -> Tensor:
        vectors = self.type_vectors(_as_mapping(self.memories))
        if isinstance(self.pairs, GlobalPairs):
            return self.pairs(entity_ND, type_N, vectors, pairs)
        assert mentions is not None, "the multi-instance classifier needs mention pairs"
        return self.pairs(maximum, mention_MD, entity_ND, type_N, vectors, pairs, mentions)

    @property
    def needs_mention_pairs(self) -> bool:
        return self.pairs.needs_mention_pairs

    # ------------------------------------------------------------------------------------------------------ training

    def forward(self, x_TD: Tensor, batch: Batch) -> Scores:
        """Scores of gold and drawn candidates. x_TD: the encoder's output for the sub-words of all documents."""
        memories = self._memories(x_TD, batch.tokens)
        n = batch.tokens.n_documents
        tokens = self._extend("tokens", x_TD, batch.tokens.document_T, n, memories)
        contexts = batch.pair_mentions.longest if batch.pair_mentions is not None else 1
        maximum = RangeMaximum(tokens.x_ND, max(batch.spans.longest, contexts))
        pooled_SD = maximum(batch.spans.start_S, batch.spans.end_S)
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
        pair_QD = self._pair_representation(
            maximum, mention_MD, entity_ND, batch.targets.entity_type_N, batch.entity_pairs, batch.pair_mentions
        )
        return Scores(
            tokens=tokens,
            pooled_SD=pooled_SD,
            spans=spans,
            mention_S=mention_S,
            mention_MD=mention_MD,
            coreference_P=self.coreference(mention_MD, batch.coreference),
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
        trace = Trace() if trace is None else trace
        device = x_TD.device
        n = tokens.n_documents
        n_candidates = [len(c.words_C2) for c in candidates]

        memories = self._memories(x_TD, tokens)
        trace.tokens = self._extend("tokens", x_TD, tokens.document_T.to(device), n, memories)
        spans = batches.to(
            batches.spans([c.words_C2 for c in candidates], [c.subwords_C2 for c in candidates], tokens.offset_B),
            device,
        )
        # the context between two mentions may be as long as a document
        longest = int(tokens.size_B.max()) if self.needs_mention_pairs else spans.longest
        maximum = RangeMaximum(trace.tokens.x_ND, longest)
        pooled_SD = maximum(spans.start_S, spans.end_S)
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

        mention_offset = batches.offsets(len(k) for k in kept)
        coreference_logit = self._score_coreference(mention_MD, kept, mention_offset, edit_distances)
        members = [
            clusters(expit(logit), len(k), self.settings.coreference.threshold)
            for logit, k in zip(coreference_logit, kept, strict=True)
        ]
        n_entities = [len(m) for m in members]
        entities = batches.to(batches.entities(members, mention_offset), device)
        trace.entities = entity_ND = self.entity_representation(mention_MD, entities)
        entity = _split(self.entity_classifier(entity_ND, _as_mapping(self.memories)), n_entities)
        entity_type = [logit.argmax(axis=1) for logit in entity]

        extractions = []
        entity_offset = batches.offsets(n_entities)
        type_N = batches.joined(entity_type).to(device)
        for b in range(n):
            place = _Place(
                pairs=relations.all_pairs(n_entities[b]),
                members=members[b],
                candidates=Candidates(*(part[kept[b]] for part in candidates[b])),
                mention_offset=mention_offset[b : b + 1],
                entity_offset=entity_offset[b : b + 1],
                token_offset=tokens.offset_B[b : b + 1],
            )
            relation_logit = self._score_relations(maximum, mention_MD, entity_ND, type_N, place, trace.pairs)
            pair, relation = np.nonzero(expit(relation_logit) >= self.settings.relation.threshold)
            extractions.append(
                Extraction(
                    mention_logit=mention[b],
                    kept=kept[b],
                    coreference_logit=coreference_logit[b],
                    members=members[b],
                    entity_logit=entity[b],
                    entity_type=entity_type[b],
                    entity_pair=place.pairs,
                    relation_logit=relation_logit,
                    triples=np.column_stack([place.pairs[pair], relation]),
                )
            )
        return extractions

    def _score_coreference(
        self, mention_MD: Tensor, kept: Sequence[np.ndarray], mention_offset: np.ndarray, edit_distances: EditDistances
    ) -> list[np.ndarray]:
        """Logits of the pairs (earlier, later) of kept mentions, by document."""
        scores = []
        for b, indices in enumerate(kept):
            pairs = coreference.forward_pairs(len(indices))
            distance_P = edit_distances(b, indices)[pairs[:, 0], pairs[:, 1]] if len(pairs) else pairs[:, 0]
            logits = [np.zeros(0, dtype=np.float32)]
            for at_once in range(0, len(pairs), PAIRS_AT_ONCE):
                part = slice(at_once, at_once + PAIRS_AT_ONCE)
                group = batches.coreference_pairs([pairs[part]], [distance_P[part]], mention_offset[b : b + 1])
                logits.append(self.coreference(mention_MD, batches.to(group, mention_MD.device)).float().cpu().numpy())
            scores.append(np.concatenate(logits))
        return scores

    def _score_relations(
        self,
        maximum: RangeMaximum,
        mention_MD: Tensor,
        entity_ND: Tensor,
        type_N: Tensor,
        place: _Place,
        representations: list[Tensor],
    ) -> np.ndarray:
        """Logits of all relation types for the entity pairs of one document; adds the pairs' representations."""
        device = mention_MD.device
        logits = [np.zeros((0, self.n_relation_types), dtype=np.float32)]
        sizes = np.array([len(member) for member in place.members], dtype=np.int64)
        for part in _parts(sizes[place.pairs].prod(axis=1)):
            pairs = place.pairs[part]
            group = batches.to(batches.entity_pairs([pairs], place.entity_offset), device)
            mentions = None
            if self.needs_mention_pairs:
                found = relations.mention_pairs(pairs, place.members, *place.candidates)
                first_pair = np.zeros(1, dtype=np.int64)
                mentions = batches.pair_mentions([found], place.mention_offset, first_pair, place.token_offset)
                mentions = batches.to(mentions, device)
            pair_QD = self._pair_representation(maximum, mention_MD, entity_ND, type_N, group, mentions)
            representations.append(pair_QD)
            logits.append(self.relation_classifier(pair_QD, _as_mapping(self.memories)).float().cpu().numpy())
        return np.concatenate(logits)


@dataclass(frozen=True)
class _Place:
    """One document's entity pairs, the spans behind them, and where its items lie in those of the batch."""

    pairs: np.ndarray
    members: list[np.ndarray]
    candidates: Candidates
    mention_offset: np.ndarray
    entity_offset: np.ndarray
    token_offset: np.ndarray


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
