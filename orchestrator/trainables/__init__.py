"""What a study trains: our models, a function of an installed package, or a command.

The orchestrator knows a trainable by the protocol below and by nothing else. Before a trial it tells which settings it
has, what is wrong with them, and which data they read; in the trial's process it is run. A trainable is a value: it
can be sent to another process and is compared by what it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from orchestrator.overrides import SettingPath
from orchestrator.schema import CommandTrainable, FunctionTrainable, LoadedStudy

Report = Callable[[dict[str, Any]], None]
"""Takes {"epoch": int, "metrics": {name: float}}."""


@dataclass(frozen=True)
class Surroundings:
    """Where a trial runs. Nothing here can change a score."""

    data: tuple[Path, ...]
    """The data search path."""
    cache: Path
    """A folder that all trials of a home share."""
    device: str
    """`auto`, `cpu`, `cuda`."""
    threads: int
    first_phase: Path | None = None
    """The folder of the finished trial that a trial of two phases starts from."""


@dataclass(frozen=True)
class Permissions:
    """What the person who types the command allows a study file to have executed."""

    imports: bool = False
    commands: bool = False


@dataclass(frozen=True)
class FirstPhase:
    """A trial that has to be finished before another one, which starts from the checkpoint that it leaves."""

    settings: dict[str, Any]
    """Complete, typed and plain, and with nothing that decides neither its scores nor its weights, as trials share a
    first phase whose settings are equal."""
    seed: int
    at: SettingPath
    """The part of the other one's settings that asks for it."""


class Trainable(Protocol):
    """What the orchestrator knows of a model."""

    @property
    def settings_model(self) -> type[BaseModel] | None:
        """The class of its settings; `None` where the study's `settings` declare them all."""
        ...

    @property
    def metrics(self) -> tuple[str, ...] | None:
        """All metrics of a trial, `split/name`; `None` where only the trial knows."""
        ...

    def identity(self) -> dict[str, Any]:
        """What of the trainable itself decides the scores, beside settings, seed and data; `code` is its epoch."""
        ...

    def refusal(self, permissions: Permissions) -> str | None:
        """Why it may not be run, if so."""
        ...

    def base(self, select: Mapping[str, Any]) -> dict[str, Any]:
        """The settings below all layers of a study; `select` is its section of that name."""
        ...

    def resolve(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Settings complete, typed and plain. Raises pydantic's ValidationError."""
        ...

    def data_settings(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The part of the settings that decides which data is read, that of a first phase included."""
        ...

    def data_digest(self, values: Mapping[str, Any], search: Sequence[Path]) -> str:
        """Digest of the data that a trial rests on, that of a first phase included. Raises ValueError or OSError for
        data that is not there."""
        ...

    def first_phase(self, values: Mapping[str, Any]) -> FirstPhase | None:
        """The trial that comes before one of these settings, and has itself none before it; `None` if none does."""
        ...

    def data_names(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """What the data is called in provenance."""
        ...

    def selects_on_test(self, values: Mapping[str, Any]) -> bool:
        """Whether the settings have the epoch selected on test documents."""
        ...

    def faults(self, values: Mapping[str, Any]) -> list[tuple[SettingPath | None, str]]:
        """What is known to fail before a trial starts, each at the setting at fault, or at `trainable`."""
        ...

    def disk_bytes(self, values: Mapping[str, Any]) -> int | None:
        """Bytes that a finished trial leaves, roughly; `None` if that cannot be told."""
        ...

    def pilot(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], int] | None:
        """Settings of a trial that is a small part of this one and has no first phase, and how many times longer this
        one is; `None` if there is no such part."""
        ...

    def preparation(self, values: Mapping[str, Any]) -> str | None:
        """Equal for trials that share what `prepare` does; `None` if there is nothing to prepare."""
        ...

    def prepare(self, values: Mapping[str, Any], where: Surroundings) -> None:
        """Done once before the trials. Raises Unprepared."""
        ...

    def run(
        self, values: Mapping[str, Any], seed: int, folder: Path, where: Surroundings, report: Report
    ) -> Mapping[str, Any]:
        """Train. Returns `metrics`, `selected_epoch` if there is one, and facts; leaves files in `folder`, one that
        others start from in `folder/checkpoint`, and while it runs its state in `folder/last`, from which a second call
        goes on."""
        ...


class Unprepared(ValueError):
    """Code, data or weights that cannot be read; `path` is the setting at fault, `None` the trainable itself."""

    def __init__(self, path: SettingPath | None, message: str) -> None:
        super().__init__(path, message)
        self.path = path
        self.message = message


def of(loaded: LoadedStudy) -> Trainable:
    """The trainable that a study names."""
    given = loaded.study.trainable
    if isinstance(given, FunctionTrainable):
        from orchestrator.trainables.function import Function

        return Function(given.code_epoch, given.inputs, loaded.folder, given.function)
    if isinstance(given, CommandTrainable):
        from orchestrator.trainables.command import Command

        files = (given.metrics_file, given.progress_file)
        return Command(given.code_epoch, given.inputs, loaded.folder, given.command, *files)
    from orchestrator.trainables.model import Model

    return Model()
