"""Which trial is next, with what, and whether one that failed comes back.

A backend takes from the queue as long as it has room, and hands every record back. A trial that failed for a reason
that may pass waits again at the end; one that ran out of memory comes back alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.failures import is_retried
from orchestrator.identity import canonical
from orchestrator.scheduling.shares import GpuShares
from orchestrator.schema import MEASURED, Resources
from orchestrator.store import TrialRecord
from orchestrator.trial import Job

RETRIES = 2
"""Attempts after the first, for each trial of one run."""


@dataclass(frozen=True)
class Start:
    """A trial to be started now."""

    job: Job
    gpus: float
    alone: bool
    """With a whole GPU, or without one a whole machine, to itself."""


class Queue:
    """The trials of a run that have not ended."""

    def __init__(
        self, jobs: Iterable[Job], resources: Resources, *, retries: int = RETRIES, shares: GpuShares | None = None
    ) -> None:
        self.resources = resources
        self.shares = shares or GpuShares()
        self.stopped: str | None = None
        """Why nothing more is started, if so."""
        self.n_ended = 0
        self._waiting: deque[tuple[Job, bool]] = deque((job, False) for job in jobs)
        self._in_flight: dict[str, tuple[Job, bool]] = {}
        self._left: dict[str, int] = {}
        self._retries = retries

    def next(self) -> Start | None:
        """The next trial; `None` if none waits, or nothing more is to be started."""
        if self.stopped is not None or not self._waiting:
            return None
        job, alone = self._waiting.popleft()
        self._in_flight[job.key] = (job, alone)
        return Start(job, self._gpus(job, alone), alone)

    def ended(self, job: Job, record: TrialRecord) -> str | None:
        """Take a trial back that was started. Why it will be started again, if it will."""
        self._in_flight.pop(job.key, None)
        self.n_ended += record.status == "finished"
        self.shares.learn(canonical(job.settings), record)
        failure = record.failure
        if record.status != "failed" or failure is None:
            return None
        if failure.cause == "disk":
            self.stopped = f"the disk is full ({failure.message}): make room, and the same command goes on from here"
        left = self._left.setdefault(job.key, self._retries)
        if not is_retried(failure.cause) or not left or self.stopped is not None:
            return None
        self._left[job.key] = left - 1
        alone = failure.cause == "memory" or record.alone
        self._waiting.append((job, alone))
        with_what = (", with a whole GPU" if self.resources.most_gpus else ", alone") if alone else ""
        return f"{failure.cause}: {failure.message.splitlines()[0] if failure.message else failure.kind}{with_what}"

    def put_back(self, job: Job) -> None:
        """Return a trial that was taken and never started, to be the next."""
        taken = self._in_flight.pop(job.key, None)
        if taken is not None:
            self._waiting.appendleft(taken)

    @property
    def waiting(self) -> tuple[Job, ...]:
        return tuple(job for job, _ in self._waiting)

    @property
    def n_waiting(self) -> int:
        return len(self._waiting)

    @property
    def in_flight(self) -> tuple[Job, ...]:
        return tuple(job for job, _ in self._in_flight.values())

    @property
    def is_done(self) -> bool:
        """Nothing waits and nothing is in flight."""
        return not self._in_flight and (not self._waiting or self.stopped is not None)

    def _gpus(self, job: Job, alone: bool) -> float:
        if self.resources.gpus != MEASURED:
            gpus = float(self.resources.gpus)
            return max(gpus, 1.0) if alone and gpus else gpus
        return 1.0 if alone else self.shares.of(canonical(job.settings))
