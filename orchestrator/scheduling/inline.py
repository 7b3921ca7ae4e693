"""Trials one after another in this process: for debugging, continuous integration and machines without Ray."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.settings import ExperimentSettings
from orchestrator.events import Listener
from orchestrator.interrupts import Interrupts
from orchestrator.trial import Job, Trainable, cut_off, prepare, run_trial


class Inline:
    """This process. Ctrl-C reaches the trial as KeyboardInterrupt."""

    def prepare(
        self, trainable: Trainable, settings: ExperimentSettings, data: tuple[Path, ...], cache: Path
    ) -> dict[str, Any]:
        return prepare(trainable, settings, data, cache)

    def run(self, jobs: Sequence[Job], listener: Listener, interrupts: Interrupts) -> None:
        for job in jobs:
            if interrupts.requested:
                return
            listener.started(job)
            try:
                record = run_trial(job, _reporting(job, listener))
            except KeyboardInterrupt:
                interrupts.requested = True
                record = cut_off(job, "interrupted")
            listener.ended(job, record)


def _reporting(job: Job, listener: Listener) -> Any:
    return lambda given: listener.epoch(job, given["epoch"], given["metrics"])
