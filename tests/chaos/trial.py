"""A trial that costs little and keeps its state on disk, and whose result tells whether that state was right.

The state is a row of 64-bit words; each epoch mixes it many times. A state that is torn, old or lost gives other
scores, as every score hangs on all that was before it. What is done is also noted outside the home, in the ledger
(`CHAOS_LEDGER`), by which the suite knows which process worked at which trial when.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

N_WORDS = 64
_MASK = 2**64 - 1
log = logging.getLogger("orchestrator.trial.chaos")


def train(settings: dict[str, Any], seed: int, folder: Path, report: Callable[[dict[str, Any]], None]) -> dict:
    """Epochs of `settings["epoch_s"]` seconds, the best of which is selected."""
    note = _ledger(settings["gain"], seed)
    state = _load(folder / "last" / "state.json") or _first(settings["gain"], seed)
    if state["epoch"]:
        log.info("resuming after epoch %d", state["epoch"])
    note("began", state["epoch"])
    for epoch in range(state["epoch"] + 1, settings["epochs"] + 1):
        sys.audit("chaos.epoch", f"gain {settings['gain']} seed {seed} epoch {epoch} begins")
        for _ in range(_PIECES):
            state["words"] = mixed(state["words"])
            time.sleep(settings["epoch_s"] / _PIECES)
        metrics = scores(state["words"], settings["gain"])
        note("epoch", epoch)
        state["epoch"] = epoch
        if metrics["dev/score"] > state["best"]["metrics"]["dev/score"]:
            state["best"] = {"epoch": epoch, "metrics": metrics}
            (folder / "checkpoint").mkdir(exist_ok=True)
            _write(folder / "checkpoint" / "weights.json", state["words"])
        # first the history, then the state: an epoch of which nothing is known is never taken as done
        report({"epoch": epoch, "metrics": metrics})
        if epoch < settings["epochs"]:
            (folder / "last").mkdir(exist_ok=True)
            _write(folder / "last" / "state.json", state)
        log.info("epoch %d done", epoch)
    note("ended", state["epoch"])
    return {"metrics": state["best"]["metrics"], "selected_epoch": state["best"]["epoch"], "process": os.getpid()}


_PIECES = 10


def mixed(words: list[int]) -> list[int]:
    """One step of a mixing that lets every word hang on its neighbours."""
    new = list(words)
    for i in range(len(new)):
        word = (new[i] ^ (new[i - 1] << 13)) & _MASK
        new[i] = (word * 6364136223846793005 + new[(i + 7) % len(new)] + 1442695040888963407) & _MASK
    return new


def scores(words: list[int], gain: float) -> dict[str, float]:
    return {
        "dev/score": 100 * (words[0] / 2**64) * gain,
        "test/score": 100 * (words[-1] / 2**64) * gain,
        "loss/total": words[N_WORDS // 2] / 2**64,
    }


def _first(gain: float, seed: int) -> dict[str, Any]:
    words = [(seed * 1_000_003 + int(gain * 1000) * 7919 + i) & _MASK for i in range(N_WORDS)]
    return {"epoch": 0, "words": words, "best": {"epoch": 0, "metrics": {"dev/score": -1.0}}}


def _load(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def _write(path: Path, content: Any) -> None:
    new = path.with_suffix(".new")
    with new.open("w") as file:
        # in pieces, so that there is a middle of it
        text = json.dumps(content)
        for start in range(0, len(text), 256):
            file.write(text[start : start + 256])
            file.flush()
    new.replace(path)


def _ledger(gain: float, seed: int) -> Callable[[str, int], None]:
    path = os.environ.get("CHAOS_LEDGER")

    def note(what: str, epoch: int) -> None:
        if path:
            line = json.dumps([time.time(), os.getpid(), gain, seed, what, epoch]) + "\n"
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, line.encode())
            os.close(file)

    return note
