"""Every setting of a trial: one class a part, in the order in which data flows.

This file imports no torch, so that a study is read, checked and planned in a fraction of a second. A choice between
variants is a choice between classes, told apart by `kind` (data sets: by `name`); the part that a class sets builds
itself from it, in the file of its idea. A setting is fixed once made, and a name that is not known is an error.

Defaults are the paper's (arXiv 2307.11762), and those that it takes from JEREX (arXiv 2102.05980); where the released
code differs, the field says so. `model/README.md` lists the differences and which way each moves the scores.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

Proportion = Annotated[float, Field(ge=0.0, le=1.0)]
Threshold = Annotated[float, Field(gt=0.0, lt=1.0)]
Weight = Annotated[float, Field(ge=0.0)]


class Settings(BaseModel):
    """The base of all settings: frozen, unknown names refused, no conversion between numbers and words."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False)


# ---------------------------------------------------------------------------------------------------------------- data


class Limit(Settings):
    """Use only the first documents of a split, in the order of the file. `None` is all of them."""

    train: PositiveInt | None = None
    dev: PositiveInt | None = None
    test: PositiveInt | None = None


class CdrSettings(Settings):
    """BioCreative V CDR: one relation type, CID, from a chemical to a disease."""

    name: Literal["cdr"] = "cdr"
    protocol: Literal["official", "released"] = "official"
    """`official`: train, dev, test (the paper). `released`: trains on train + dev and selects the epoch on test."""
    limit: Limit = Limit()


class DocredSettings(Settings):
    """DocRED with its original labels."""

    name: Literal["docred"] = "docred"
    protocol: Literal["joint", "annotated", "distant", "sample"] = "joint"
    """`joint`: JEREX's split, as in the paper. `annotated`: DocRED's own (test without relation labels). `distant`: the
    101,873 documents that were labelled by distant supervision train, as the paper's pre-training; dev and test are
    those of `joint`. `sample`: 200 training documents, split 140/30/30, for trying things out; no published number is
    comparable."""
    limit: Limit = Limit()


class RedocredSettings(Settings):
    """Re-DocRED: DocRED with its false negatives re-annotated."""

    name: Literal["redocred"] = "redocred"
    protocol: Literal["official", "dev_as_train"] = "official"
    """`official`: train, dev, test (3,053 training documents). `dev_as_train`: the first 400 documents of the dev file
    train, its last 100 select, the test file tests; no published number is comparable."""
    limit: Limit = Limit()


class BuiltinSettings(Settings):
    """The built-in corpus: documents generated from a seed, for quickstart and tests."""

    name: Literal["builtin"] = "builtin"
    seed: int = 13
    train: PositiveInt = 200
    dev: PositiveInt = 40
    test: PositiveInt = 60


DataSettings = Annotated[CdrSettings | DocredSettings | RedocredSettings | BuiltinSettings, Field(discriminator="name")]


# ------------------------------------------------------------------------------------------------------------- encoder


class WindowSettings(Settings):
    """A document longer than the encoder's positions is encoded in overlapping windows; nothing is cut.

    Every sub-word is taken from the window in which it lies farthest from an edge. A document that fits is encoded in
    one piece, as in the released code.
    """

    kind: Literal["windows"] = "windows"
    overlap: PositiveInt = 128
    """Sub-words that neighbouring windows share, fewer than a window has."""


class ExtendedPositionSettings(Settings):
    """As released: a position table with more rows, so that a long document is encoded in one piece.

    The first rows are copied. The released code leaves the others at N(0, 1), about fifty times the deviation of
    trained rows; `initial: trained` draws them with the mean and deviation of the trained ones.
    """

    kind: Literal["extended"] = "extended"
    rows: PositiveInt = 1000
    initial: Literal["trained", "unit_normal"] = "trained"


PositionSettings = Annotated[WindowSettings | ExtendedPositionSettings, Field(discriminator="kind")]


