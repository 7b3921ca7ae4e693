"""How much memory a step takes beyond what weights, gradients and the optimiser need; of a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from model.settings import TrainingSettings
from tests.benchmarks import ratios, workload
from tests.benchmarks.measuring import Line, in_a_process
from tests.benchmarks.workload import Case

Kind = Literal["training", "encoder", "inference"]
MIB = 2**20
RELEASED_GIB = 4.4
"""Peak of the released implementation, training base MRC with batches of 2 on such documents."""


def measure(cases: Sequence[Case] = workload.CASES) -> list[Line]:
    lines = []
    for case in cases:
        found = {kind: in_a_process("memory:of_case", **asdict(case), kind=kind) for kind in get_args(Kind)}
        limit = RELEASED_GIB * 1024 / 3 if (case.size, case.pairs) == ("base", "MRC") else None
        goal = f"at most a third of {RELEASED_GIB} GiB" if limit is not None else ""
        lines += [
            Line(f"{case}: memory of a training step, beyond", found["training"][0] / MIB, "MiB", goal, limit),
            Line(f"{case}: the same of the encoder alone", found["encoder"][0] / MIB, "MiB"),
            Line(f"{case}: memory of inference, beyond weights", found["inference"][0] / MIB, "MiB"),
            Line(f"{case}: weights, gradients and optimiser", found["training"][1] / MIB, "MiB"),
        ]
    return lines


def of_case(kind: Kind, **case: Any) -> tuple[float, float]:
    """Bytes beyond what has to be there, and bytes that have to. Beyond is the most that the process held during three
    steps, less what it held before them and has of gradients and optimiser since."""
    torch.set_num_threads(1)
    material = workload.material()
    documents = material.natural(ratios.EXTRACTED)
    settings = TrainingSettings(batch_size=ratios.BATCH_SIZE)
    net = workload.network(Case(**case), material.labels)
    if kind == "inference":
        return _peak(lambda: ratios.extract(net, documents)), _bytes(net.parameters())
    training = workload.Training(net, documents[: ratios.BATCH_SIZE], settings)
    batch = training.batch()
    windows = [workload.padded(net, documents[: ratios.BATCH_SIZE])]
    if kind == "training":
        optimiser, step = training.optimiser, lambda: training.step(batch)
    else:
        alone = workload.EncoderTraining(net, settings)
        optimiser, step = alone.optimiser, lambda: alone.step(windows)
    most = _peak(lambda: [step() for _ in range(3)])
    trained = [p for group in optimiser.param_groups for p in group["params"]]
    came = _bytes(p.grad for p in trained if p.grad is not None)
    came += _bytes(value for state in optimiser.state.values() for value in state.values())
    return most - came, _bytes(trained) + came


def _bytes(tensors: Iterable[torch.Tensor]) -> float:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _peak(work: Callable[[], object]) -> float:
    """Bytes that the process held at most while it worked, more than before."""
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident("VmRSS")
    work()
    return _resident("VmHWM") - before


def _resident(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return float(line.split()[1]) * 1024
    raise RuntimeError(f"this system does not tell {name}")
