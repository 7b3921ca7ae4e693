"""Trials one after another in this process: for debugging, continuous integration and machines without Ray."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.events import Listener
from orchestrator.interrupts import Interrupts
from orchestrator.preflight import Machine
from orchestrator.scheduling import settle
from orchestrator.scheduling.queue import Queue
from orchestrator.trainables import Report, Surroundings, Trainable
from orchestrator.trial import Job, cut_off, failure_of, run_trial


class Inline:
    """This process. Ctrl-C reaches the trial as KeyboardInterrupt."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def prepare(self, trainable: Trainable, values: Mapping[str, Any], where: Surroundings) -> None:
        trainable.prepare(values, where)

    def run(self, queue: Queue, listener: Listener, interrupts: Interrupts) -> None:
        while not interrupts.requested and (start := queue.next()) is not None:
            job = start.job
            listener.started(job)
            try:
                record = run_trial(job, _reporting(job, listener), alone=start.alone)
            except KeyboardInterrupt:
                interrupts.requested = True
                record = cut_off(job, "interrupted")
            except OSError as error:
                record = cut_off(job, "failed", failure_of(error))
            settle(job, record, queue, listener)


def _reporting(job: Job, listener: Listener) -> Report:
    return lambda given: listener.epoch(job, given["epoch"], given["metrics"])
