"""The device that a trial computes on, and how much of its memory the trial takes."""

from __future__ import annotations

import torch

LARGEST_CONTEXT = 2**30
"""Bytes; a CUDA context with the kernels of torch takes about half of it."""


def resolve_device(device: str) -> torch.device:
    """`auto` is a GPU where there is one. Raises ValueError for a GPU where there is none."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    place = torch.device(device)
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {device}, but torch {torch.__version__} sees no GPU; use cpu or auto")
    return place


def reset_peak_memory(device: torch.device) -> None:
    """Give back what earlier trials of this process left, so that `memory` tells of what comes now."""
    if device.type == "cuda":
        torch.cuda.init()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def memory(device: torch.device) -> dict[str, int]:
    """`peak_memory_bytes` since `reset_peak_memory`, and `device_memory_bytes`, all that there is; of a CPU nothing.

    The peak is the most that torch's allocator held, and what this process occupies beside it, its CUDA context. The
    context is what is in use on the device and not the allocator's. Other processes on the device are part of that and
    cannot be told apart, so it counts as no more than `LARGEST_CONTEXT`.
    """
    if device.type != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info(device)
    beside = total - free - torch.cuda.memory_reserved(device)
    return {
        "peak_memory_bytes": torch.cuda.max_memory_reserved(device) + min(beside, LARGEST_CONTEXT),
        "device_memory_bytes": total,
    }
