"""Which trial is next, with what, and whether one that failed comes back.

A backend takes from the queue as long as it has room, and hands every record back. A trial that failed for a reason
that may pass waits again at the end; one that ran out of memory comes back alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from orchestrator.failures import full_disk, is_retried
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


class Source(Protocol):
    """Where more trials come from once none waits: a search, which suggests the next one when there is room for it."""

    @property
    def n_left(self) -> int:
        """How many more there may be."""
        ...

    def next(self) -> Job | None:
        """`None` if there are no more. Raises OSError where it cannot be kept what comes next."""
        ...


class Queue:
    """The trials of a run that have not ended."""

    def __init__(
        self,
        jobs: Iterable[Job],
        resources: Resources,
        *,
        retries: int = RETRIES,
        shares: GpuShares | None = None,
        source: Source | None = None,
    ) -> None:
        self.resources = resources
        self.shares = shares or GpuShares()
        self.source = source
        self.stopped: str | None = None
        """Why nothing more is started, if so."""
        self.n_ended = 0
        self._waiting: deque[tuple[Job, bool]] = deque((job, False) for job in jobs)
        self._in_flight: dict[str, tuple[Job, bool]] = {}
        self._left: dict[str, int] = {}
        self._retries = retries

    def next(self) -> Start | None:
        """The next trial; `None` if none is ready, or nothing more is to be started."""
        if self.stopped is not None:
            return None
        at = self._first_ready()
        if at is None and (more := self._from_source()) is not None:
            at = len(self._waiting)
            self._waiting.append((more, False))
        if at is None:
            return None
        job, alone = self._waiting[at]
        del self._waiting[at]
        self._in_flight[job.key] = (job, alone)
        return Start(job, self._gpus(job, alone), alone)

    def ended(self, job: Job, record: TrialRecord) -> str | None:
        """Take a trial back that was started. Why it will be started again, if it will."""
        self._in_flight.pop(job.key, None)
        self.n_ended += record.status in ("finished", "pruned")
        self.shares.learn(canonical(job.settings), record)
        failure = record.failure
        if record.status != "failed" or failure is None:
            return None
        if failure.cause == "disk":
            self.stopped = full_disk(failure.message)
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
        return len(self._waiting) + self._n_left

    @property
    def in_flight(self) -> tuple[Job, ...]:
        return tuple(job for job, _ in self._in_flight.values())

    @property
    def is_done(self) -> bool:
        """Nothing waits and nothing is in flight."""
        return not self._in_flight and (not self.n_waiting or self.stopped is not None)

    @property
    def _n_left(self) -> int:
        return 0 if self.source is None else self.source.n_left

    def _from_source(self) -> Job | None:
        try:
            return None if self.source is None else self.source.next()
        except OSError as error:
            self.stopped = f"the next trial cannot be written down ({error}); the same command goes on from here"
            return None

    def _first_ready(self) -> int | None:
        """The first in line; where memory is measured, not one whose variant is being measured right now."""
        if self.resources.gpus != MEASURED:
            return 0 if self._waiting else None
        measured = {canonical(job.settings) for job in self.in_flight}
        for at, (job, alone) in enumerate(self._waiting):
            settings = canonical(job.settings)
            if alone or settings not in measured or self.shares.has(settings):
                return at
        return None

    def _gpus(self, job: Job, alone: bool) -> float:
        if self.resources.gpus != MEASURED:
            gpus = float(self.resources.gpus)
            return max(gpus, 1.0) if alone and gpus else gpus
        return 1.0 if alone else self.shares.of(canonical(job.settings))
