"""One trial, here and now: settings and a seed in, a durable record out."""

from __future__ import annotations

import fcntl
import gc
import json
import logging
import math
import random
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.failures import cause_of
from orchestrator.identity import canonical
from orchestrator.store import (
    CONFIG,
    LOG,
    Attempt,
    Failure,
    Status,
    TrialRecord,
    read_record,
    write_durably,
    write_record,
)
from orchestrator.trainables import Report, Surroundings, Trainable

_WAITS_S = 120.0
"""Seconds in which a process that was left over has to end."""


@dataclass(frozen=True)
class Job:
    """All that a process needs to know to run one trial."""

    key: str
    study: str
    budget: str
    variant: str
    seed: int
    settings: dict[str, Any]
    data_digest: str
    folder: Path
    where: Surroundings
    required: tuple[str, ...]
    """Metrics without which a trial counts as failed."""
    provenance: Mapping[str, Any]
    trainable: Trainable


def run_trial(job: Job, report: Report, *, alone: bool = False) -> TrialRecord:
    """Run a trial to its end and return its record, which is on disk by then. A failure is a record, not an exception.

    A trial whose folder holds the state of an interrupted one goes on from there; one that another process still runs
    is waited for, and if that has finished it, its record stands. KeyboardInterrupt and the like are
    recorded as an interruption and go on to the caller, and so does an OSError where the record itself cannot be
    written.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    with _held(job.folder):
        before = read_record(job.folder)
        if before is not None and before.status == "finished":
            return before
        return _run(job, report, alone)


def _run(job: Job, report: Report, alone: bool) -> TrialRecord:
    started = time.monotonic()
    record = start_record(job, alone=alone)
    write_record(job.folder, record)
    write_durably(job.folder / CONFIG, config(job))

    def ended(status: Status, **what: Any) -> TrialRecord:
        seconds = record.duration_s + time.monotonic() - started
        return record.model_copy(update={"status": status, "ended": now(), "duration_s": round(seconds, 3), **what})

    with _logging_to(job.folder / LOG) as log:
        log.info("trial %s: %s, seed %d, attempt %d", job.key, job.variant, job.seed, record.attempts)
        _start_afresh(job.seed)
        try:
            result = job.trainable.run(job.settings, job.seed, job.folder, job.where, report)
            metrics = _checked_metrics(result, job.required)
            if result.get("data_digest", job.data_digest) != job.data_digest:
                raise ValueError("the data changed since the study was planned; run the study again")
        except Exception as error:
            log.exception("trial %s failed", job.key)
            record = ended("failed", failure=failure_of(error))
        except BaseException:
            log.warning("trial %s was interrupted", job.key)
            write_record(job.folder, ended("interrupted"))
            raise
        else:
            facts = {name: value for name, value in result.items() if name not in ("metrics", "selected_epoch")}
            epoch = result.get("selected_epoch")
            record = ended("finished", metrics=metrics, selected_epoch=epoch, facts=_plain(facts))
    write_record(job.folder, record)
    return record


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a trial's folder for this process, by a lock that goes with it.

    A process whose driver was killed lives on for some seconds, and would write into the folder beside its successor.
    """
    until = time.monotonic() + _WAITS_S
    with (folder / ".running").open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise TimeoutError(f"another process still runs the trial in {folder}") from None
                time.sleep(0.1)
        yield


def failure_of(error: BaseException) -> Failure:
    """An exception as a record keeps it."""
    lines = "".join(traceback.format_exception(error))
    return Failure(kind=type(error).__name__, message=str(error), traceback=lines, cause=cause_of(error))


def start_record(job: Job, *, alone: bool = False) -> TrialRecord:
    """The record of a trial that starts."""
    before = read_record(job.folder)
    resumes = before is not None and any((job.folder / name).exists() for name in ("last", ".last.old"))
    earlier: tuple[Attempt, ...] = ()
    if before is not None:
        known = {name: getattr(before, name) for name in ("started", "ended", "failure", "alone")}
        # one that is `running` still was cut off without a word
        status: Status = "interrupted" if before.status == "running" else before.status
        earlier = (*before.earlier, Attempt(status=status, **known))
    identity = job.trainable.identity()
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
        earlier=earlier,
        alone=alone,
        trainable=identity.get("trainable", {}),
        settings=job.settings,
        data_digest=job.data_digest,
        code_epoch=identity["code"],
        provenance=dict(job.provenance),
    )


def cut_off(job: Job, status: Status, failure: Failure | None = None) -> TrialRecord:
    """Record, from outside, a trial whose process is gone without a word; an end that it still wrote stands.

    Where the disk is full the record cannot be written: the one returned then says so, and the next run finds a trial
    that is `running` without a driver.
    """
    record = read_record(job.folder) or start_record(job)
    if record.status not in ("running", "interrupted") or record.status == status:
        return record
    started = datetime.fromisoformat(record.started)
    seconds = record.duration_s + (datetime.now(UTC) - started).total_seconds()
    update = {"status": status, "ended": now(), "duration_s": round(seconds, 3), "failure": failure}
    record = record.model_copy(update=update)
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
        write_record(job.folder, record)
    except OSError as error:
        return record.model_copy(update={"status": "failed", "failure": failure_of(error)})
    return record


def config(job: Job) -> str:
    """What identifies a trial, to be kept with its results: settings are never rebuilt from a tracker's parameters."""
    identity = job.trainable.identity()
    return canonical(
        {
            "trial_key": job.key,
            "study": job.study,
            "budget": job.budget,
            "variant": job.variant,
            "seed": job.seed,
            "settings": job.settings,
            "data_digest": job.data_digest,
            "code_epoch": identity["code"],
            "trainable": identity.get("trainable", {}),
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


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts as JSON has them: what a function hands over may hold paths, arrays and the like."""
    return json.loads(json.dumps(facts, default=str))


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
