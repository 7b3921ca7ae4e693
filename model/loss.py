"""The joint loss: four sub-tasks, weighted.

Shape letters: S spans, P coreference pairs, N entities, Q entity pairs, E entity types, R relation types.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from model.batch import Targets
from model.joint.jerex import Scores
from model.settings import LossWeights


@dataclass(frozen=True)
class Losses:
    """Scalars; `total` is weighted."""

    mention: Tensor
    coreference: Tensor
    entity: Tensor
    relation: Tensor
    total: Tensor


def joint_loss(scores: Scores, targets: Targets, weights: LossWeights) -> Losses:
    """L = β_M L^M + β_C L^C + β_E L^E + β_R L^R.

    Mention and coreference: binary cross-entropy, mean over spans and pairs. Entity: cross-entropy, mean over entities.
    Relation: binary cross-entropy summed over types, mean over entity pairs. Means run over the whole batch, so a
    document with more samples weighs more. A sub-task without samples contributes 0.

    Source: MRE, section 3.3, Eq. (6), with the losses and weights of JEREX (arXiv 2102.05980), section 3.6.
    """
    mention = functional.binary_cross_entropy_with_logits(scores.mention_S.float(), targets.mention_S, reduction="sum")
    coreference = functional.binary_cross_entropy_with_logits(
        scores.coreference_P.float(), targets.coreference_P, reduction="sum"
    )
    entity = functional.cross_entropy(scores.entity_NE.float(), targets.entity_type_N, reduction="sum")
    relation = functional.binary_cross_entropy_with_logits(
        scores.relation_QR.float(), targets.relation_QR, reduction="sum"
    )
    mention = mention / max(len(targets.mention_S), 1)
    coreference = coreference / max(len(targets.coreference_P), 1)
    entity = entity / max(len(targets.entity_type_N), 1)
    relation = relation / max(len(targets.relation_QR), 1)
    total = (
        weights.mention * mention
        + weights.coreference * coreference
        + weights.entity * entity
        + weights.relation * relation
    )
    return Losses(mention, coreference, entity, relation, total)
