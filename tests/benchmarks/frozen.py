"""Heads on a frozen encoder: what it saves to compute the vectors of a document once, for all epochs and trials."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import torch

from model.data.encoded import EncodedCorpus
from model.data.subwords import EncodedDocument
from model.settings import TrainingSettings
from model.training.vectors import with_vectors
from tests.benchmarks import ratios, workload
from tests.benchmarks.measuring import Line, in_a_process
from tests.benchmarks.workload import Case, Size

DOCUMENTS = 8
EPOCHS, TRIALS = 20, 10
"""Of the study that is reckoned from the measured steps."""


def measure(sizes: tuple[Size, ...] = ("base", "small"), rounds: int = 3) -> list[Line]:
    lines = []
    for size in sizes:
        for case in workload.cases(size):
            if not case.memory:
                continue
            found = in_a_process("frozen:of_case", size=size, pairs=case.pairs, memory=case.memory, rounds=rounds)
            for kind in ("training", "inference"):
                faster = found[f"{kind}, encoding"] / found[kind]
                lines.append(Line(f"{case}: frozen encoder, {kind} with the encoder to without", faster, ""))

            # each epoch trains on the documents and extracts from a third as many
            def study(training: float, inference: float) -> float:
                return TRIALS * EPOCHS * (training + inference / 3)

            without = study(found["training, encoding"], found["inference, encoding"])
            once = found["encoder"] * 4 / 3
            faster = without / (study(found["training"], found["inference"]) + once)
            goal = ("at least 10", -10.0) if size == "base" else ("", None)
            what = f"{case}: frozen encoder, a study of {TRIALS} trials of {EPOCHS} epochs, times faster"
            lines.append(Line(what, faster, "", *goal))
    return lines


def of_case(size: Size, pairs: Literal["GRC", "MRC"], memory: bool, rounds: int) -> dict[str, float]:
    """CPU seconds for the documents, with vectors that are there, and with the encoder asked again."""
    torch.set_num_threads(1)
    material = workload.material()
    documents = material.natural(DOCUMENTS)
    settings = TrainingSettings(batch_size=ratios.BATCH_SIZE)
    net = workload.network(Case(size, pairs, memory), material.labels, train=False)
    with tempfile.TemporaryDirectory() as cache:
        corpus = EncodedCorpus(documents, [], [], material.labels, "", ())
        known = with_vectors(corpus, net.encoder, Path(cache)).train
        anew = [workload.Training(net, pair, settings) for pair in _pairs(documents)]
        kept = [workload.Training(net, pair, settings) for pair in _pairs(known)]
        windows = workload.batches.windows([document.subwords for document in documents], net.encoder.layout)
        return ratios.least_cpu(
            {
                "encoder": lambda: ratios.encode(net, windows),
                "training, encoding": lambda: [one.step(one.batch()) for one in anew],
                "training": lambda: [one.step(one.batch()) for one in kept],
                "inference, encoding": lambda: ratios.extract(net, documents),
                "inference": lambda: ratios.extract(net, known),
            },
            rounds,
        )


def _pairs(documents: list[EncodedDocument]) -> list[list[EncodedDocument]]:
    return [documents[i : i + ratios.BATCH_SIZE] for i in range(0, len(documents), ratios.BATCH_SIZE)]
