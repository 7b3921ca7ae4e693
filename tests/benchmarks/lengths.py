"""Documents of 100 to 2,000 words: does the cost of one grow faster than its encoder's?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from model.settings import TrainingSettings
from tests.benchmarks import ratios, workload
from tests.benchmarks.measuring import Line, in_a_process
from tests.benchmarks.workload import Case, Size

WORDS = (100, 500, 2000)


def measure(size: Size = "small", words: Sequence[int] = WORDS, rounds: int = 4) -> Iterator[Line]:
    case = Case(size, "MRC", True)
    found = {n: in_a_process("lengths:of_length", size=size, words=n, rounds=rounds) for n in words}
    shortest, longest = min(words), max(words)
    for kind, limit in (("training", ratios.IN_TRAINING[size]), ("inference", ratios.AT_INFERENCE[size])):
        to_encoder = {n: of[kind] / of[f"encoder, {kind}"] for n, of in found.items()}
        for n, ratio in to_encoder.items():
            seconds = found[n][kind]
            what = f"{case}, a document of {n} words: {kind}"
            yield Line(f"{what}, CPU", seconds, "s")
            yield Line(f"{what} to the encoder's", ratio, "", f"at most {limit}", limit)
        growth = to_encoder[longest] / to_encoder[shortest]
        what = f"{case}: growth of {kind} from {shortest} to {longest} words, to the encoder's growth"
        yield Line(what, growth, "", "at most 1", 1.0)


def of_length(size: Size, words: int, rounds: int) -> dict[str, float]:
    """CPU seconds for one document."""
    torch.set_num_threads(1)
    material = workload.material()
    documents = material.of_length(words, 1)
    settings = TrainingSettings(batch_size=1)
    net = workload.network(Case(size, "MRC", True), material.labels)
    limit = workload.EncoderTraining(net, settings)
    training = workload.Training(net, documents, settings)
    batch = training.batch()
    windows = workload.padded(net, documents)
    return ratios.least_cpu(
        {
            "encoder, training": lambda: limit.step(windows),
            "training": lambda: training.step(batch),
            "encoder, inference": lambda: ratios.encode(net, windows),
            "inference": lambda: ratios.extract(net, documents),
        },
        rounds,
    )
