"""Heads on a frozen encoder: what it saves to compute the vectors of a document once, for all epochs and trials."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from model.data.encoded import EncodedCorpus
from model.data.subwords import EncodedDocument
from model.settings import TrainingSettings
from model.training.vectors import with_vectors
from tests.benchmarks import ratios, workload
from tests.benchmarks.measuring import Line, in_a_process
from tests.benchmarks.workload import Case

DOCUMENTS = 4
EPOCHS, TRIALS = 20, 10
"""Of the study that is reckoned from the measured steps."""


def measure(cases: Sequence[Case] | None = None, rounds: int = 1) -> Iterator[Line]:
    for case in cases or [case for case in workload.CASES if case.memory]:
        found = in_a_process("frozen:of_case", **asdict(case), rounds=rounds)
        for kind in ("training", "inference"):
            faster = found[f"{kind}, encoding"] / found[kind]
            yield Line(f"{case}: frozen encoder, {kind} with the encoder to without", faster, "")
        kept = _study(found["training"], found["inference"]) + found["vectors"] * 4 / 3
        faster = _study(found["training, encoding"], found["inference, encoding"]) / kept
        what = f"{case}: frozen encoder, a study of {TRIALS} trials of {EPOCHS} epochs, times faster"
        yield Line(what, faster, "", "at least 10", at_least=10.0)


def _study(training: float, inference: float) -> float:
    """Each epoch trains on the documents and extracts from a third as many."""
    return TRIALS * EPOCHS * (training + inference / 3)


def of_case(rounds: int, **case: Any) -> dict[str, float]:
    """CPU seconds for the documents, with vectors that are there, and with the encoder asked again."""
    torch.set_num_threads(1)
    material = workload.material()
    documents = material.natural(DOCUMENTS)
    settings = TrainingSettings(batch_size=ratios.BATCH_SIZE)
    net = workload.network(Case(**case), material.labels, train=False)
    with tempfile.TemporaryDirectory() as cache:
        corpus = EncodedCorpus(documents, [], [], material.labels, "", ())
        known = with_vectors(corpus, net.encoder, Path(cache)).train
        anew = [workload.Training(net, pair, settings) for pair in _pairs(documents)]
        kept = [workload.Training(net, pair, settings) for pair in _pairs(known)]
        found = ratios.least_cpu(
            {
                "training, encoding": lambda: [one.step(one.batch()) for one in anew],
                "training": lambda: [one.step(one.batch()) for one in kept],
                "inference, encoding": lambda: ratios.extract(net, documents),
                "inference": lambda: ratios.extract(net, known),
            },
            rounds,
        )
    return {**found, "vectors": sum(document.encoding.seconds for document in known if document.encoding is not None)}


def _pairs(documents: list[EncodedDocument]) -> list[list[EncodedDocument]]:
    return [documents[i : i + ratios.BATCH_SIZE] for i in range(0, len(documents), ratios.BATCH_SIZE)]
