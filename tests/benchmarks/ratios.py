"""How much longer a step of ours takes than the encoder alone on the same sub-words; on one thread of a CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from model import batch as batches
from model.data.subwords import EncodedDocument
from model.joint.network import Network
from model.settings import TrainingSettings
from tests.benchmarks import workload
from tests.benchmarks.measuring import Line, in_a_process
from tests.benchmarks.workload import Case, Size

IN_TRAINING: dict[Size, float] = {"base": 1.20, "small": 1.6, "tiny": 10.0}
AT_INFERENCE: dict[Size, float] = {"base": 1.25, "small": 1.8, "tiny": 10.0}
BATCH_SIZE = 2
EXTRACTED = 4
"""Documents that are extracted together."""


def measure(cases: Sequence[Case] = workload.CASES, rounds: int = 3) -> list[Line]:
    lines = []
    for case in cases:
        found = in_a_process("ratios:of_case", **asdict(case), rounds=rounds)
        for kind, limit in (("training", IN_TRAINING[case.size]), ("inference", AT_INFERENCE[case.size])):
            for padding in ("", " without padding"):
                ratio = found[kind] / found[f"encoder{padding}, {kind}"]
                lines.append(Line(f"{case}: {kind} to the encoder's{padding}", ratio, "", f"at most {limit}", limit))
        share = found["data"] / found["training"]
        lines += [
            Line(f"{case}: sampling and collation, of a training step", share, "", "at most 0.03", 0.03),
            Line(f"{case}: training step of {BATCH_SIZE} documents, CPU", found["training"], "s"),
            Line(f"{case}: inference of {EXTRACTED} documents, CPU", found["inference"], "s"),
        ]
    return lines


def of_case(rounds: int, **case: Any) -> dict[str, float]:
    """CPU seconds, the least of all rounds, in each of which everything has its turn."""
    torch.set_num_threads(1)
    material = workload.material()
    documents = material.natural(EXTRACTED)
    settings = TrainingSettings(batch_size=BATCH_SIZE)
    net = workload.network(Case(**case), material.labels)
    limit = workload.EncoderTraining(net, settings)
    training = workload.Training(net, documents[:BATCH_SIZE], settings)
    batch = training.batch()
    windows, extracted = ([workload.padded(net, some)] for some in (documents[:BATCH_SIZE], documents))
    bare, bare_extracted = (workload.bare(net, some) for some in (documents[:BATCH_SIZE], documents))
    work: dict[str, Callable[[], object]] = {
        "encoder, training": lambda: limit.step(windows),
        "training": lambda: training.step(batch),
        "encoder without padding, training": lambda: limit.step(bare),
        "encoder, inference": lambda: encode(net, extracted),
        "encoder without padding, inference": lambda: encode(net, bare_extracted),
        "inference": lambda: extract(net, documents),
        "data": training.batch,
    }
    return least_cpu(work, rounds)


def encode(net: Network, windows: Sequence[batches.WindowGroup]) -> None:
    net.eval()
    with torch.no_grad():
        for group in windows:
            workload.encoded_by_transformer(net, group)
    net.train()


def extract(net: Network, documents: Sequence[EncodedDocument]) -> None:
    net.eval()
    with workload.finding_gold(net, documents):
        found = net.extract(documents)
    net.train()
    assert sum(len(one.entities) for one in found) > 0


def least_cpu(work: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The least CPU seconds of each, of several rounds after one that does not count."""
    least = dict.fromkeys(work, float("inf"))
    for n in range(rounds + 1):
        for name, one in work.items():
            began = time.process_time()
            one()
            took = time.process_time() - began
            if n > 0:
                least[name] = min(least[name], took)
    return least
