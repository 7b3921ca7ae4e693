"""Which trial is next, with what, and whether one that failed comes back.

A backend takes from the queue as long as it has room, and hands every record back. A trial that failed for a reason
that may pass waits again at the end; one that ran out of memory comes back alone.

A trial of two phases is not handed out before its first phase has finished with its checkpoint there. First phases that
have to be run come into the queue with the trials that need them, once for all of those and before the others. Where
one comes to another end, the trials that need it leave the queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from orchestrator.failures import full_disk, is_retried
from orchestrator.identity import canonical
from orchestrator.scheduling.shares import GpuShares
from orchestrator.schema import MEASURED, Resources
from orchestrator.store import TrialRecord, has_checkpoint, read_record
from orchestrator.trial import Job

RETRIES = 2
"""Attempts after the first, for each trial of one run."""


_Standing = Literal["open", "there", "gone"]


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
        self._waiting: deque[tuple[Job, bool]] = deque()
        self._in_flight: dict[str, tuple[Job, bool]] = {}
        self._left: dict[str, int] = {}
        self._retries = retries
        self._first_phases: dict[str, _Standing] = {}
        # first phases at once, as others wait for them; one that has failed for good is only here to be run again
        jobs = sorted(jobs, key=lambda job: not job.is_first_phase)
        for job in jobs:
            self._add_first_phase(job)
        for job in jobs:
            if not job.is_first_phase:
                self._add(job)

    def next(self) -> Start | None:
        """The next trial; `None` if none is ready, or nothing more is to be started."""
        if self.stopped is not None:
            return None
        at = self._first_ready()
        # what is suggested while others wait for their first phase would be suggested without what those will tell
        if at is None and not self._some_wait_for_a_first_phase and (more := self._from_source()) is not None:
            if not self._add(more):
                self.stopped = f"the trial that {more.variant} starts from ({more.needs}) has not finished"
                return None
            at = self._first_ready()
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
        why = self._why_again(job, record)
        if why is None and job.key in self._first_phases:
            self._end_first_phase(job, record)
        return why

    def _why_again(self, job: Job, record: TrialRecord) -> str | None:
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

    def _add(self, job: Job) -> bool:
        """Put a trial in line, behind its first phase; not if that has come to an end without a checkpoint."""
        self._add_first_phase(job)
        if job.first_phase is not None and self._first_phases[job.first_phase.key] == "gone":
            return False
        self._waiting.append((job, False))
        return True

    def _add_first_phase(self, job: Job) -> None:
        """Put the first phase of a trial in line, unless it was there already, or has failed for good before."""
        first = job if job.is_first_phase else job.first_phase
        if first is None or first.key in self._first_phases:
            return
        record = None if first is job else read_record(first.folder)
        if record is not None and record.has_failed_for_good:
            self._first_phases[first.key] = "gone"
            return
        self._first_phases[first.key] = "open"
        self._waiting.append((first, False))

    def _end_first_phase(self, job: Job, record: TrialRecord) -> None:
        if record.status == "finished" and has_checkpoint(job.folder):
            self._first_phases[job.key] = "there"
            return
        self._first_phases[job.key] = "gone"
        rest = [one for one in self._waiting if one[0].first_phase is None or one[0].first_phase.key != job.key]
        self._waiting = deque(rest)

    def _waits_for_a_first_phase(self, job: Job) -> bool:
        return job.first_phase is not None and self._first_phases[job.first_phase.key] != "there"

    @property
    def _some_wait_for_a_first_phase(self) -> bool:
        return any(self._waits_for_a_first_phase(job) for job, _ in self._waiting)

    def _first_ready(self) -> int | None:
        """The first in line that waits for no other; where memory is measured, not one whose variant is being measured
        right now."""
        measured = {canonical(job.settings) for job in self.in_flight} if self.resources.gpus == MEASURED else set()
        for at, (job, alone) in enumerate(self._waiting):
            if self._waits_for_a_first_phase(job):
                continue
            if self.resources.gpus != MEASURED:
                return at
            settings = canonical(job.settings)
            if alone or settings not in measured or self.shares.has(settings):
                return at
        return None

    def _gpus(self, job: Job, alone: bool) -> float:
        if self.resources.gpus != MEASURED:
            gpus = float(self.resources.gpus)
            return max(gpus, 1.0) if alone and gpus else gpus
        return 1.0 if alone else self.shares.of(canonical(job.settings))
