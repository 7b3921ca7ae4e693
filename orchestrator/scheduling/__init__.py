"""Many trials: side by side through Ray Tune, or one after another in this process.

A backend has two functions. `prepare` reads and encodes data before the trials. `run` takes trials from the queue until
it is done or an interruption is requested, tells the listener, and returns once each that was started has a record that
is no longer `running`. Neither raises for a trial that fails; `BackendDied` says that the backend itself is gone, with
the trials that it ran back in the queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from orchestrator.events import Listener
from orchestrator.interrupts import Interrupts
from orchestrator.preflight import Machine
from orchestrator.scheduling.queue import Queue
from orchestrator.store import TrialRecord
from orchestrator.trainables import Surroundings, Trainable
from orchestrator.trial import Job

BackendName = Literal["ray", "inline"]


class BackendDied(Exception):
    """What trials run on is gone; a new one can be started."""


class Backend(Protocol):
    """Where trials run."""

    @property
    def machine(self) -> Machine:
        """What one trial can be given."""
        ...

    def prepare(self, trainable: Trainable, values: Mapping[str, Any], where: Surroundings) -> None: ...

    def run(self, queue: Queue, listener: Listener, interrupts: Interrupts) -> None: ...


def settle(job: Job, record: TrialRecord, queue: Queue, listener: Listener) -> None:
    """Hand a record back to the queue, and tell what comes of it."""
    why = queue.ended(job, record)
    if why is None:
        listener.ended(job, record)
    else:
        listener.retried(job, record, why)
