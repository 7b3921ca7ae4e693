"""Does a training step ask a GPU for a number, and wait for all that was begun before?

Seen on a CPU as well: such questions are operations of their own in the profiler's list, whatever the device.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from model.settings import TrainingSettings
from tests.benchmarks import workload
from tests.benchmarks.measuring import Line, in_a_process
from tests.benchmarks.workload import Size

ASKS = ("aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::nonzero", "aten::masked_select",
        "aten::_unique2", "aten::unique_dim", "aten::repeat_interleave", "aten::bincount", "aten::equal",
        "cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")  # fmt: skip
"""Operations whose result, or its size, the host has to know before it can go on."""


def measure(size: Size = "small") -> list[Line]:
    found = in_a_process("waits:of_size", size=size)
    return [Line(f"{case}: waits for the device in a training step", n, "", "none", 0.0) for case, n in found.items()]


def of_size(size: Size) -> dict[str, int]:
    return {str(case): sum(of_case(**asdict(case)).values()) for case in workload.cases(size)}


def of_case(**case: Any) -> dict[str, int]:
    """How often each such operation is called."""
    torch.set_num_threads(1)
    material = workload.material()
    net = workload.network(workload.Case(**case), material.labels)
    training = workload.Training(net, material.natural(2), TrainingSettings())
    batch = training.batch()
    training.step(batch)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        training.step(batch)
    return dict(Counter(event.name for event in seen.events() or () if event.name in ASKS and not _is_counting(event)))


def _is_counting(event: Any) -> bool:
    """On a CPU the fused optimiser reads of every weight how many steps it has taken; a GPU's kernel does it there."""
    while event is not None:
        if event.name == "aten::_fused_adamw_":
            return True
        event = event.cpu_parent
    return False
