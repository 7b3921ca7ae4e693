"""A model that costs nothing: scores are a function of settings and seed, so that tests know them beforehand.

It behaves as `model.training.run` does: reports after each epoch, keeps its state in `last` and goes on from there,
leaves a checkpoint, predictions and a history; after a first phase it scores by what that has left. The
`batch_size` of its training tells it how to behave.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from model.settings import ExperimentSettings
from orchestrator.trainables.model import Model
from reports.settings import METRICS

STANDIN = Model("tests.orchestrator.standin:run", "tests.orchestrator.standin:prepare")

RAISES, NO_NUMBER, SLOW, DIES, WITHOUT_SCORES, DIES_ONCE, NO_MEMORY_ONCE, GPU, RAISES_ONCE = range(90, 99)
"""Values of `training.batch_size` with which a trial fails, scores NaN, takes 15 seconds for its first epoch, kills
its process, forgets its scores; kills its process or runs out of memory in its first attempt; takes three tenths of a
GPU's memory, some seconds, and tells which GPU it was given; fails in its first attempt."""

log = logging.getLogger("model")


def prepare(settings: ExperimentSettings, *, data: Sequence[Path], cache: Path) -> dict[str, Any]:
    marker = cache / "prepared.txt"
    with marker.open("a") as file:
        file.write(settings.data.model_dump_json() + "\n")
    return {"data_digest": "", "documents": {}, "notes": []}


def score(settings: ExperimentSettings, seed: int, epoch: int) -> float:
    return 40 + 10 * settings.model.memory.warmup_proportion + seed + 0.1 * epoch


def left(seed: int, epochs: int) -> float:
    """What a first phase adds to the scores of the second."""
    return 5 + 0.5 * seed + 0.01 * epochs


def _is_first(folder: Path) -> bool:
    """Whether nothing has failed in this folder yet; from now on something has."""
    marker = folder / "failed-once"
    if marker.exists():
        return False
    marker.touch()
    return True


def run(
    settings: ExperimentSettings,
    seed: int,
    folder: Path,
    *,
    data: Sequence[Path],
    cache: Path,
    device: str = "auto",
    threads: int | None = None,
    report: Callable[[dict[str, Any]], None],
    first_phase: Path | None = None,
) -> dict[str, Any]:
    assert (settings.pretraining is None) == (first_phase is None)
    given = 0.0 if first_phase is None else json.loads((first_phase / "checkpoint" / "weights.json").read_text())
    behaviour = settings.training.batch_size
    history: list[dict[str, Any]] = []
    last = folder / "last" / "epoch.json"
    if last.exists():
        history = json.loads(last.read_text())
        log.info("resuming after epoch %d", len(history))
    for epoch in range(len(history) + 1, settings.training.epochs + 1):
        if behaviour == RAISES or (behaviour == RAISES_ONCE and _is_first(folder)):
            raise ValueError("the loss is not finite")
        if behaviour == DIES or (behaviour == DIES_ONCE and epoch == 2 and _is_first(folder)):
            os._exit(9)
        if behaviour == NO_MEMORY_ONCE and epoch == 2 and _is_first(folder):
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
        metrics = {name: given + score(settings, seed, epoch) for name in METRICS if name.startswith("dev/")}
        metrics["loss/total"] = 1 / epoch
        history.append({"epoch": epoch, "step": epoch, "metrics": metrics})
        (folder / "history.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in history))
        last.parent.mkdir(exist_ok=True)
        last.write_text(json.dumps(history))
        report({"epoch": epoch, "metrics": metrics})
        log.info("epoch %d done", epoch)
        if behaviour in (SLOW, GPU) and epoch == 1:
            time.sleep(15 if behaviour == SLOW else 3)
    for name in ("predictions", "checkpoint"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "dev.json").write_text("[]")
    (folder / "checkpoint" / "weights.json").write_text(json.dumps(left(seed, settings.training.epochs)))
    last.unlink()
    last.parent.rmdir()
    final = given + score(settings, seed, settings.training.epochs)
    scores = {name: final - (1.0 if name.startswith("test/") else 0.0) for name in METRICS}
    if behaviour == NO_NUMBER:
        scores["test/relation_strict_f1"] = float("nan")
    memory = {"peak_memory_bytes": 30 * 2**30, "device_memory_bytes": 100 * 2**30} if behaviour == GPU else {}
    return {
        **memory,
        "visible_gpus": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        "metrics": {} if behaviour == WITHOUT_SCORES else scores,
        "selected_epoch": settings.training.epochs,
        "process": os.getpid(),
        "threads": threads,
        "device": device,
    }
