"""What happens to trials while a study runs, told in the driver, in order, to all who follow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from orchestrator.store import TrialRecord
from orchestrator.trial import Job


class Listener(Protocol):
    """Follows a study. It is called in the driver's main thread, and what it raises ends the study."""

    def started(self, job: Job) -> None: ...

    def epoch(self, job: Job, epoch: int, metrics: dict[str, float]) -> None: ...

    def retried(self, job: Job, record: TrialRecord, why: str) -> None:
        """An attempt has failed and another will follow: instead of `ended`."""
        ...

    def ended(self, job: Job, record: TrialRecord) -> None: ...


class Listeners:
    """Several listeners as one."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self.listeners = tuple(listeners)

    def started(self, job: Job) -> None:
        for listener in self.listeners:
            listener.started(job)

    def epoch(self, job: Job, epoch: int, metrics: dict[str, float]) -> None:
        for listener in self.listeners:
            listener.epoch(job, epoch, metrics)

    def retried(self, job: Job, record: TrialRecord, why: str) -> None:
        for listener in self.listeners:
            listener.retried(job, record, why)

    def ended(self, job: Job, record: TrialRecord) -> None:
        for listener in self.listeners:
            listener.ended(job, record)
