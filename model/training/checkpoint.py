"""Checkpoints: weights in safetensors, everything else in JSON. Nothing in them is code.

model.safetensors      all weights, float32; of a frozen encoder those beside it
frozen.safetensors     the weights of a frozen encoder: one file for all checkpoints of a trial, as they do not change
checkpoint.json        settings, labels, encoder configuration, epoch, step, whether the memories are read
tokenizer/             the tokenizer
training.safetensors   only to resume from: state of the optimiser and of the random generators
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from model.cache import sync_files
from model.data.labels import Labels
from model.encoder import vocabulary_of
from model.joint.network import Network
from model.settings import JerexSettings

FORMAT = 1
WEIGHTS, FROZEN = "model.safetensors", "frozen.safetensors"


@dataclass(frozen=True)
class Progress:
    """How far training had come."""

    epoch: int
    """Epochs that are finished."""
    step: int
    """Optimiser steps that are done."""
    reading: bool
    """Whether the memories are read."""


def save(
    folder: Path,
    network: Network,
    tokenizer: PreTrainedTokenizerFast,
    progress: Progress,
    extra: dict[str, Any],
    optimiser: torch.optim.Optimizer | None = None,
) -> None:
    """Write a checkpoint so that the folder holds either the old or the new one. `optimiser`: to resume from it."""
    new, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    for left in (new, old):
        if left.exists():
            shutil.rmtree(left)
    new.mkdir(parents=True)
    is_frozen = not network.settings.encoder.train
    frozen = {name for name, _ in network.encoder.named_parameters(prefix="encoder") if is_frozen}
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file({name: value for name, value in weights.items() if name not in frozen}, new / WEIGHTS)
    if frozen:
        _save_once({name: weights[name] for name in frozen}, new / FROZEN, folder.parent)
    description = {
        "format": FORMAT,
        "settings": network.settings.model_dump(mode="json"),
        "labels": asdict(network.labels),
        "encoder": network.encoder.config.to_dict(),
        **asdict(progress),
        **extra,
    }
    (new / "checkpoint.json").write_text(json.dumps(description, indent=1), encoding="utf-8")
    tokenizer.save_pretrained(str(new / "tokenizer"))
    if optimiser is not None:
        save_file(_training_state(network, optimiser), new / "training.safetensors")
    sync_files(new)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    if old.exists():
        shutil.rmtree(old)


def put_aside(folder: Path) -> None:
    """Take a checkpoint out of use, at once and so that `recover` would find it again."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)


def recover(folder: Path) -> bool:
    """Whether there is a checkpoint; undoes `put_aside`, and a `save` that was interrupted between its two renames."""
    old = folder.with_name(f".{folder.name}.old")
    if not folder.exists() and old.exists():
        old.rename(folder)
    return (folder / "checkpoint.json").is_file()


def describe(folder: Path) -> dict[str, Any]:
    """What checkpoint.json says. Raises ValueError where it is missing or of another format."""
    path = folder / "checkpoint.json"
    if not path.is_file():
        raise ValueError(f"{folder} is no checkpoint: it has no checkpoint.json")
    description = json.loads(path.read_text(encoding="utf-8"))
    if description.get("format") != FORMAT:
        raise ValueError(f"{path}: format {description.get('format')!r}, expected {FORMAT}")
    return description


def labels_of(description: dict[str, Any]) -> Labels:
    """The types of a network, from what `describe` returned."""
    return Labels(
        tuple(description["labels"]["entity_types"]),
        tuple(description["labels"]["relation_types"]),
        description["labels"]["relation_names"],
    )


def load_network(folder: Path) -> tuple[Network, PreTrainedTokenizerFast]:
    """A trained network, ready to extract, that reads its memories as it did when it was saved. Needs no other file."""
    description = describe(folder)
    settings = JerexSettings.model_validate(description["settings"])
    tokenizer = AutoTokenizer.from_pretrained(str(folder / "tokenizer"))
    network = Network(settings, labels_of(description), vocabulary_of(tokenizer), description["encoder"])
    load_weights(folder, network)
    return network.eval(), tokenizer


def load_weights(folder: Path, network: Network) -> Progress:
    """Put the weights of a checkpoint into a network of the same settings, and say how far they were trained."""
    description = describe(folder)
    network.load_state_dict(weights_of(folder, network.device))
    progress = Progress(description["epoch"], description["step"], description["reading"])
    network.joint.reading = progress.reading
    return progress


def weights_of(folder: Path, device: torch.device) -> dict[str, torch.Tensor]:
    """All weights of a checkpoint."""
    frozen = folder / FROZEN
    rest = load_file(folder / WEIGHTS, device=str(device))
    return rest | (load_file(frozen, device=str(device)) if frozen.is_file() else {})


def _save_once(weights: dict[str, torch.Tensor], file: Path, trial: Path) -> None:
    """A file that a whole checkpoint of the trial has already is linked; where the disk has no links it is written."""
    for other in (trial / "checkpoint" / FROZEN, trial / "last" / FROZEN):
        try:
            os.link(other, file)
        except OSError:
            continue
        return
    save_file(weights, file)


def _training_state(network: Network, optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    state = {"generator.cpu": torch.get_rng_state()}
    if network.device.type == "cuda":
        state["generator.cuda"] = torch.cuda.get_rng_state(network.device)
    for name, parameter in network.named_parameters():
        for key, value in optimiser.state.get(parameter, {}).items():
            state[f"optimiser.{name}/{key}"] = torch.as_tensor(value)
    return state


def load_training_state(folder: Path, network: Network, optimiser: torch.optim.Optimizer) -> None:
    """Put optimiser and random generators back to where they were when the checkpoint was saved."""
    state = load_file(folder / "training.safetensors")
    parameters = dict(network.named_parameters())
    for key, value in state.items():
        if key.startswith("optimiser."):
            name, part = key.removeprefix("optimiser.").rsplit("/", 1)
            optimiser.state[parameters[name]][part] = value.to(network.device)
    torch.set_rng_state(state["generator.cpu"])
    if network.device.type == "cuda" and "generator.cuda" in state:
        torch.cuda.set_rng_state(state["generator.cuda"], network.device)
