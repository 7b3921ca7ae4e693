"""How much longer a step of ours takes than the encoder alone on the same sub-words; on one thread of a CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import groupby
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
EXTRACTED = 3
"""Documents that are extracted together."""


def measure(cases: Sequence[Case] = workload.CASES, rounds: int = 3) -> Iterator[Line]:
    for size, alike in groupby(cases, lambda case: case.size):
        asked = list(alike)
        found = in_a_process("ratios:of_cases", cases=[asdict(case) for case in asked], rounds=rounds)
        for case in asked:
            for kind, limit in (("training", IN_TRAINING[size]), ("inference", AT_INFERENCE[size])):
                for padding in ("", " without padding"):
                    ratio = found[f"{case}, {kind}"] / found[f"encoder{padding}, {kind}"]
                    name = f"{case}: {kind} to the encoder's{padding}"
                    yield Line(name, ratio, "", f"at most {limit}", limit)
            share = found[f"{case}, data"] / found[f"{case}, training"]
            yield Line(f"{case}: sampling and collation, of a training step", share, "", "at most 0.03", 0.03)
            yield Line(f"{case}: training step of {BATCH_SIZE} documents, CPU", found[f"{case}, training"], "s")
            yield Line(f"{case}: inference of {EXTRACTED} documents, CPU", found[f"{case}, inference"], "s")


def of_cases(cases: Sequence[Mapping[str, Any]], rounds: int) -> dict[str, float]:
    """CPU seconds of cases of one size, the least of all rounds, in each of which everything has its turn."""
    torch.set_num_threads(1)
    material = workload.material()
    documents = material.natural(EXTRACTED)
    settings = TrainingSettings(batch_size=BATCH_SIZE)
    nets = {case: workload.network(case, material.labels) for case in (Case(**one) for one in cases)}
    first = next(iter(nets.values()))
    alone = workload.EncoderTraining(first, settings)
    work: dict[str, Callable[[], object]] = {}
    for padding, laid_out in (("", workload.padded), (" without padding", workload.bare)):
        trained, extracted = laid_out(first, documents[:BATCH_SIZE]), laid_out(first, documents)
        work[f"encoder{padding}, training"] = partial(alone.step, trained)
        work[f"encoder{padding}, inference"] = partial(encode, first, extracted)
    for case, net in nets.items():
        training = workload.Training(net, documents[:BATCH_SIZE], settings)
        work[f"{case}, training"] = partial(training.step, training.batch())
        work[f"{case}, inference"] = partial(extract, net, documents)
        work[f"{case}, data"] = training.batch
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
    """The least CPU seconds of each, of several rounds; the first is slower, as memory is asked for."""
    least = dict.fromkeys(work, float("inf"))
    for _ in range(rounds):
        for name, one in work.items():
            began = time.process_time()
            one()
            least[name] = min(least[name], time.process_time() - began)
    return least
