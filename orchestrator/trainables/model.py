"""Our models: memory-enhanced JEREX, and JEREX as a setting of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import model
from model import embedded
from model.data import catalog
from model.embedded import EncoderNotFound
from model.settings import EncoderSettings, ExperimentSettings
from orchestrator.identity import canonical
from orchestrator.overrides import SettingPath
from orchestrator.trainables import FirstPhase, Permissions, Report, Surroundings, Unprepared
from reports.settings import METRICS


@dataclass(frozen=True)
class Model:
    """`model.training.run`, by the names of its functions, so that torch is loaded only where a trial runs."""

    run_function: str = "model.training.run:run"
    prepare_function: str = "model.training.run:prepare"

    @property
    def settings_model(self) -> type[BaseModel]:
        return ExperimentSettings

    @property
    def metrics(self) -> tuple[str, ...]:
        return METRICS

    def identity(self) -> dict[str, Any]:
        return {"code": model.CODE_EPOCH}

    def refusal(self, permissions: Permissions) -> str | None:
        return None

    def base(self, select: Mapping[str, Any]) -> dict[str, Any]:
        defaults = _defaults()
        return {**defaults, "training": {**defaults["training"], "select": dict(select)}}

    def resolve(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return ExperimentSettings.model_validate(values).model_dump(mode="json")

    def data_settings(self, values: Mapping[str, Any]) -> dict[str, Any]:
        before = values.get("pretraining")
        # of a search, settings that are no settings come here too
        return {"data": values["data"], "pretraining": before.get("data") if isinstance(before, Mapping) else None}

    def data_digest(self, values: Mapping[str, Any], search: Sequence[Path]) -> str:
        settings = _settings(values)
        before = None if settings.pretraining is None else catalog.digest(settings.pretraining.data, search)
        return catalog.digest_of_phases(catalog.digest(settings.data, search), before)

    def first_phase(self, values: Mapping[str, Any]) -> FirstPhase | None:
        if values.get("pretraining") is None:
            return None
        settings = _settings(values)
        assert settings.first_phase is not None and settings.pretraining is not None
        return FirstPhase(settings.first_phase.model_dump(mode="json"), settings.pretraining.seed, ("pretraining",))

    def data_names(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        before = values.get("pretraining")
        name = values["data"]["name"]
        return (name if before is None else f"{name} after {before['data']['name']}",)

    def selects_on_test(self, values: Mapping[str, Any]) -> bool:
        # a protocol that has no dev documents of its own does so as well
        return values["training"]["select"]["on"] == "test" or catalog.selects_on_test(_settings(values).data)

    def faults(self, values: Mapping[str, Any]) -> list[tuple[SettingPath | None, str]]:
        encoder = values["model"]["encoder"]
        found: list[tuple[SettingPath | None, str]] = [
            (("model", "encoder", *path), message) for path, message in _encoder_faults(canonical(encoder))
        ]
        unreachable = None if found else embedded.unreachable(encoder["name"])
        return found if unreachable is None else [(("model", "encoder", "name"), unreachable)]

    def disk_bytes(self, values: Mapping[str, Any]) -> int | None:
        return embedded.weight_bytes(values["model"]["encoder"]["name"])

    def pilot(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], int] | None:
        training = values["training"]
        # from which weights an epoch starts does not change how long it takes
        return {**values, "training": {**training, "epochs": 1}, "pretraining": None}, training["epochs"]

    def preparation(self, values: Mapping[str, Any]) -> str:
        return canonical([values["data"], values["model"]["encoder"]])

    def prepare(self, values: Mapping[str, Any], where: Surroundings) -> None:
        try:
            resolve(self.prepare_function)(_settings(values), data=where.data, cache=where.cache)
        except (ValueError, OSError) as error:
            at_fault = ("model", "encoder", "name") if isinstance(error, EncoderNotFound) else ("data", "name")
            raise Unprepared(at_fault, str(error)) from error

    def run(
        self, values: Mapping[str, Any], seed: int, folder: Path, where: Surroundings, report: Report
    ) -> Mapping[str, Any]:
        return resolve(self.run_function)(
            _settings(values),
            seed,
            folder,
            data=where.data,
            cache=where.cache,
            device=where.device,
            threads=where.threads,
            report=report,
            first_phase=where.first_phase,
        )


def resolve(reference: str) -> Callable[..., Any]:
    """The function `module:name`."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


@cache
def _defaults() -> dict[str, Any]:
    return ExperimentSettings().model_dump(mode="json")


def _settings(values: Mapping[str, Any]) -> ExperimentSettings:
    return ExperimentSettings.model_validate(values)


@cache
def _encoder_faults(encoder: str) -> tuple[tuple[SettingPath, str], ...]:
    return tuple(embedded.faults(EncoderSettings.model_validate_json(encoder)))