class EncoderSettings(Settings):
    """The transformer that turns sub-words into vectors."""

    name: str = "minilm"
    """An embedded encoder (`minilm`, `mpnet`, `tiny`), `random` (unit tests only), a folder, or a name on a hub."""
    layers: PositiveInt | None = None
    """Keep only the first layers; `None` keeps all."""
    frozen_layers: Annotated[int, Field(ge=0)] = 0
    """Layers that are not trained, from below; with the first of them the embeddings are not trained either."""
    train: bool = True
    """False: no part of the encoder is trained, and it has no dropout. The vectors of a document are then always the
    same: they are computed once, for all trials that share the data and the encoder."""
    special_tokens: bool = False
    """Surround each window by the encoder's own marks. Released: no [CLS], no [SEP]."""
    positions: PositionSettings = WindowSettings()


# -------------------------------------------------------------------------------------------------- similarity, memory


class BilinearSettings(Settings):
    """S(x, m) = m · W x  (paper, eq. 5)."""

    kind: Literal["bilinear"] = "bilinear"


class DotSettings(Settings):
    """S(x, m) = m · x: the slot size is the encoder's width."""

    kind: Literal["dot"] = "dot"


class CosineSettings(Settings):
    """S(x, m) = scale · cos(x, m): the slot size is the encoder's width."""

    kind: Literal["cosine"] = "cosine"
    scale: PositiveFloat = 1.0
    """The greatest score. At 1 a classifier's probabilities cannot leave [0.27, 0.73]."""


SimilaritySettings = Annotated[BilinearSettings | DotSettings | CosineSettings, Field(discriminator="kind")]


class SlotSizes(Settings):
    """Width of a memory slot; `None` is the encoder's width."""

    entity: PositiveInt | None = None
    relation: PositiveInt | None = None


