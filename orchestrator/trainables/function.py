"""A function of an installed package.

    def train(settings: dict, seed: int, folder: Path, report: Callable[[dict], None]) -> dict

It may call `report({"epoch": 1, "metrics": {"dev/accuracy": 0.5}})` after each epoch, keep its state in `folder/last`
to go on from there after an interruption, and returns `{"metrics": {...}}`, with `selected_epoch` if there is one and
whatever else is worth keeping. `last` is removed once it has returned.

What else it has to know of where it runs it is given for the asking, by keyword-only parameters of these names:

    data       the data search path, for `model.data.catalog.load`
    cache      a folder that all trials of a home share
    device     `auto`, `cpu` or `cuda`
    threads    how many it may use

A study file alone imports nothing: the function is registered by its package, as an entry point of the group
`orchestrate.trainables`, or the person who types the command allows it.
"""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from orchestrator.errors import did_you_mean
from orchestrator.store import put_state_aside
from orchestrator.trainables import Permissions, Report, Surroundings, Unprepared
from orchestrator.trainables.foreign import Foreign, recorded, result_of

GROUP = "orchestrate.trainables"
WANTED = "wanted one that takes (settings, seed, folder, report)"


@dataclass(frozen=True)
class Function(Foreign):
    """`reference` is `module:function`, or the name under which a package has registered one."""

    reference: str

    def identity(self) -> dict[str, Any]:
        return {"trainable": {"kind": "function", "function": self.target}, "code": self.code_epoch}

    @property
    def target(self) -> str:
        """`module:function`, so that one function has one identity, by whichever name it is called."""
        return next(iter(_registered().get(self.reference, ())), self.reference)

    def refusal(self, permissions: Permissions) -> str | None:
        registered = _registered()
        targets = registered.get(self.reference, ())
        if len(targets) > 1:
            return f"'{self.reference}' is registered as {' and as '.join(targets)}, wanted `module:function`"
        if targets or any(self.reference in others for others in registered.values()):
            return None
        module, _, name = self.reference.partition(":")
        if not module or not name:
            known = ", ".join(registered) or "nothing"
            return (
                f"found '{self.reference}', wanted `module:function` or a name that an installed package has "
                f"registered as `{GROUP}`, which has {known}{did_you_mean(self.reference, list(registered))}"
            )
        if permissions.imports:
            return None
        return (
            f"a study file alone imports nothing: say --allow-import to run '{self.reference}', or have its package "
            f"register it as an entry point of the group `{GROUP}`"
        )

    def preparation(self, values: Mapping[str, Any]) -> str | None:
        return self.target

    def prepare(self, values: Mapping[str, Any], where: Surroundings) -> None:
        try:
            function = _imported(self.target)
        except (Exception, SystemExit) as error:  # whatever the module does when it is imported
            raise Unprepared(None, f"'{self.target}' cannot be imported: {type(error).__name__}: {error}") from error
        if not callable(function):
            raise Unprepared(None, f"'{self.target}' is of type {type(function).__name__}, {WANTED}")
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            return  # some that are not written in Python do not tell
        try:
            signature.bind(values, 0, Path(), print, **_asked(function, where))
        except TypeError as error:
            raise Unprepared(None, f"'{self.target}' takes {signature} ({error}), {WANTED}") from error

    def run(
        self, values: Mapping[str, Any], seed: int, folder: Path, where: Surroundings, report: Report
    ) -> Mapping[str, Any]:
        function = _imported(self.target)
        digest = self.data_digest(values, where.data)
        tell = recorded(folder, report)
        try:
            # what it does to its settings is not to reach the record of the trial
            given = function(copy.deepcopy(dict(values)), seed, folder, tell, **_asked(function, where))
        except SystemExit as error:
            raise RuntimeError(f"{self.target} left the program (SystemExit: {error})") from error
        result = result_of(given, f"what {self.target} returned", digest)
        put_state_aside(folder)
        return result


def _imported(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    return functools.reduce(getattr, name.split("."), import_module(module))


def _asked(function: Callable[..., Any], where: Surroundings) -> dict[str, Any]:
    """What a function asks for by its keyword-only parameters."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {}
    names = {one.name for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY}
    offered = {"data": where.data, "cache": where.cache, "device": where.device, "threads": where.threads}
    return {name: value for name, value in offered.items() if name in names}


def _registered() -> dict[str, tuple[str, ...]]:
    """Name → what is registered under it, `module:function`: one, unless two packages have taken the same name."""
    return _registered_on(tuple(sys.path))


@functools.cache
def _registered_on(path: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, set()).add(f"{entry.module}:{entry.attr}")
    return {name: tuple(sorted(targets)) for name, targets in sorted(found.items())}
