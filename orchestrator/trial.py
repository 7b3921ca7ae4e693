"""One trial, here and now: settings and a seed in, a durable record out."""

from __future__ import annotations

import gc
import logging
import math
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import model
from model.settings import ExperimentSettings
from orchestrator.identity import canonical
from orchestrator.store import (
    CONFIG,
    LOG,
    Failure,
    Status,
    TrialRecord,
    read_record,
    write_durably,
    write_record,
)


@dataclass(frozen=True)
class Trainable:
    """The functions of a model by their names, so that they are imported only where a trial runs."""

    run: str = "model.training.run:run"
    prepare: str = "model.training.run:prepare"


MODEL = Trainable()
"""The one trainable there is. A study file cannot name another, as that would let it import what it likes."""


@dataclass(frozen=True)
class Job:
    """All that a process needs to know to run one trial."""

    key: str
    study: str
    budget: str
    variant: str
    seed: int
    settings: ExperimentSettings
    data_digest: str
    folder: Path
    data: tuple[Path, ...]
    cache: Path
    device: str
    threads: int
    required: tuple[str, ...]
    """Metrics without which a trial counts as failed."""
    provenance: Mapping[str, Any]
    trainable: Trainable = MODEL


Report = Callable[[dict[str, Any]], None]
"""Takes {"epoch": int, "metrics": {name: float}}."""


def resolve(reference: str) -> Callable[..., Any]:
    """The function `module:name`. The only place where a name becomes code, and the name is never a study's."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


def prepare(trainable: Trainable, settings: ExperimentSettings, data: tuple[Path, ...], cache: Path) -> dict[str, Any]:
    """Read and encode the data of a trial into the cache."""
    return resolve(trainable.prepare)(settings, data=data, cache=cache)


def run_trial(job: Job, report: Report) -> TrialRecord:
    """Run a trial to its end and return its record, which is on disk by then. A failure is a record, not an exception.

    A trial whose folder holds the state of an interrupted one goes on from there. KeyboardInterrupt and the like are
    recorded as an interruption and go on to the caller.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    record = start_record(job)
    write_record(job.folder, record)
    write_durably(job.folder / CONFIG, config(job))

    def ended(status: Status, **what: Any) -> TrialRecord:
        seconds = record.duration_s + time.monotonic() - started
        return record.model_copy(update={"status": status, "ended": now(), "duration_s": round(seconds, 3), **what})

    with _logging_to(job.folder / LOG) as log:
        log.info("trial %s: %s, seed %d, attempt %d", job.key, job.variant, job.seed, record.attempts)
        _start_afresh(job.seed)
        try:
            result = resolve(job.trainable.run)(
                job.settings,
                job.seed,
                job.folder,
                data=job.data,
                cache=job.cache,
                device=job.device,
                threads=job.threads,
                report=report,
            )
            metrics = _checked_metrics(result, job.required)
            if result.get("data_digest", job.data_digest) != job.data_digest:
                raise ValueError("the data changed since the study was planned; run the study again")
        except Exception as error:
            log.exception("trial %s failed", job.key)
            failure = Failure(kind=type(error).__name__, message=str(error), traceback=traceback.format_exc())
            record = ended("failed", failure=failure)
        except BaseException:
            log.warning("trial %s was interrupted", job.key)
            write_record(job.folder, ended("interrupted"))
            raise
        else:
            facts = {name: value for name, value in result.items() if name not in ("metrics", "selected_epoch")}
            record = ended("finished", metrics=metrics, selected_epoch=result["selected_epoch"], facts=facts)
    write_record(job.folder, record)
    return record


def start_record(job: Job) -> TrialRecord:
    """The record of a trial that starts."""
    before = read_record(job.folder)
    resumes = before is not None and (job.folder / "last").exists()
    return TrialRecord(
        key=job.key,
        study=job.study,
        budget=job.budget,
        variant=job.variant,
        seed=job.seed,
        status="running",
        started=now(),
        duration_s=before.duration_s if before is not None and resumes else 0.0,
        attempts=before.attempts + 1 if before is not None else 1,
        settings=job.settings.model_dump(mode="json"),
        data_digest=job.data_digest,
        code_epoch=model.CODE_EPOCH,
        provenance=dict(job.provenance),
    )


def cut_off(job: Job, status: Status, failure: Failure | None = None) -> TrialRecord:
    """Record, from outside, a trial whose process is gone without a word; a record that it still wrote stands."""
    record = read_record(job.folder) or start_record(job)
    if record.status != "running":
        return record
    started = datetime.fromisoformat(record.started)
    seconds = record.duration_s + (datetime.now(UTC) - started).total_seconds()
    update = {"status": status, "ended": now(), "duration_s": round(seconds, 3), "failure": failure}
    record = record.model_copy(update=update)
    job.folder.mkdir(parents=True, exist_ok=True)
    write_record(job.folder, record)
    return record


def config(job: Job) -> str:
    """What identifies a trial, to be kept with its results: settings are never rebuilt from a tracker's parameters."""
    return canonical(
        {
            "trial_key": job.key,
            "study": job.study,
            "budget": job.budget,
            "variant": job.variant,
            "seed": job.seed,
            "settings": job.settings.model_dump(mode="json"),
            "data_digest": job.data_digest,
            "code_epoch": model.CODE_EPOCH,
            "provenance": dict(job.provenance),
        }
    )


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _checked_metrics(result: Mapping[str, Any], required: tuple[str, ...]) -> dict[str, float]:
    metrics = {name: float(value) for name, value in result["metrics"].items()}
    missing = [name for name in required if name not in metrics]
    if missing:
        raise ValueError(f"the trial ended without {', '.join(missing)}; it has {', '.join(metrics) or 'no metrics'}")
    wrong = {name: value for name, value in metrics.items() if not math.isfinite(value)}
    if wrong:
        raise ValueError(f"the trial ended with scores that are no numbers: {wrong}")
    return metrics


def _start_afresh(seed: int) -> None:
    """Take away what an earlier trial in this process may have left: states of global generators, memory.

    The model draws from generators of its own and sets torch's by its seed; this is for what libraries draw.
    """
    random.seed(seed)
    gc.collect()
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed(seed % 2**32)
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(seed)
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


@contextmanager
def _logging_to(path: Path) -> Iterator[logging.Logger]:
    """Send what the model and the orchestrator log, and all warnings, to the trial's own file."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in ("model", "orchestrator.trial", "py.warnings")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield logging.getLogger("orchestrator.trial")
    finally:
        logging.captureWarnings(False)
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
        handler.close()
