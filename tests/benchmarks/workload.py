"""What the benchmarks of the model compute: documents, networks, and one step of ours and of the encoder alone.

Needs torch, transformers and what `model` needs, and neither Ray nor MLflow. Weights are random, as no time depends on
them, and so are the encoders' shapes' own: base is BERT-base (12 layers of width 768), small MiniLM (6 of 384). An
untrained network would find nothing, so at inference its mentions and clusters are set to the gold ones after they were
computed: what comes after has as much to do as with a network that finds everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from model import batch as batches
from model.data import builtin, catalog
from model.data.document import Document, Entity, Mention, Relation
from model.data.labels import Labels
from model.data.subwords import EncodedDocument, encode
from model.embedded import EncoderNotFound
from model.encoder import load_tokenizer
from model.joint.network import Network, candidates_of
from model.sampling.draw import Pool, draw, pool
from model.settings import (
    BuiltinSettings,
    EncoderSettings,
    GlobalSettings,
    JerexSettings,
    MemorySettings,
    MultiInstanceSettings,
    RedocredSettings,
    RelationSettings,
    TrainingSettings,
)
from model.training.optimiser import build_optimiser
from model.training.step import precision_of, training_step

Size = Literal["base", "small", "tiny"]
SHAPES: dict[Size, dict[str, int]] = {
    "base": {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
    "small": {"num_hidden_layers": 6, "hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536},
    "tiny": {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128},
}
VOCABULARY = 30522
"""Of BERT, uncased."""
POSITIONS = 512


@dataclass(frozen=True)
class Case:
    """One network."""

    size: Size
    pairs: Literal["GRC", "MRC"]
    memory: bool

    def __str__(self) -> str:
        return f"{self.size} {self.pairs}, memory {'on' if self.memory else 'off'}"

    def settings(self, **encoder: Any) -> JerexSettings:
        return JerexSettings(
            encoder=EncoderSettings(**encoder),
            relation=RelationSettings(pairs=GlobalSettings() if self.pairs == "GRC" else MultiInstanceSettings()),
            memory=MemorySettings() if self.memory else MemorySettings(read=None),
        )


def cases(*sizes: Size) -> list[Case]:
    return [Case(size, pairs, memory) for size in sizes for pairs in ("GRC", "MRC") for memory in (True, False)]


CASES = cases("base", "small")


def network(case: Case, labels: Labels, **encoder: Any) -> Network:
    """On the CPU, in training mode. `encoder`: settings of the encoder."""
    torch.manual_seed(0)
    config = {"model_type": "bert", "vocab_size": VOCABULARY, "max_position_embeddings": POSITIONS, **SHAPES[case.size]}
    vocabulary = {"size": VOCABULARY, "padding": 0, "marks": ([101], [102])}
    return Network(case.settings(**encoder), labels, vocabulary, config)


# ----------------------------------------------------------------------------------------------------------- documents


@dataclass(frozen=True)
class Material:
    """Documents of one corpus, as they are."""

    source: str
    documents: list[Document]
    labels: Labels
    encode: Callable[[Sequence[Document]], list[EncodedDocument]]

    def natural(self, n: int) -> list[EncodedDocument]:
        """The first n."""
        return self.encode(self.documents[:n])

    def of_length(self, words: int, n: int) -> list[EncodedDocument]:
        """n documents of about so many words: neighbours are joined, and cut behind a sentence."""
        made: list[Document] = []
        at = 0
        while len(made) < n:
            parts: list[Document] = []
            while sum(part.n_words for part in parts) < words:
                parts.append(self.documents[at % len(self.documents)])
                at += 1
            made.append(_cut(_joined(parts), words))
        return self.encode(made)


def material(data: Path | None = None) -> Material:
    """Re-DocRED where it is on the data search path, else the built-in corpus; MiniLM's sub-words where it is there,
    else pieces of at most 5 letters."""
    try:
        corpus = catalog.load(RedocredSettings(protocol="dev_as_train"), catalog.search_path(data))
        source, documents, labels = "Re-DocRED", list(corpus.test), corpus.labels
    except catalog.DataNotFound:
        source, labels = "the built-in corpus", builtin.LABELS
        documents = list(builtin.generate(BuiltinSettings(train=200, dev=1, test=1))[0])
    try:
        tokenizer = load_tokenizer(EncoderSettings(name="minilm"))
    except EncoderNotFound:
        return Material(f"{source}, pieces of 5 letters", documents, labels, _pieces)
    return Material(f"{source}, sub-words of MiniLM", documents, labels, lambda some: encode(some, tokenizer))


def _pieces(documents: Sequence[Document]) -> list[EncodedDocument]:
    encoded = []
    for document in documents:
        size = np.array([-(-len(word) // 5) for word in document.words])
        start = np.concatenate([[0], np.cumsum(size)]).astype(np.int32)
        ids = 1000 + (np.arange(start[-1]) * 7919) % (VOCABULARY - 1000)
        encoded.append(EncodedDocument(document, ids.astype(np.int32), start))
    return encoded


def _joined(parts: Sequence[Document]) -> Document:
    """One document of all sentences; no entity of one is one of another."""
    sentences: list[tuple[str, ...]] = []
    entities: list[Entity] = []
    relations: list[Relation] = []
    words = 0
    for part in parts:
        relations += [Relation(r.head + len(entities), r.tail + len(entities), r.type) for r in part.relations]
        for entity in part.entities:
            entities.append(Entity(tuple(Mention(m.start + words, m.end + words, m.type) for m in entity.mentions)))
        sentences += part.sentences
        words += part.n_words
    return Document(" ".join(part.id for part in parts), tuple(sentences), tuple(entities), tuple(relations))


def _cut(document: Document, words: int) -> Document:
    """The first sentences, of so many words or a few more, with what is said in them."""
    starts = document.sentence_starts
    kept = max(1, sum(start < words for start in starts[:-1]))
    end = starts[kept]
    entities, index = [], {}
    for n, entity in enumerate(document.entities):
        mentions = tuple(mention for mention in entity.mentions if mention.end <= end)
        if mentions:
            index[n] = len(entities)
            entities.append(Entity(mentions))
    relations = tuple(
        Relation(index[r.head], index[r.tail], r.type)
        for r in document.relations
        if r.head in index and r.tail in index
    )
    return Document(document.id, document.sentences[:kept], tuple(entities), relations)


# --------------------------------------------------------------------------------------------------------------- steps


class Training:
    """Steps of a network on batches that are ready, by the code that trials run."""

    def __init__(self, net: Network, documents: Sequence[EncodedDocument], settings: TrainingSettings) -> None:
        self.network = net.train()
        self.settings = settings
        self.optimiser = build_optimiser(net, settings)
        self.pools: list[Pool] = [
            pool(document, net.labels, net.settings.mention.max_span_size) for document in documents
        ]

    def batch(self, visit: int = 0) -> batches.Batch:
        """All documents as one batch, drawn anew for every visit."""
        samples = [
            draw(one, self.settings.sampling, np.random.default_rng([visit, i]), self.network.joint.needs_mention_pairs)
            for i, one in enumerate(self.pools)
        ]
        return batches.to(batches.collate(samples, self.network.encoder.layout), self.network.device)

    def step(self, batch: batches.Batch) -> None:
        training_step(self.network, self.optimiser, batch, self.settings)


class EncoderTraining:
    """The limit: forward, backward and optimiser of the encoder on the same sub-words, and nothing else."""

    def __init__(self, net: Network, settings: TrainingSettings) -> None:
        self.network = net.train()
        self.settings = settings
        self.optimiser = torch.optim.AdamW(net.encoder.parameters(), lr=5e-5, fused=True)

    def step(self, windows: Sequence[batches.WindowGroup]) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        for group in windows:
            with precision_of(self.network, self.settings):
                x_WLD = encoded_by_transformer(self.network, group)
            x_WLD.float().square().mean().backward()
        self.optimiser.step()


def padded(net: Network, documents: Sequence[EncodedDocument]) -> Sequence[batches.WindowGroup]:
    """Documents as one batch for the encoder, whatever the device: windows filled up to the longest."""
    layout = replace(net.encoder.layout, padded=True)
    return batches.to(batches.windows([document.subwords for document in documents], layout), net.device).groups


def bare(net: Network, documents: Sequence[EncodedDocument]) -> Sequence[batches.WindowGroup]:
    """Documents length by length, without padding, as a CPU is fastest with them."""
    layout = replace(net.encoder.layout, padded=False)
    return batches.windows([document.subwords for document in documents], layout).groups


def encoded_by_transformer(net: Network, windows: batches.WindowGroup) -> Tensor:
    """The encoder as anyone would call it: on a batch with a mask."""
    mask = None if windows.real_WL is None else windows.real_WL.long()
    return net.encoder.transformer(input_ids=windows.ids_WL, attention_mask=mask).last_hidden_state


@contextmanager
def finding_gold(net: Network, documents: Sequence[EncodedDocument]) -> Iterator[None]:
    """Have `extract` keep the gold mentions of these documents, and put them into the gold clusters.

    Everything is computed; the logits are then set. For one call of `extract` that takes all the
    documents at once.
    """
    order = sorted(range(len(documents)), key=lambda i: -documents[i].n_subwords)
    is_gold: list[bool] = []
    entity: list[int] = []
    for i in order:
        of_span = {
            mention.span: (i, n) for n, one in enumerate(documents[i].document.entities) for mention in one.mentions
        }
        candidates = candidates_of(documents[i], net.settings.mention.max_span_size)
        found = [of_span.get(span) for span in map(tuple, candidates.words_C2.tolist())]
        is_gold += [one is not None for one in found]
        entity += [hash(one) for one in found if one is not None]
    gold_S = torch.tensor(is_gold, device=net.device)
    entity_M = torch.tensor(entity, device=net.device)

    def mentions(module: nn.Module, given: tuple, logit_S: Tensor) -> Tensor:
        return torch.where(gold_S, 20.0, -20.0).to(logit_S.dtype)

    def clusters(module: nn.Module, given: tuple, logit_P: Tensor) -> Tensor:
        same_P = entity_M[given[1].first_P] == entity_M[given[1].second_P]
        return torch.where(same_P, 20.0, -20.0).to(logit_P.dtype)

    hooks = [
        net.joint.mention.register_forward_hook(mentions),
        net.joint.coreference.register_forward_hook(clusters),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
