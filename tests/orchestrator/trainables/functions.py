"""Functions of other people's packages: good ones and bad ones."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

NO_FUNCTION = 3
SCORE = {"test/accuracy": 0.5}


def learns(settings, seed, folder, report):
    """Its score is known beforehand: 10 times its rate, plus the seed."""
    score = 10 * settings["rate"] + seed
    for epoch in range(1, settings["epochs"] + 1):
        report({"epoch": epoch, "metrics": {"dev/accuracy": score - 1 + epoch, "loss": 1 / epoch}})
    settings["rate"] = "changed by the function"
    (folder / "predictions").mkdir(exist_ok=True)
    (folder / "predictions" / "test.json").write_text("[]")
    metrics = {"dev/accuracy": score + settings["epochs"] - 1, "test/accuracy": score}
    return {"metrics": metrics, "selected_epoch": settings["epochs"], "size": Path("of no meaning")}


def goes_on(settings, seed, folder, report):
    """Is cut short in its second epoch, and the next time tells that one again."""
    state = folder / "last" / "epoch"
    done = int(state.read_text()) if state.exists() else 0
    for epoch in range(done + 1, 4):
        report({"epoch": epoch, "metrics": {"dev/accuracy": epoch + done / 10}})
        if epoch == 2 and not done:
            raise KeyboardInterrupt
        state.parent.mkdir(exist_ok=True)
        state.write_text(str(epoch))
    return {"metrics": SCORE}


def asks(settings, seed, folder, report, *, data, device, threads, cache, unrelated=1):
    return {"metrics": SCORE, "asked": [str(data), device, threads, str(cache), unrelated]}


def asks_too_much(settings, seed, folder, report, *, memory):
    return {"metrics": SCORE}


def takes_two(settings, seed):
    return {"metrics": SCORE}


def leaves(settings, seed, folder, report):
    sys.exit("usage: …")


def waits(settings, seed, folder, report):
    (folder / "last").mkdir(exist_ok=True)
    report({"epoch": 1, "metrics": {"dev/accuracy": 1.0}})
    if settings.get("waits"):
        time.sleep(30)
    return {"metrics": SCORE}


def returns(settings, seed, folder, report):
    return json.loads(settings["what"])


def reports(settings, seed, folder, report):
    report(json.loads(settings["what"]))
    return {"metrics": SCORE}


class Trainer:
    def __call__(self, settings, seed, folder, report):
        return {"metrics": SCORE}

    @staticmethod
    def train(settings, seed, folder, report):
        return {"metrics": SCORE}
