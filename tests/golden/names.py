"""The recorded names of weights, and ours."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

RECORDED_TO_OURS = [
    (r"memory\.(entity|relation)", r"memories.\1"),
    (r"read\.(tokens|mentions)\.(entity|relation)\.weight", r"read.\1.similarity.\2.weight"),
    (r"similarity\.(entity|relation)\.weight", r"\1_classifier.similarity.weight"),
    (r"relation\.(?:global|multi_instance)\.(.*)", r"pairs.\1"),
    (r"relation\.type_embedding\.weight", r"type_vectors.table.weight"),
    (r"(entity|relation)\.(hidden|output)\.(weight|bias)", r"\1_classifier.\2.\3"),
    (r"((?:mention|coreference)\..*)", r"\1"),
]


def ours(recorded: str) -> str:
    for pattern, name in RECORDED_TO_OURS:
        if re.fullmatch(pattern, recorded):
            return re.sub(pattern, name, recorded)
    raise KeyError(f"no weight of ours is known for {recorded!r}")


def layout(recorded: str, value: Tensor) -> Tensor:
    """Read matrices are recorded as [h, s]; ours are [s, h], as those of the classifiers."""
    return value.T if recorded.startswith("read.") else value


def load(module: nn.Module, recorded: dict[str, Tensor]) -> None:
    """Set all weights; each of ours must be recorded, and each recorded one be ours."""
    weights = {ours(name): layout(name, value) for name, value in recorded.items()}
    module.load_state_dict(weights, strict=True)


def gradients(module: nn.Module, names: list[str]) -> dict[str, Tensor]:
    """Gradients by recorded name and in the recorded layout; one that is absent is zero."""
    parameters = dict(module.named_parameters())
    found = {}
    for name in names:
        parameter = parameters[ours(name)]
        gradient = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        found[name] = layout(name, gradient)
    return found
