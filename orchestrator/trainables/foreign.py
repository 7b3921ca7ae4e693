"""What a function and a command have in common: settings that the study alone declares, inputs that it names, and what
they tell, which is checked before anything relies on it.

`inputs` are what decides the scores beside settings and seed: files and folders, from the study's folder, and data
sets of our catalog.

    inputs: [train.py, "data/{corpus}.json"]    placeholders are settings by their dotted paths
    inputs: ["catalog:data"]                    the data set that the setting `data` names, as in studies of our models

Of a folder all files below it count, but for `__pycache__` and names that begin with a dot. Where a file lies does not
matter, what it is called below an input and what is in it do.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from model.data import catalog
from model.settings import DataSettings
from orchestrator.errors import did_you_mean
from orchestrator.explain import explain
from orchestrator.identity import canonical
from orchestrator.overrides import SettingPath, flat, value_at
from orchestrator.positions import dotted
from orchestrator.store import HISTORY, STATE, read_history, write_durably
from orchestrator.trainables import FirstPhase, Report
from reports.settings import word

LAST = STATE
"""The folder in which a trial keeps its state. Without it, an attempt starts afresh."""
CATALOG = "catalog:"
PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z_][\w.]*)\}")
"""`{training.learning_rate}`. Any other brace stands for itself, also that of `${HOME}`."""
_METRIC = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)

# what goes below this name stands in the trial's own log
log = logging.getLogger("orchestrator.trial.foreign")


@dataclass(frozen=True)
class Foreign:
    """The base of trainables that are not ours."""

    code_epoch: int
    """Raised by hand when the same settings, seed and inputs give other scores than before."""
    inputs: tuple[str, ...]
    folder: Path
    """The study's folder."""

    @property
    def settings_model(self) -> type[BaseModel] | None:
        return None

    @property
    def metrics(self) -> tuple[str, ...] | None:
        return None

    def base(self, select: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def resolve(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return dict(values)

    def data_settings(self, values: Mapping[str, Any]) -> dict[str, Any]:
        # one that is not there is told by the digest, which comes next
        return {name: _value_or_none(values, name) for name in sorted(self._settings_in_inputs)}

    @property
    def _settings_in_inputs(self) -> set[str]:
        named = set[str]()
        for given in self.inputs:
            named |= {given.removeprefix(CATALOG)} if given.startswith(CATALOG) else set(PLACEHOLDER.findall(given))
        return named

    def data_digest(self, values: Mapping[str, Any], search: Sequence[Path]) -> str:
        found = [
            catalog.digest(_data_set(given, values), search)
            if given.startswith(CATALOG)
            else _content(self.folder / Path(filled(given, values)).expanduser())
            for given in self.inputs
        ]
        return hashlib.sha256(canonical(found).encode()).hexdigest()

    def first_phase(self, values: Mapping[str, Any]) -> FirstPhase | None:
        return None

    def data_names(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(
            _data_set(given, values).name if given.startswith(CATALOG) else filled(given, values)
            for given in self.inputs
        )

    def selects_on_test(self, values: Mapping[str, Any]) -> bool:
        return any(
            catalog.selects_on_test(_data_set(given, values)) for given in self.inputs if given.startswith(CATALOG)
        )

    def faults(self, values: Mapping[str, Any]) -> list[tuple[SettingPath | None, str]]:
        return []

    def disk_bytes(self, values: Mapping[str, Any]) -> int | None:
        return None

    def pilot(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], int] | None:
        return None


def filled(template: str, values: Mapping[str, Any], more: Mapping[str, str] | None = None) -> str:
    """A template with each placeholder replaced by its setting. Raises ValueError for one that is not there."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if more is not None and name in more:
            return more[name]
        try:
            return word(value_at(values, name))
        except KeyError:
            raise ValueError(f"'{{{name}}}' {_no_setting(name, [*(more or {}), *flat(values)])}") from None

    return PLACEHOLDER.sub(value, template)


def _no_setting(name: str, known: Sequence[str]) -> str:
    return f"is no setting, wanted one of {', '.join(known) or 'none'}{did_you_mean(name, known)}"


def _value_or_none(values: Mapping[str, Any], name: str) -> Any:
    try:
        return value_at(values, name)
    except KeyError:
        return None


# --------------------------------------------------------------------------------------------------------------- inputs


class _OfCatalog(BaseModel):
    data: DataSettings


def _data_set(given: str, values: Mapping[str, Any]) -> DataSettings:
    """The data set that the input `catalog:name` stands for. Raises ValueError."""
    name = given.removeprefix(CATALOG)
    try:
        value = value_at(values, name)
    except KeyError:
        raise ValueError(f"'{name}' of the input '{given}' {_no_setting(name, list(values))}") from None
    try:
        return _OfCatalog.model_validate({"data": value}).data
    except ValidationError as error:
        explained = explain(error.errors()[0], {"data": value}, _OfCatalog)
        raise ValueError(f"{dotted((name, *explained.path[1:]))}: {explained.message}") from None


def _content(path: Path) -> list[list[str]]:
    """Name below the input and digest of each file. Raises ValueError where there is none."""
    if not path.exists():
        raise ValueError(f"the input {path} does not exist, wanted a file or a folder with files")
    if path.is_file():
        return [["", _digest(path)]]
    content = sorted([file.relative_to(path).as_posix(), _digest(file)] for file in _files(path, {path.resolve()}))
    if not content:
        raise ValueError(f"the input {path} is a folder without files, wanted what decides the scores")
    return content


def _files(folder: Path, above: set[Path]) -> Iterator[Path]:
    """Files at any depth, also behind links, of which one that leads back up is not followed."""
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if not path.is_dir():
            yield path
        elif path.resolve() not in above:
            yield from _files(path, above | {path.resolve()})


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --------------------------------------------------------------------------------------------------- what a trial tells


def recorded(folder: Path, report: Report) -> Report:
    """A report that also writes the trial's history, as our models do themselves.

    Raises ValueError for what is no report. An epoch that is told again, after an interruption, takes the place of the
    one before and of all after it. Values that are not finite are left out, with a line in the log.
    """
    path = folder / HISTORY
    if not (folder / LAST).exists():
        path.unlink(missing_ok=True)
    history = read_history(folder)
    n_told = 0

    def tell(given: Any) -> None:
        nonlocal n_told
        epoch, told = reported(given, "what was reported")
        metrics = finite(told)
        if left_out := sorted(told.keys() - metrics.keys()):
            log.warning("epoch %d: left out as it is not finite: %s", epoch, ", ".join(left_out))
        goes_on = n_told > 0 and epoch > history[-1][0]
        history[:] = [*((e, m) for e, m in history if e < epoch), (epoch, metrics)]
        lines = [json.dumps({"epoch": e, "metrics": m}) + "\n" for e, m in history[-1 if goes_on else 0 :]]
        if goes_on:
            with path.open("a", encoding="utf-8") as file:
                file.writelines(lines)
        else:
            write_durably(path, "".join(lines))
        n_told += 1
        report({"epoch": epoch, "metrics": metrics})

    return tell


def reported(given: Any, where: str) -> tuple[int, dict[str, float]]:
    """Epoch and metrics of a report. Raises ValueError for anything but `{"epoch": 1, "metrics": {...}}`."""
    if not isinstance(given, Mapping) or not {"epoch", "metrics"} <= given.keys():
        raise ValueError(f"{where} is {_short(given)}, wanted {{'epoch': …, 'metrics': {{…}}}}")
    return whole(given["epoch"], f"`epoch` of {where}"), numbers(given["metrics"], f"`metrics` of {where}")


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def result_of(given: Any, where: str, data_digest: str) -> dict[str, Any]:
    """What a trial hands over in the end, as plain values. Raises ValueError.

    `data_digest` is that of the inputs as the trial found them, so that it is told if they have changed by then.
    """
    if not isinstance(given, Mapping) or "metrics" not in given:
        raise ValueError(f"{where} is {_short(given)}, wanted a mapping with 'metrics'")
    metrics = numbers(given["metrics"], f"`metrics` of {where}")
    epoch = given.get("selected_epoch")
    if epoch is not None:
        epoch = whole(epoch, f"`selected_epoch` of {where}")
    facts = {str(name): value for name, value in given.items() if name not in ("metrics", "selected_epoch")}
    try:
        facts = json.loads(json.dumps(facts, default=str))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} cannot be kept as JSON: {error}") from None
    return {**facts, "metrics": metrics, "selected_epoch": epoch, "data_digest": data_digest}


def whole(given: Any, where: str) -> int:
    """A number of an epoch. Raises ValueError for anything but a whole number from 0."""
    try:
        if isinstance(given, str | bytes | bool) or int(given) != given or given < 0:
            raise ValueError
        return int(given)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{where} is {_short(given)}, wanted a whole number from 0") from None


def numbers(given: Any, where: str) -> dict[str, float]:
    """Metrics as a trainable hands them over. Raises ValueError for anything but a mapping from names to numbers."""
    if not isinstance(given, Mapping):
        raise ValueError(f"{where} is {_short(given)}, wanted a mapping from names of metrics to numbers")
    for name in given:
        if not isinstance(name, str) or not _METRIC.fullmatch(name):
            raise ValueError(
                f"{where} has the name {name!r}, wanted letters, digits and any of _ . - , in parts parted by /"
            )
    wrong = [f"{name} = {_short(value)}" for name, value in given.items() if _number(value) is None]
    if wrong:
        raise ValueError(f"{where} has {', '.join(wrong)}, wanted numbers")
    return {name: float(value) for name, value in given.items()}


def _number(value: Any) -> float | None:
    # numbers of numpy and torch are numbers; a text that looks like one is none
    if isinstance(value, str | bytes | bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}…"
