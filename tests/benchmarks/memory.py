"""How much memory a step takes beyond what weights, gradients and the optimiser need; of a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from model.settings import TrainingSettings
from tests.benchmarks import ratios, workload
from tests.benchmarks.measuring import Line, in_a_process
from tests.benchmarks.workload import Case

MIB = 2**20
CASES = [case for case in workload.CASES if case.size == "base" or case.memory]
RELEASED_GIB = 4.4
"""Peak of the released implementation, training base MRC with batches of 2 on such documents."""


def measure(cases: Sequence[Case] = CASES) -> Iterator[Line]:
    for case in cases:
        found = {name: n / MIB for name, n in in_a_process("memory:of_case", **asdict(case)).items()}
        limit = RELEASED_GIB * 1024 / 3 if (case.size, case.pairs) == ("base", "MRC") else None
        goal = f"at most a third of {RELEASED_GIB} GiB" if limit is not None else ""
        yield Line(f"{case}: memory of a training step, beyond", found["training"], "MiB", goal, limit)
        yield Line(f"{case}: memory of inference, beyond weights", found["inference"], "MiB")
        yield Line(f"{case}: weights, gradients and optimiser", found["state"], "MiB")
    for case in {case.size: case for case in cases}.values():
        found = in_a_process("memory:of_case", **asdict(case), alone=True)
        yield Line(f"{case.size}: memory of a training step of the encoder alone", found["training"] / MIB, "MiB")


def of_case(alone: bool = False, **case: Any) -> dict[str, float]:
    """Bytes that the process holds at most, beyond those it has before and those of gradients and optimiser; and the
    bytes of weights, gradients and optimiser. `alone`: of the encoder."""
    torch.set_num_threads(1)
    material = workload.material()
    documents = material.natural(ratios.EXTRACTED)
    settings = TrainingSettings(batch_size=ratios.BATCH_SIZE)
    net = workload.network(Case(**case), material.labels)
    before = _resident("VmRSS")
    if alone:
        encoder = workload.EncoderTraining(net, settings)
        windows = workload.padded(net, documents[: ratios.BATCH_SIZE])
        most, optimiser = _most(lambda: [encoder.step(windows) for _ in range(2)]), encoder.optimiser
        extracted = 0.0
    else:
        extracted = _most(lambda: ratios.extract(net, documents)) - before
        training = workload.Training(net, documents[: ratios.BATCH_SIZE], settings)
        batch = training.batch()
        most, optimiser = _most(lambda: [training.step(batch) for _ in range(2)]), training.optimiser
    trained = [p for group in optimiser.param_groups for p in group["params"]]
    came = _bytes(p.grad for p in trained if p.grad is not None)
    came += _bytes(value for state in optimiser.state.values() for value in state.values())
    return {"training": most - before - came, "inference": extracted, "state": _bytes(trained) + came}


def _bytes(tensors: Iterable[torch.Tensor]) -> float:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _most(work: Callable[[], object]) -> float:
    """Bytes that the process held at most while it worked."""
    Path("/proc/self/clear_refs").write_text("5")
    work()
    return _resident("VmHWM")


def _resident(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return float(line.split()[1]) * 1024
    raise RuntimeError(f"this system does not tell {name}")
