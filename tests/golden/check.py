"""Recompute recorded cases with our model, and compare.

A check returns the relative error of every tensor, max |ours - recorded| / max |recorded|, and 0 or infinity for
integers, which must be equal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from model import batch as batches
from model.batch import Batch, CoreferencePairs, Entities, EntityPairs, PairMentions, Spans, Targets
from model.data.document import Document, Entity, Mention, Relation
from model.data.labels import Labels
from model.data.subwords import EncodedDocument
from model.decoding.clustering import clusters
from model.joint.jerex import Candidates, Jerex, Trace
from model.loss import joint_loss
from model.memory.read import InverseRead
from model.memory.similarity import Bilinear
from model.metrics import matching
from model.ragged import RangeMaximum, Ranges
from model.relations.multi_instance import MultiInstanceEnds, MultiInstancePairs
from model.sampling import coreference, relations, spans
from model.sampling.draw import pool
from model.settings import InverseReadSettings, JerexSettings, LossWeights
from tests.golden import names

TOLERANCE = 1e-5
PEAKED_GRADIENT_TOLERANCE = 1e-4
"""Of gradients through an almost one-hot softmax (case `memory_read_peaked`), as stated with the recorded numbers."""

Errors = dict[str, float]


def error(mine: Any, recorded: Any) -> float:
    """Relative to the largest magnitude of the recorded tensor."""
    mine, recorded = torch.as_tensor(mine).detach(), torch.as_tensor(recorded).detach()
    if mine.shape != recorded.shape:
        return math.inf
    if not recorded.numel():
        return 0.0
    if not recorded.is_floating_point():
        return 0.0 if torch.equal(mine.long(), recorded.long()) else math.inf
    scale = float(recorded.abs().max())
    difference = float((mine.double() - recorded.double()).abs().max())
    return difference / scale if scale else difference


def tolerance(case: str, tensor: str) -> float:
    return PEAKED_GRADIENT_TOLERANCE if case == "memory_read_peaked" and "gradient" in tensor else TOLERANCE


def check_folder(folder: Path) -> Iterator[tuple[str, Errors]]:
    """The errors of every case of a folder, in the order of its index."""
    index = json.loads((folder / "index.json").read_text())
    for case, entry in index["cases"].items():
        yield case, check_case(folder, case, entry, index)


def check_case(folder: Path, case: str, entry: dict, index: dict) -> Errors:
    for prefix, check in CHECKS.items():
        if case.startswith(prefix):
            errors = check(folder / entry["file"], entry, index)
            assert errors, f"{case}: nothing was compared"
            return errors
    raise ValueError(f"{folder / 'index.json'}: no check is known for the case {case!r}")


# ------------------------------------------------------------------------------------------------------------ memories


def check_read(path: Path, entry: dict, index: dict) -> Errors:
    """Eq. 1 and 2: attention, gates, the mean, and gradients."""
    recorded = load_file(path)
    x_BND = recorded["input"].requires_grad_()
    real_BN = recorded["mask"].bool()
    if not entry["memories"]:
        return {"output.extended": error(x_BND * real_BN[..., None], recorded["output.extended"])}
    memories = {memory: recorded[f"memory.{memory}"].requires_grad_() for memory in entry["memories"]}
    settings = InverseReadSettings.model_validate(
        {"memories": entry["memories"], "similarity": {"kind": entry["similarity"]}}
    )
    read = InverseRead(settings, x_BND.shape[-1], memories)
    weight = {memory: name for memory in memories if (name := f"read.{entry['place']}.{memory}.weight") in recorded}
    read.load_state_dict({f"similarity.{memory}.weight": recorded[name].T for memory, name in weight.items()})
    document_N = torch.arange(len(x_BND))[:, None].expand_as(real_BN)[real_BN]
    extended = read(x_BND[real_BN], document_N, len(x_BND), memories)
    (extended.x_ND * recorded["cotangent"][real_BN]).sum().backward()

    def padded(value: Tensor) -> Tensor:
        out = value.new_zeros(*real_BN.shape, value.shape[-1])
        out[real_BN] = value
        return out

    errors = {"output.extended": error(padded(extended.x_ND), recorded["output.extended"])}
    for memory, attention_NK in extended.attention_NK.items():
        gated = attention_NK.sum(dim=1, keepdim=True) * x_BND[real_BN]
        errors[f"output.attention.{memory}"] = error(padded(attention_NK), recorded[f"output.attention.{memory}"])
        errors[f"output.gated.{memory}"] = error(padded(gated), recorded[f"output.gated.{memory}"])
        errors[f"gradient.memory.{memory}"] = error(memories[memory].grad, recorded[f"gradient.memory.{memory}"])
    for memory, name in weight.items():
        similarity = read.similarity[memory]
        assert isinstance(similarity, Bilinear) and similarity.weight.grad is not None
        errors[f"gradient.{name}"] = error(similarity.weight.grad.T, recorded[f"gradient.{name}"])
    errors["gradient.input"] = error(x_BND.grad, recorded["gradient.input"])
    return errors


def check_heads(path: Path, entry: dict, index: dict) -> Errors:
    """Eq. 3 to 5."""
    recorded = load_file(path)
    errors = {}
    for memory, probability in (("entity", lambda x: x.softmax(-1)), ("relation", torch.sigmoid)):
        x_BND = recorded[f"input.{memory}"].requires_grad_()
        memory_KM = recorded[f"memory.{memory}"].requires_grad_()
        similarity = Bilinear(x_BND.shape[-1], memory_KM.shape[-1])
        similarity.load_state_dict({"weight": recorded[f"similarity.{memory}.weight"]})
        logit = similarity(x_BND, memory_KM)
        (logit * recorded[f"cotangent.{memory}"]).sum().backward()
        errors |= {
            f"output.{memory}.logit": error(logit, recorded[f"output.{memory}.logit"]),
            f"output.{memory}.probability": error(probability(logit), recorded[f"output.{memory}.probability"]),
            f"gradient.input.{memory}": error(x_BND.grad, recorded[f"gradient.input.{memory}"]),
            f"gradient.memory.{memory}": error(memory_KM.grad, recorded[f"gradient.memory.{memory}"]),
            f"gradient.similarity.{memory}.weight": error(
                similarity.weight.grad, recorded[f"gradient.similarity.{memory}.weight"]
            ),
        }
    return errors


# ------------------------------------------------------------------------------------------------------------ training


def settings_of(entry: dict, recorded: dict[str, Tensor], *, gradient: bool = True) -> JerexSettings:
    """The settings that the recorded case ran with, all but the sizes told by its kind."""
    weight = {name.removeprefix("weight."): value for name, value in recorded.items() if name.startswith("weight.")}
    pairs: dict[str, Any] = {"kind": "global" if entry["classifier"] == "GRC" else "multi_instance"}
    if entry["classifier"] == "MRC":
        for table in ("token_distance", "sentence_distance"):
            pairs[f"{table}_rows"] = len(weight[f"relation.multi_instance.{table}_embedding.weight"])
    jerex = entry["model"] == "JEREX"
    classifier = {"kind": "linear" if jerex else "bilinear"}
    thresholds = entry.get("thresholds", {"mention": 0.85, "coreference": 0.85, "relation": 0.6})
    memory: dict[str, Any] = {"read": None}
    if not jerex:
        memory = {
            "slot_size": {kind: weight[f"memory.{kind}"].shape[1] for kind in ("entity", "relation")},
            "read": {"kind": "inverse", "gradient": gradient},
        }
    return JerexSettings.model_validate(
        {
            "embedding_size": weight["mention.size_embedding.weight"].shape[1],
            "mention": {
                "size_rows": len(weight["mention.size_embedding.weight"]),
                "threshold": thresholds["mention"],
            },
            "coreference": {
                "edit_distance_rows": len(weight["coreference.edit_distance_embedding.weight"]),
                "threshold": thresholds["coreference"],
            },
            "entity": {"classifier": classifier},
            "relation": {
                "pairs": pairs,
                "classifier": classifier,
                "type_vectors": {"kind": "learned" if jerex else "memory"},
                "threshold": thresholds["relation"],
            },
            "memory": memory,
        }
    )


def model_of(entry: dict, recorded: dict[str, Tensor], width: int, **settings: bool) -> Jerex:
    weight = {name.removeprefix("weight."): value for name, value in recorded.items() if name.startswith("weight.")}
    sizes = entry["sizes"]
    model = Jerex(settings_of(entry, recorded, **settings), width, sizes["E"], sizes["R"])
    if not any(name.startswith("read.") for name in weight) and "read" in dict(model.named_children()):
        model.read.clear()
    names.load(model, weight)
    return model.eval()


def tokens_of(length: Sequence[int]) -> batches.Tokens:
    """Sub-words of which the recorded vectors are given."""
    return batches.Tokens(np.array(length), batches.owner(length), None)


def batch_of(recorded: dict[str, Tensor]) -> tuple[Batch, Tensor]:
    """Our flat batch, and the mask that makes the recorded padded sub-words flat."""
    x = {name.removeprefix("input."): value for name, value in recorded.items() if name.startswith("input.")}
    real_BT = x["token_mask"].bool()
    length = real_BT.sum(dim=1).tolist()
    token_offset = torch.from_numpy(batches.offsets(length))

    def owner(offsets: str) -> Tensor:
        return batches.owner(x[offsets].diff().tolist())

    span_document, entity_document = owner("span.offsets"), owner("entity.offsets")
    coreference_document, pair_document = owner("coreference.offsets"), owner("entity_pair.offsets")
    # gold mentions are the first spans of each document
    n_gold = [int(x["span.target"][i:j].sum()) for i, j in zip(x["span.offsets"], x["span.offsets"][1:], strict=False)]
    mention_offset = torch.from_numpy(batches.offsets(n_gold))
    span = x["span"].long() + token_offset[span_document][:, None]
    coreference_pair = x["coreference.pair"].long() + mention_offset[coreference_document][:, None]
    entity_pair = x["entity_pair.pair"].long() + x["entity.offsets"].long()[pair_document][:, None]
    entity_of_member = owner("entity.member_offsets")
    member = x["entity.member"].long() + mention_offset[entity_document][entity_of_member]
    mentions = None
    if "mention_pair.pair" in x:
        pair_of_mention = owner("entity_pair.mention_pair_offsets")
        document = pair_document[pair_of_mention]
        pair = x["mention_pair.pair"].long() + mention_offset[document][:, None]
        # a mention as one of an entity
        place = {of: n for n, of in enumerate(zip(member.tolist(), entity_of_member.tolist(), strict=True))}
        owner_K2 = entity_pair[pair_of_mention]
        head, tail = (
            torch.tensor(
                [place[m, n] for m, n in zip(pair[:, i].tolist(), owner_K2[:, i].tolist(), strict=True)]
            ).long()
            for i in (0, 1)
        )
        context = x["mention_pair.context"].long()
        distances = [x["mention_pair.token_distance"].long(), x["mention_pair.sentence_distance"].long()]
        between = torch.column_stack([context + token_offset[document][:, None], *distances]).numpy()
        distinct, index = batches.distinct_rows(between)
        mentions = PairMentions(
            head_K=head,
            tail_K=tail,
            entity_pair_K=pair_of_mention,
            context_K=torch.from_numpy(index),
            contexts=Ranges.of(distinct[:, 0], distinct[:, 1], sum(length)),
            token_distance_C=torch.from_numpy(distinct[:, 2]),
            sentence_distance_C=torch.from_numpy(distinct[:, 3]),
        )
    return (
        Batch(
            tokens=tokens_of(length),
            spans=Spans(Ranges.of(*span.numpy().T, sum(length)), x["span.size"].long(), span_document),
            gold_M=batches.joined([np.arange(n) for n in n_gold], x["span.offsets"][:-1].long().numpy()),
            coreference=CoreferencePairs(
                coreference_pair[:, 0], coreference_pair[:, 1], x["coreference.edit_distance"].long()
            ),
            entities=Entities(member, entity_of_member, len(x["entity.type"])),
            entity_pairs=EntityPairs(entity_pair[:, 0], entity_pair[:, 1]),
            pair_mentions=mentions,
            targets=Targets(
                x["span.target"].float(),
                x["coreference.target"].float(),
                x["entity.type"].long(),
                x["entity_pair.target"].float(),
            ),
        ),
        real_BT,
    )


def check_training(path: Path, entry: dict, index: dict) -> Errors:
    """One step: all representations, logits, losses and gradients, with memory on, off, and on but detached."""
    recorded = load_file(path)
    batch, real_BT = batch_of(recorded)
    errors: Errors = {}
    for variant in entry["losses"] | ({"memory_on_detached": None} if "gradient_changed_by_detaching" in entry else {}):
        prefix = "" if variant == "all" else f"{variant}."
        x_BTD = recorded["input.hidden"].clone().requires_grad_()
        model = model_of(entry, recorded, x_BTD.shape[-1], gradient=variant != "memory_on_detached")
        model.reading = variant != "memory_off"
        scores = model(x_BTD[real_BT], batch)
        losses = joint_loss(scores, batch.targets, LossWeights.model_validate(entry.get("loss_weights", {})))
        losses.total.backward()

        def padded(value: Tensor) -> Tensor:
            out = value.new_zeros(*real_BT.shape, *value.shape[1:])
            out[real_BT] = value
            return out

        mine: dict[str, Tensor] = {
            "output.tokens.extended": padded(scores.tokens.x_ND),
            "output.span.pooled": scores.pooled_SD,
            "output.span.extended": scores.spans.x_ND,
            "output.mention.logit": scores.mention_S,
            "output.coreference.logit": scores.coreference_P,
            "output.entity.representation": scores.entity_ND,
            "output.entity.logit": scores.entity_NE,
            "output.entity_pair.representation": scores.pair_QD,
            "output.relation.logit": scores.relation_QR,
            **{f"loss.{task}": value for task, value in vars(losses).items()},
        }
        for memory, attention in scores.tokens.attention_NK.items():
            mine[f"output.tokens.gate.{memory}"] = padded(attention.sum(dim=1))
        for memory, attention in scores.spans.attention_NK.items():
            mine[f"output.span.gate.{memory}"] = attention.sum(dim=1)
        if isinstance(model.pairs, MultiInstancePairs) and batch.pair_mentions is not None:
            levels = max(batch.spans.ranges.n_levels, batch.pair_mentions.contexts.n_levels)
            ends = model.ends_of_pairs(scores.mention_MD, scores.entity_ND, batch.targets.entity_type_N, batch.entities)
            assert isinstance(ends, MultiInstanceEnds)
            mine["output.mention_pair.representation"] = model.pairs.local_representations(
                RangeMaximum(scores.tokens.x_ND, levels), ends.mentions, batch.pair_mentions
            )
        assert x_BTD.grad is not None
        mine["gradient.input.hidden"] = x_BTD.grad
        # what has no recorded gradient must have none
        absent = (entry.get("gradient_absent") or {}).get(variant, [])
        weights = [name for name in (n.removeprefix("weight.") for n in recorded if n.startswith("weight."))]
        for name, gradient in names.gradients(model, weights).items():
            mine[f"gradient.{name}"] = gradient
            if name in absent:
                errors[f"{prefix}gradient.{name} (absent)"] = 0.0 if not gradient.any() else math.inf
        wanted = [name for name in recorded if _belongs(name, prefix)]
        for name in wanted:
            errors[name] = error(mine[name.removeprefix(prefix)], recorded[name])
    return errors


def _belongs(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and name.removeprefix(prefix).startswith(("output.", "loss.", "gradient."))


# ----------------------------------------------------------------------------------------------------------- inference


def check_inference(path: Path, entry: dict, index: dict) -> Errors:
    """All documents in one batch, though they were recorded one at a time."""
    recorded = load_file(path)
    documents = [
        {
            name.removeprefix(document["prefix"]): value
            for name, value in recorded.items()
            if name.startswith(document["prefix"])
        }
        for document in entry["documents"]
    ]
    hidden = [document["input.hidden"] for document in documents]
    model = model_of(entry, recorded, hidden[0].shape[-1])
    tokens = tokens_of([len(x) for x in hidden])
    candidates = [
        Candidates(
            document["input.span.words"].long().numpy(),
            document["input.span"].long().numpy(),
            document["input.span.sentence"].long().numpy(),
        )
        for document in documents
    ]

    def edit_distances(b: int, kept: np.ndarray) -> np.ndarray:
        return documents[b]["input.kept.edit_distance"].long().numpy()

    trace = Trace()
    found = model.extract(torch.cat(hidden), tokens, candidates, edit_distances, trace)
    assert trace.tokens and trace.spans and trace.kept_pooled is not None
    assert trace.kept_extended is not None and trace.entities is not None
    n_candidates = [len(c.words_C2) for c in candidates]
    n_kept = [len(f.kept) for f in found]
    n_entities = [len(f.members) for f in found]
    assert trace.pairs is not None
    pairs = trace.pairs.split([len(f.entity_pair) for f in found])
    errors: Errors = {}
    for b, (document, extraction, info) in enumerate(zip(documents, found, entry["documents"], strict=True)):
        kept_extended = trace.kept_extended.split(n_kept)[b]
        k = n_kept[b]
        both = torch.cartesian_prod(torch.arange(k), torch.arange(k))
        distance = document["input.kept.edit_distance"].long()[both[:, 0], both[:, 1]]
        coreference_logit = model.coreference(
            model.coreference.ends(kept_extended), CoreferencePairs(both[:, 0], both[:, 1], distance)
        )
        coreference_logit = coreference_logit.detach().reshape(k, k).fill_diagonal_(0)
        forward = document["output.coreference.logit"][np.triu_indices(k, 1)]
        offsets = document["output.cluster.member_offsets"].tolist()
        members = document["output.cluster.member"].tolist()
        wanted_clusters = [members[i:j] for i, j in zip(offsets, offsets[1:], strict=False)]
        order = _order(extraction.triples)
        wanted_order = _order(document["output.relation.triple"].numpy())
        triple = extraction.triples[order]
        pair_row = {(head, tail): row for row, (head, tail) in enumerate(extraction.entity_pair.tolist())}
        score = [
            torch.tensor(extraction.relation_logit[pair_row[head, tail], relation]).sigmoid()
            for head, tail, relation in triple.tolist()
        ]
        mine = {
            "output.tokens.extended": (trace.tokens.x_ND.split([len(x) for x in hidden])[b]),
            "output.mention.logit": extraction.mention_logit,
            "output.kept": extraction.kept,
            "output.kept.pooled": trace.kept_pooled.split(n_kept)[b],
            "output.kept.extended": kept_extended,
            "output.coreference.logit": coreference_logit,
            "output.entity.representation": trace.entities.split(n_entities)[b],
            "output.entity.logit": extraction.entity_logit,
            "output.entity.type": extraction.entity_type,
            "output.entity_pair.pair": extraction.entity_pair,
            "output.entity_pair.representation": pairs[b],
            "output.relation.logit": extraction.relation_logit,
        }
        for memory, attention in trace.tokens.attention_NK.items():
            mine[f"output.tokens.gate.{memory}"] = attention.sum(1).split([len(x) for x in hidden])[b]
        for memory, attention in trace.spans.attention_NK.items():
            mine[f"output.span.gate.{memory}"] = attention.sum(1).split(n_candidates)[b]
        prefix = info["prefix"]
        errors |= {f"{prefix}{name}": error(value, document[name]) for name, value in mine.items()}
        errors |= {
            f"{prefix}coreference, earlier to later": error(extraction.coreference_logit, forward),
            f"{prefix}output.cluster": _equal(
                [extraction.kept[m].tolist() for m in extraction.members], wanted_clusters
            ),
            f"{prefix}output.relation.triple": error(triple, document["output.relation.triple"][wanted_order]),
            f"{prefix}output.relation.score": error(
                torch.stack(score), document["output.relation.score"][wanted_order]
            ),
        }
        # what the recorded candidates are, ours are
        words = spans.candidate_spans(_blank(document), max_span_size=int(document["input.span.size"].max()))
        errors[f"{prefix}candidates"] = error(words, document["input.span.words"].long())
    return errors


def _order(triples: np.ndarray) -> np.ndarray:
    return np.lexsort(triples.T[::-1])


def _equal(mine: Any, recorded: Any) -> float:
    return 0.0 if mine == recorded else math.inf


def _blank(document: dict[str, Tensor]) -> Document:
    """A document with sentences of the recorded lengths."""
    words, sentence = document["input.span.words"], document["input.span.sentence"]
    ends = [int(words[sentence == s][:, 1].max()) for s in range(int(sentence.max()) + 1)]
    return Document("", tuple(("x",) * n for n in np.diff([0, *ends])))


def check_clustering(path: Path, entry: dict, index: dict) -> Errors:
    """Partitions of mentions."""
    recorded = load_file(path)
    errors = {}
    for case in entry["cases"]:
        probability = recorded[f"{case['prefix']}probability"].double().numpy()
        k = case["k"]
        found = clusters(probability[np.triu_indices(k, 1)], k, case["threshold"])
        errors[f"{case['prefix']}clusters"] = _equal(
            sorted(c.tolist() for c in found), sorted(sorted(c) for c in case["clusters"])
        )
    return errors


# ---------------------------------------------------------------------------------------------- evaluation and sampling


def check_evaluation(path: Path, entry: dict, index: dict) -> Errors:
    """Counts and scores, by situation and pooled."""
    recorded = json.loads(path.read_text())
    errors, every = {}, []
    for situation in recorded["situations"]:
        counts = []
        for document in situation["documents"]:
            gold, predicted = document["gold"], document["predicted"]
            counts.append(
                matching.count(
                    _evaluated(gold, gold["words"]),
                    _evaluated(predicted, gold["words"]),
                    [tuple(span) for span in predicted["mentions"]],
                )
            )
        every += counts
        errors |= _compare_scores(situation["name"], matching.pool(counts), situation["scores"])
    return errors | _compare_scores("pooled", matching.pool(every), recorded["pooled"])


def _compare_scores(name: str, counts: dict[str, matching.Counts], recorded: dict) -> Errors:
    errors = {}
    for task, wanted in recorded.items():
        mine = counts[task]
        errors[f"{name}.{task}.counts"] = _equal(
            [mine.correct, mine.spurious, mine.missed],
            [wanted[c] for c in ("true_positives", "false_positives", "false_negatives")],
        )
        for score in ("precision", "recall", "f1"):
            difference = abs(getattr(mine, score) - wanted[score])
            errors[f"{name}.{task}.{score}"] = difference / wanted[score] if wanted[score] else difference
    return errors


def _evaluated(recorded: dict, n_words: int) -> Document:
    """Gold entities have a type per mention, predicted ones a type."""

    def mention(value: dict | list, entity: dict) -> Mention:
        if isinstance(value, list):
            return Mention(value[0], value[1], entity["type"])
        return Mention(value["start"], value["end"], value["type"])

    return Document(
        "",
        (("x",) * n_words,),
        tuple(Entity(tuple(mention(m, entity) for m in entity["mentions"])) for entity in recorded["entities"]),
        tuple(Relation(r["head"], r["tail"], r["type"]) for r in recorded["relations"]),
    )


def check_sampling(path: Path, entry: dict, index: dict) -> Errors:
    """What sampling can choose from: everything that no chance decides."""
    recorded = json.loads(path.read_text())
    labels = Labels(tuple(recorded["entity_types"]), tuple(recorded["relation_types"]))
    errors = {
        "edit_distances": _equal(
            [int(coreference.edit_distances([a, b])[0, 1]) for a, b, _ in recorded["edit_distances"]],
            [distance for _, _, distance in recorded["edit_distances"]],
        )
    }
    for case in recorded["documents"]:
        document = _annotated(case["document"])
        start = np.concatenate([[0], np.cumsum(case["document"]["subwords_per_word"])]).astype(int)
        encoded = EncodedDocument(document, np.zeros(start[-1], dtype=np.int32), start)
        everything = pool(encoded, labels, recorded["maximum_span_size"])
        for name, value in _sampling_facts(everything, case, recorded["maximum_span_size"], labels).items():
            errors[f"{document.id}.{name}"] = _equal(value, case[name])
    return errors


def _annotated(recorded: dict) -> Document:
    starts = np.concatenate([[0], np.cumsum([len(s) for s in recorded["sents"]])]).tolist()
    return Document(
        recorded["title"],
        tuple(tuple(sentence) for sentence in recorded["sents"]),
        tuple(
            Entity(
                tuple(
                    Mention(starts[m["sent_id"]] + m["start"], starts[m["sent_id"]] + m["end"], m["type"])
                    for m in entity
                )
            )
            for entity in recorded["entities"]
        ),
        tuple(Relation(r["head"], r["tail"], r["type"]) for r in recorded["relations"]),
    )


def _sampling_facts(everything: Any, case: dict, max_span_size: int, labels: Labels) -> dict[str, Any]:
    encoded, document = everything.encoded, everything.encoded.document
    sentence_of = np.array(document.sentence_of)
    candidates = spans.candidate_spans(document, max_span_size)
    subwords = encoded.subword_range(candidates)
    size = candidates[:, 1] - candidates[:, 0]
    table = np.column_stack([candidates, subwords, size, sentence_of[candidates[:, 0]]])
    gold_subwords = encoded.subword_range(everything.gold_M2)
    gold_size = everything.gold_M2[:, 1] - everything.gold_M2[:, 0]
    inside = sorted([*encoded.subword_range(span).tolist(), int(span[1] - span[0])] for span in everything.inside)
    distance = everything.edit_distance_MM

    def with_distance(pairs: np.ndarray) -> list[list[int]]:
        return np.column_stack([pairs, distance[pairs[:, 0], pairs[:, 1]]]).tolist()

    entity_pairs = np.concatenate([everything.positive_relations, everything.negative_relations])
    mention_pairs = relations.mention_pairs(
        entity_pairs, everything.members, everything.gold_M2, gold_subwords, sentence_of[everything.gold_M2[:, 0]]
    )
    length = mention_pairs.context[:, 1] - mention_pairs.context[:, 0]
    spans_K2 = np.concatenate(everything.members)[mention_pairs.member]
    position = {
        (*entity_pairs[q].tolist(), *pair.tolist()): row
        for row, (q, pair) in enumerate(zip(mention_pairs.entity_pair, spans_K2, strict=True))
    }
    some = []
    for wanted in case["mention_pairs_some"]:
        row = position[(*wanted["entities"], *wanted["mentions"])]
        some.append(
            {
                "entities": wanted["entities"],
                "mentions": wanted["mentions"],
                "context": mention_pairs.context[row].tolist(),
                "token_distance": int(mention_pairs.token_distance[row]),
                "sentence_distance": int(mention_pairs.sentence_distance[row]),
            }
        )
    negative = {tuple(row) for row in with_distance(everything.negative_coreference)}
    n_positive = len(everything.positive_relations)
    counts: dict[str, int] = {
        "words": document.n_words,
        "subwords": int(encoded.start[-1]),
        "candidate_spans": len(candidates),
        "gold_mentions": len(everything.gold_M2),
        "distinct_gold_spans": len(np.unique(everything.gold_M2, axis=0)),
        "gold_mentions_longer_than_10_words": int((gold_size > 10).sum()),
        "negative_spans_inside_gold": len(everything.inside),
        "negative_spans_outside_gold": len(everything.rest),
        "coreference_positive_pairs": len(everything.positive_coreference),
        "coreference_negative_pairs": len(everything.negative_coreference),
        "entities": len(document.entities),
        "relation_positive_pairs": len(everything.positive_relations),
        "relation_negative_pairs": len(everything.negative_relations),
        "relation_types_on_positive_pairs": int(everything.relation_target.sum()),
        "mention_pairs_of_positive_pairs": int((mention_pairs.entity_pair < n_positive).sum()),
        "mention_pairs_of_negative_pairs": int((mention_pairs.entity_pair >= n_positive).sum()),
        "mention_pairs_with_empty_context": int((length == 0).sum()),
    }
    return {
        "counts": {name: counts.get(name, f"no count of ours is known as {name}") for name in case["counts"]},
        "gold_spans": np.column_stack([gold_subwords, gold_size]).tolist(),
        "entities": [member.tolist() for member in everything.members],
        "entity_types": [labels.entity_types[t] for t in everything.entity_type_N],
        "first_candidates": table[: len(case["first_candidates"])].tolist(),
        "last_candidate": table[-1].tolist(),
        "candidate_checksum": {
            "sum_of_starts": int(subwords[:, 0].sum()),
            "sum_of_ends": int(subwords[:, 1].sum()),
            "sum_of_sizes": int(size.sum()),
        },
        "negative_spans_inside_gold": inside[: len(case["negative_spans_inside_gold"])],
        "coreference_positive_pairs": with_distance(everything.positive_coreference)[
            : len(case["coreference_positive_pairs"])
        ],
        "coreference_negative_pairs_some": [
            list(row) for row in case["coreference_negative_pairs_some"] if tuple(row) in negative
        ],
        "coreference_edit_distance_sums": {
            "positive": int(sum(row[2] for row in with_distance(everything.positive_coreference))),
            "negative": int(sum(row[2] for row in with_distance(everything.negative_coreference))),
        },
        "relation_positive_pairs": [
            [int(head), int(tail), sorted(labels.relation_types[r] for r in np.flatnonzero(target))]
            for (head, tail), target in zip(everything.positive_relations, everything.relation_target, strict=True)
        ],
        "mention_pairs_some": some,
        "mention_pair_sums": {
            "token_distance": int(mention_pairs.token_distance.sum()),
            "sentence_distance": int(mention_pairs.sentence_distance.sum()),
            "context_length": int(length.sum()),
        },
    }


CHECKS: dict[str, Callable[[Path, dict, dict], Errors]] = {
    "memory_read": check_read,
    "similarity_heads": check_heads,
    "train": check_training,
    "jerex": check_training,
    "inference": check_inference,
    "clustering": check_clustering,
    "evaluation": check_evaluation,
    "sampling": check_sampling,
}
"""By the beginning of a case's name."""
