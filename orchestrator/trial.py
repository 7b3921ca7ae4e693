"""One trial, here and now: settings and a seed in, a durable record out."""

from __future__ import annotations

import gc
import json
import logging
import math
import os
import random
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.failures import cause_of
from orchestrator.identity import canonical
from orchestrator.store import (
    CONFIG,
    HISTORY,
    LOG,
    RECORD,
    Attempt,
    Failure,
    Status,
    TrialRecord,
    forget_state,
    has_checkpoint,
    held_trial,
    read_record,
    recover_state,
    write_durably,
    write_record,
)
from orchestrator.trainables import Report, Surroundings, Trainable

_WAITS_S = 120.0
"""Seconds in which a process that was left over has to end."""
_ENDS_S = 10.0
"""Seconds in which one has to end that is known to be gone."""


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
    given_up: Path | None = None
    """A file that is there once the trial's search has given it up; `None` of a trial that no search has asked for."""
    needs: str | None = None
    """Key of the trial that it starts from."""
    first_phase: Job | None = None
    """That trial, if it has to be run before."""
    is_first_phase: bool = False
    """Others start from its checkpoint: once that is gone, having finished is not enough."""


class Pruned(BaseException):
    """Ends a trial that its search has given up. No Exception, which a trainable might take for a fault of its own."""


def run_trial(job: Job, report: Report, *, alone: bool = False) -> TrialRecord:
    """Run a trial to its end and return its record, which is on disk by then. A failure is a record, not an exception.

    A trial whose folder holds the state of an interrupted one goes on from there; one that another process still runs
    is waited for, and if that has finished it, its record stands, unless others want its checkpoint, which was cleared.
    KeyboardInterrupt and the like are recorded as an interruption and go on to the caller, and so does an OSError where
    the record itself cannot be written.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    with held_trial(job.folder, _WAITS_S):
        _clear_left_over(job.folder)
        before = read_record(job.folder)
        is_cleared = job.is_first_phase and not has_checkpoint(job.folder)
        if before is not None and before.status == "finished" and not is_cleared:
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
        log.info(
            "trial %s: %s, seed %d, attempt %d, process %d",
            job.key,
            job.variant,
            job.seed,
            record.attempts,
            os.getpid(),
        )
        _start_afresh(job.seed)
        try:
            result = job.trainable.run(job.settings, job.seed, job.folder, job.where, _heeding(job, report))
            metrics = _checked_metrics(result, job.required)
            if result.get("data_digest", job.data_digest) != job.data_digest:
                raise ValueError("the data changed since the study was planned; run the study again")
        except Exception as error:
            log.exception("trial %s failed", job.key)
            record = ended("failed", failure=failure_of(error))
        except Pruned:
            log.info("trial %s was pruned", job.key)
            record = ended("pruned")
        except BaseException:
            log.warning("trial %s was interrupted", job.key)
            write_record(job.folder, ended("interrupted"))
            raise
        else:
            facts = {name: value for name, value in result.items() if name not in ("metrics", "selected_epoch")}
            epoch = result.get("selected_epoch")
            record = ended("finished", metrics=metrics, selected_epoch=epoch, facts=_plain(facts))
    write_record(job.folder, record)
    if record.status == "finished":
        forget_state(job.folder)
    return record


def _heeding(job: Job, report: Report) -> Report:
    """The report of a trial that ends where its search has given it up: told in the driver, heeded here, wherever the
    trial runs, so that it ends by itself, with its state in `last`, and nothing writes into its folder afterwards."""
    given_up = job.given_up
    if given_up is None:
        return report

    def tell(given: dict[str, Any]) -> None:
        report(given)
        if given_up.exists():
            raise Pruned

    return tell


def _clear_left_over(folder: Path) -> None:
    """Remove what was to take the place of a file when the one that wrote it was killed."""
    for name in (RECORD, CONFIG, HISTORY):
        for file in folder.glob(f".{name}.*"):
            file.unlink(missing_ok=True)


def failure_of(error: BaseException) -> Failure:
    """An exception as a record keeps it."""
    lines = "".join(traceback.format_exception(error))
    return Failure(kind=type(error).__name__, message=str(error), traceback=lines, cause=cause_of(error))


def start_record(job: Job, *, alone: bool = False) -> TrialRecord:
    """The record of a trial that starts."""
    before = read_record(job.folder)
    resumes = recover_state(job.folder) and before is not None
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
        needs=job.needs,
        trainable=identity.get("trainable", {}),
        settings=job.settings,
        data_digest=job.data_digest,
        code_epoch=identity["code"],
        provenance=dict(job.provenance),
        imported_from=before.imported_from if before is not None and resumes else None,
    )


def cut_off(job: Job, status: Status, failure: Failure | None = None) -> TrialRecord:
    """Record, from outside, a trial whose process is gone without a word; an end that it still wrote stands.

    Where the disk is full the record cannot be written: the one returned then says so, and the next run finds a trial
    that is `running` without a driver.
    """
    with ExitStack() as stack:
        try:
            job.folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(held_trial(job.folder, _ENDS_S))
        except OSError:
            pass  # it does not end, or the disk is full
        record = read_record(job.folder) or start_record(job)
        if record.status not in ("running", "interrupted") or record.status == status:
            return record
        seconds = record.duration_s
        if record.status == "running":
            seconds += (datetime.now(UTC) - datetime.fromisoformat(record.started)).total_seconds()
        update = {"status": status, "ended": now(), "duration_s": round(seconds, 3), "failure": failure}
        record = record.model_copy(update=update)
        try:
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
            **({} if job.needs is None else {"needs": job.needs}),
            "provenance": dict(job.provenance),
        }
    )


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _checked_metrics(result: Mapping[str, Any], required: tuple[str, ...]) -> dict[str, float]:
    metrics = {name: float(value) for name, value in result["metrics"].items()}
    missing = [name for name in required if name not in metrics]
    if missing:
        raise ValueError(
            f"the trial ended without {', '.join(missing)}; it has {', '.join(metrics) or 'no metrics'} "
            f"(metrics are named by their split, as dev/… and test/…)"
        )
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