def _at_least_one_each_once(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value or len(set(value)) != len(value):
        raise ValueError(f"expected at least one name, each once, got {list(value)}; to read nothing set `read: null`")
    return value


# not strict, as YAML and JSON know lists only
Sites = Annotated[
    tuple[Literal["tokens", "mentions"], ...], Field(strict=False), AfterValidator(_at_least_one_each_once)
]
Memories = Annotated[
    tuple[Literal["entity", "relation"], ...], Field(strict=False), AfterValidator(_at_least_one_each_once)
]


class InverseReadSettings(Settings):
    """The paper's read (eq. 1, 2): categories attend to inputs, every input is scaled by the attention that it gets."""

    kind: Literal["inverse"] = "inverse"
    sites: Sites = ("tokens", "mentions")
    memories: Memories = ("entity", "relation")
    similarity: SimilaritySettings = BilinearSettings()
    gradient: bool = True
    """False: the losses do not reach the memories through the read, only through the classifiers."""
    normalisation: Literal["released", "rescaled", "kept"] = "released"
    """What attention is normalised over. `released`: all inputs of the document, so that the scale of a span depends on
    how many candidates there are (about 230 in training, thousands at inference). `rescaled`: the same, times
    n / slots, so that the mean gate is 1. `kept`: mentions only over the candidates that are kept as mentions (in
    training the gold ones); the mention classifier then sees span vectors before the read."""


Combination = Literal["mean", "projection"]
"""How an input x is extended by the vectors r that it reads. `mean`: the element-wise mean of x and every r, as the
paper extends by its read; r has the encoder's width. `projection`: a linear layer on [x ; r ; …] that starts near the
identity on x, so that little changes when reading sets in."""


class SlotwiseReadSettings(Settings):
    """TriMF's "normal" read (arXiv 2101.10213, eq. 1, 2): an input attends to the slots and takes up their mean."""

    kind: Literal["slot_wise"] = "slot_wise"
    sites: Sites = ("tokens", "mentions")
    memories: Memories = ("entity", "relation")
    similarity: SimilaritySettings = BilinearSettings()
    gradient: bool = True
    combined_by: Combination = "projection"


class KeyValueReadSettings(Settings):
    """An external memory of learned keys and values (arXiv 1606.03126), read in hops (arXiv 1503.08895, section 2.2).

    An input attends to the keys and takes up the values. No classifier compares with them, so they are not tied to
    categories, and only reading writes them: nothing does during the memory warm-up.
    """

    kind: Literal["key_value"] = "key_value"
    sites: Sites = ("tokens", "mentions")
    similarity: SimilaritySettings = BilinearSettings()
    """Of inputs and keys."""
    slots: PositiveInt = 64
    """Pairs of a key and a value; some tens to thousands."""
    key_size: PositiveInt | None = None
    """Width of a key; `None` is the encoder's. Values have the encoder's width."""
    hops: PositiveInt = 2
    """Times that the memory is read, each time with what was read before added to the query. The sources use 1 to 3;
    with 2, an input takes up two vectors, as it does of the entity and the relation memory."""
    combined_by: Combination = "mean"


class RecurrentReadSettings(Settings):
    """A memory that each document writes as it is read, segment by segment (arXiv 1612.03969), and that is then read.

    Its weights, too, are trained by reading alone.
    """

    kind: Literal["recurrent"] = "recurrent"
    sites: Sites = ("tokens", "mentions")
    similarity: SimilaritySettings = BilinearSettings()
    """Of inputs and the state of a slot."""
    slots: PositiveInt = 20
    """Cells of the state; the source has 20 for stories of some tens of sentences."""
    slot_size: PositiveInt | None = None
    """Width of a slot; `None` is the encoder's."""
    segment: PositiveInt = 32
    """Sub-words that are read at once: shorter segments are more steps, one after another. About a sentence."""
    hops: PositiveInt = 2
    """As of `key_value`; the source reads once."""
    combined_by: Combination = "mean"


ReadSettings = Annotated[
    InverseReadSettings | SlotwiseReadSettings | KeyValueReadSettings | RecurrentReadSettings,
    Field(discriminator="kind"),
]


class MemorySettings(Settings):
    """The entity and the relation memory, one slot a type, and what is read: these, or a memory beside them."""

    slot_size: SlotSizes = SlotSizes()
    read: ReadSettings | None = InverseReadSettings()
    """`null`: nothing is read, which is the paper's "ours" without memory."""
    warmup_proportion: Proportion = 0.4
    """Memory warm-up proportion: the share of all training steps during which nothing is read yet. The paper's text
    says 0.4; the released CDR configuration 0.5."""

    @property
    def are_read(self) -> bool:
        """Whether reads set in at all: not without `read`, and not if the warm-up is all of training."""
        return self.read is not None and self.warmup_proportion < 1.0


# --------------------------------------------------------------------------------------------------------------- parts


class LinearSettings(Settings):
    """JEREX's classifiers: entity types by a hidden layer and a linear one, relation types by a linear layer."""

    kind: Literal["linear"] = "linear"


ClassifierSettings = Annotated[
    BilinearSettings | DotSettings | CosineSettings | LinearSettings, Field(discriminator="kind")
]


class MemoryTypeVectors(Settings):
    """Entity types enter a relation pair as rows of the entity memory, without gradient (released code)."""

    kind: Literal["memory"] = "memory"


class LearnedTypeVectors(Settings):
    """Entity types enter a relation pair as rows of a table of its own (JEREX)."""

    kind: Literal["learned"] = "learned"


TypeVectorSettings = Annotated[MemoryTypeVectors | LearnedTypeVectors, Field(discriminator="kind")]


class MentionSettings(Settings):
    """Mention detection over all spans of a sentence up to a size."""

    max_span_size: PositiveInt = 10
    """Words."""
    size_rows: PositiveInt = 30
    """Rows of the span-size table; a larger size takes the last row. Released: 30, CDR 60."""
    threshold: Threshold = 0.85


class CoreferenceSettings(Settings):
    """Pairs of mentions, clustered by complete linkage."""

    edit_distance_rows: PositiveInt = 300
    """Rows of the edit-distance table; a larger distance takes the last row."""
    threshold: Threshold = 0.85


class EntitySettings(Settings):
    """Entity types of clusters."""

    classifier: ClassifierSettings = BilinearSettings()


class GlobalSettings(Settings):
    """GRC, the global relation classifier: head, tail and their types."""

    kind: Literal["global"] = "global"


class MultiInstanceSettings(Settings):
    """MRC, the multi-instance relation classifier: all mention pairs with their contexts, pooled by maximum."""

    kind: Literal["multi_instance"] = "multi_instance"
    token_distance_rows: PositiveInt = 700
    """Words; a larger distance takes the last row."""
    sentence_distance_rows: PositiveInt = 50


PairSettings = Annotated[GlobalSettings | MultiInstanceSettings, Field(discriminator="kind")]


class RelationSettings(Settings):
    """Relation types of ordered pairs of entities."""

    pairs: PairSettings = MultiInstanceSettings()
    classifier: ClassifierSettings = BilinearSettings()
    type_vectors: TypeVectorSettings = MemoryTypeVectors()
    threshold: Threshold = 0.6


class JerexSettings(Settings):
    """Memory-enhanced JEREX; with linear classifiers, learned type vectors and `memory.read: null` it is JEREX."""

    kind: Literal["jerex"] = "jerex"
    encoder: EncoderSettings = EncoderSettings()
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    embedding_size: PositiveInt = 25
    """Width of the size, distance and learned type vectors. Released: 25, CDR 75."""
    mention: MentionSettings = MentionSettings()
    coreference: CoreferenceSettings = CoreferenceSettings()
    entity: EntitySettings = EntitySettings()
    relation: RelationSettings = RelationSettings()
    memory: MemorySettings = MemorySettings()

    @model_validator(mode="after")
    def _slots_fit_what_uses_them(self) -> JerexSettings:
        """A slot size of its own is refused where widths must be equal, before anything starts."""
        read = self.memory.read
        # a size by its path and in words, and who compares vectors of that size with those of the encoder
        compared: list[tuple[str, str, int | None, str, SimilaritySettings | LinearSettings]] = []
        for memory, classifier in (("entity", self.entity.classifier), ("relation", self.relation.classifier)):
            of_memory = (f"memory.slot_size.{memory}", "slot size", getattr(self.memory.slot_size, memory))
            compared.append((*of_memory, f"{memory}.classifier", classifier))
            if isinstance(read, InverseReadSettings | SlotwiseReadSettings) and memory in read.memories:
                compared.append((*of_memory, "memory.read.similarity", read.similarity))
        if isinstance(read, KeyValueReadSettings):
            compared.append(
                ("memory.read.key_size", "key size", read.key_size, "memory.read.similarity", read.similarity)
            )
        if isinstance(read, RecurrentReadSettings):
            compared.append(
                ("memory.read.slot_size", "slot size", read.slot_size, "memory.read.similarity", read.similarity)
            )
        for path, words, size, place, similarity in compared:
            if size is not None and isinstance(similarity, DotSettings | CosineSettings):
                raise ValueError(
                    f"{path} is {size}, but {place} is {similarity.kind}, which compares vectors of the encoder's "
                    f"width; leave the {words} out or use bilinear"
                )
        if isinstance(read, SlotwiseReadSettings) and read.combined_by == "mean":
            for memory in read.memories:
                size = getattr(self.memory.slot_size, memory)
                if size is not None:
                    raise ValueError(
                        f"memory.slot_size.{memory} is {size}, but memory.read.combined_by is mean, which adds slots "
                        f"to vectors of the encoder's width; leave the slot size out or use projection"
                    )
        return self


# ------------------------------------------------------------------------------------------------------------ training


class SamplingSettings(Settings):
    """How many wrong examples of each kind are drawn per document and visit."""

    mention_negatives: Annotated[int, Field(ge=0)] = 200
    inside_share: Proportion = 0.5
    """At most this share of the negative spans lies inside a gold mention."""
    coreference_negatives: Annotated[int, Field(ge=0)] = 200
    """JEREX and the paper: 200. The released code draws 100 for the memory model, unnoticed."""
    relation_negatives: Annotated[int, Field(ge=0)] = 200


class LossWeights(Settings):
    """β of the joint loss (paper, eq. 6)."""

    mention: Weight = 1.0
    coreference: Weight = 1.0
    entity: Weight = 0.25
    relation: Weight = 1.0


class AdamWSettings(Settings):
    """AdamW as published: with bias correction."""

    kind: Literal["adamw"] = "adamw"
    epsilon: PositiveFloat = 1e-8


class UncorrectedAdamWSettings(Settings):
    """AdamW as in the released code: no bias correction, a larger epsilon."""

    kind: Literal["adamw_uncorrected"] = "adamw_uncorrected"
    epsilon: PositiveFloat = 1e-6


OptimiserSettings = Annotated[AdamWSettings | UncorrectedAdamWSettings, Field(discriminator="kind")]


class SelectionSettings(Settings):
    """Which epoch of a trial is kept: the first with the best score, or the last."""

    epoch: Literal["best", "last"] = "best"
    """`last`: no score selects. Of a study only its first phases are kept so."""
    metric: Literal["mention_f1", "coreference_f1", "entity_f1", "relation_f1", "relation_strict_f1"] = (
        "relation_strict_f1"
    )
    on: Literal["dev", "test"] = "dev"
    """`test` is optimistic, as an epoch is then chosen by the score that is reported: only to reproduce a protocol that
    was published so. Test is then evaluated after every epoch."""

    @property
    def score(self) -> str:
        """The metric with its split: `dev/relation_strict_f1`."""
        return f"{self.on}/{self.metric}"

    def __str__(self) -> str:
        return "being the last" if self.epoch == "last" else self.score


class PhaseSettings(Settings):
    """How a network is trained, whatever epoch of it is kept: batches of 2, AdamW with a linear schedule."""

    epochs: PositiveInt = 20
    batch_size: PositiveInt = 2
    learning_rate: PositiveFloat = 5e-5
    head_learning_rate: PositiveFloat | None = None
    """Learning rate of everything but the encoder; `None` is `learning_rate` (the paper)."""
    learning_rate_warmup: Proportion = 0.1
    """Share of the steps over which the learning rate rises from 0; afterwards it falls to 0 linearly."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    max_gradient_norm: PositiveFloat = 1.0
    optimiser: OptimiserSettings = AdamWSettings()
    sampling: SamplingSettings = SamplingSettings()
    loss_weights: LossWeights = LossWeights()
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: autocast; weights and optimiser stay float32."""


class TrainingSettings(PhaseSettings):
    """The paper's training: 20 epochs, batches of 2, AdamW with a linear schedule, the best epoch on dev."""

    select: SelectionSettings = SelectionSettings()


class PretrainingSettings(PhaseSettings):
    """A first phase: the same model is trained on another corpus before, and training starts from its weights.

    Nothing is read meanwhile, and the weights of the last epoch are taken, so no score selects. Nothing is taken over
    from `training`: a difference there leaves the first phase, which is computed once for all trials that share it, as
    it is.

    Source: arXiv 2307.11762, section 5, which gives the corpus (DocRED's distant set) and no number; one epoch is that
    of the released configuration, all else that of the paper's training.
    """

    data: DataSettings
    seed: Annotated[int, Field(ge=0)] = 1
    """Of the first phase; one for all seeds of the study, as it is done once."""
    epochs: PositiveInt = 1


class ExperimentSettings(Settings):
    """All that can change the score of a trial, but for its seed and the bytes of its data."""

    data: DataSettings = BuiltinSettings()
    model: JerexSettings = JerexSettings()
    training: TrainingSettings = TrainingSettings()
    pretraining: PretrainingSettings | None = None
    """`null`: training starts from the pretrained encoder, and all else at random."""

    @property
    def first_phase(self) -> ExperimentSettings | None:
        """The experiment that comes before this one, if one does; its seed is `pretraining.seed`.

        Of this one's settings it has those that decide its weights and its scores, so that trials that differ in others
        (the read and its warm-up, the training to come) share it.
        """
        if self.pretraining is None:
            return None
        memory = self.model.memory.model_copy(update={"read": None, "warmup_proportion": 1.0})
        how = {name: getattr(self.pretraining, name) for name in PhaseSettings.model_fields}
        return ExperimentSettings(
            data=self.pretraining.data,
            model=self.model.model_copy(update={"memory": memory}),
            training=TrainingSettings(**how, select=SelectionSettings(epoch="last")),
        )
