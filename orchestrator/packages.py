"""Which packages a command needs beyond those that train a model, and what is said where one is missing.

A machine without a network may have torch, transformers and the light dependencies alone: `orchestrate run --offline`
needs no more. Whether a package is there is found out without loading it.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from orchestrator.errors import refused

TRACKER = ("mlflow",)
REPORTS = ("pandas", "matplotlib")
_INSTALLED_AS = {"ray": "'ray[tune]'"}
KNOWN = ("ray", "optuna", *TRACKER, *REPORTS, "syntok", "pooch")
"""Those that a machine may go without."""


def missing(names: Iterable[str]) -> list[str]:
    return [name for name in names if not _is_there(name)]


def refusal(absent: Iterable[str], what: str, instead: str = "") -> str:
    """What is said of packages that are not there; `what` needs them, `instead` goes without."""
    absent = list(absent)
    named = absent[0] if len(absent) == 1 else f"{', '.join(absent[:-1])} and {absent[-1]}"
    typed = " ".join(_INSTALLED_AS.get(name, name) for name in absent)
    way_out = f", or {instead}" if instead else ""
    return f"{named} {'is' if len(absent) == 1 else 'are'} not installed, which {what}; pip install {typed}{way_out}"


def refuse_if_missing(names: Iterable[str], what: str, instead: str = "") -> None:
    """Raises StudyError."""
    absent = missing(names)
    if absent:
        raise refused(refusal(absent, what, instead))


def _is_there(name: str) -> bool:
    found = find_spec(name)
    # a folder of that name without code is found too
    return found is not None and found.origin is not None
