"""Heads on a frozen encoder: what it saves to compute the vectors of a document once, for all epochs and trials."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from model.data.encoded import EncodedCorpus
from model.data.subwords import EncodedDocument
from model.settings import TrainingSettings
from model.training.vectors import with_vectors
from tests.benchmarks import ratios, workload
from tests.benchmarks.measuring import Line, in_a_process
from tests.benchmarks.workload import Case

CASES = [case for case in workload.CASES if case.memory]
DOCUMENTS = 4
EPOCHS, TRIALS = 20, 10
"""Of the study that is reckoned from the measured steps."""


def measure(cases: Sequence[Case] = CASES, rounds: int = 2) -> Iterator[Line]:
    study = f"a study of {TRIALS} trials of {EPOCHS} epochs"
    for case in cases:
        found = in_a_process("frozen:of_case", **asdict(case), rounds=rounds)
        seconds, products = found["seconds"], found["products"]
        for kind in ("training", "inference"):
            faster = seconds[f"{kind}, encoding"] / seconds[kind]
            yield Line(f"{case}: frozen encoder, {kind} with the encoder to without", faster, "")
        yield Line(f"{case}: frozen encoder, {study}, were it matrix products alone", _faster(products), "")
        what = f"{case}: frozen encoder, {study}, times faster"
        yield Line(what, _faster(seconds), "", "at least 10", at_least=10.0)


def _faster(cost: Mapping[str, float]) -> float:
    """Each epoch trains on the documents and extracts from a third as many; their vectors are computed once."""
    kept = TRIALS * EPOCHS * (cost["training"] + cost["inference"] / 3)
    anew = TRIALS * EPOCHS * (cost["training, encoding"] + cost["inference, encoding"] / 3)
    return anew / (kept + cost["vectors"] * 4 / 3)


def of_case(rounds: int, **case: Any) -> dict[str, dict[str, float]]:
    """For the documents, with vectors that are there and with the encoder asked again: CPU seconds, and the operations
    of matrix products."""
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
        work = {
            "training, encoding": lambda: [one.step(one.batch()) for one in anew],
            "training": lambda: [one.step(one.batch()) for one in kept],
            "inference, encoding": lambda: ratios.extract(net, documents),
            "inference": lambda: ratios.extract(net, known),
        }
        seconds = ratios.least_cpu(work, rounds)
        products = {name: _products(one) for name, one in work.items()}
    seconds["vectors"] = sum(document.encoding.seconds for document in known if document.encoding is not None)
    products["vectors"] = products["inference, encoding"] - products["inference"]
    return {"seconds": seconds, "products": products}


def _products(work: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counted:
        work()
    return counted.get_total_flops()


def _pairs(documents: list[EncodedDocument]) -> list[list[EncodedDocument]]:
    return [documents[i : i + ratios.BATCH_SIZE] for i in range(0, len(documents), ratios.BATCH_SIZE)]
