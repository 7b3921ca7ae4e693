"""Many trials: side by side through Ray Tune, or one after another in this process.

A backend has two functions. `prepare` reads and encodes data before the trials; `run` runs every job, tells the
listener, and returns once each job that was started has a record that is no longer `running`. Neither raises for a
trial that fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from model.settings import ExperimentSettings
from orchestrator.events import Listener
from orchestrator.interrupts import Interrupts
from orchestrator.trial import Job, Trainable

BackendName = Literal["ray", "inline"]


class Backend(Protocol):
    """Where trials run."""

    def prepare(
        self, trainable: Trainable, settings: ExperimentSettings, data: tuple[Path, ...], cache: Path
    ) -> dict: ...

    def run(self, jobs: Sequence[Job], listener: Listener, interrupts: Interrupts) -> None: ...
