"""What is to blame for a failure decides whether a trial is tried again, and with what."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from orchestrator.failures import cause_of, is_retried, may_pass
from orchestrator.scheduling.queue import Queue
from orchestrator.scheduling.shares import GpuShares, share_of
from orchestrator.schema import Resources
from orchestrator.store import Failure, TrialRecord
from orchestrator.trainables import Surroundings
from orchestrator.trial import Job
from tests.orchestrator.standin import STANDIN

GIB = 2**30


def job(key="a", **settings):
    where = Surroundings((), Path(), "cpu", 1)
    return Job(key, "s", "full", f"variant {key}", 1, settings, "d", Path(key), where, (), {}, STANDIN)


def record(job, status="finished", cause=None, **more):
    failure = None if cause is None else Failure(kind="Error", message="it failed", traceback="", cause=cause)
    fields = {"key": job.key, "study": "s", "budget": "full", "variant": job.variant, "seed": 1, "status": status}
    fields |= {"started": "2026-01-01T00:00:00+00:00", "settings": job.settings, "data_digest": "d", "code_epoch": 1}
    return TrialRecord(**fields, failure=failure, **more)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ValueError("batch_size"), "program"),
        (RuntimeError("shapes differ"), "program"),
        (FileNotFoundError(errno.ENOENT, "no such file"), "program"),
        (PermissionError(errno.EACCES, "not allowed"), "program"),
        (MemoryError(), "memory"),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), "memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried …"), "memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk"),
        (RuntimeError('Error while serializing: IoError(Os { code: 28, message: "No space left on device" })'), "disk"),
        (OSError(errno.ESTALE, "Stale file handle"), "infrastructure"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "infrastructure"),
        (TimeoutError("another process still runs the trial"), "infrastructure"),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), "infrastructure"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{type(value).__name__}: {str(value)[:24]}",
)
def test_an_error_is_put_down_to_its_cause(error, cause):
    assert cause_of(error) == cause


def test_an_error_is_put_down_to_the_one_that_led_to_it():
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as first:
            raise ValueError("the checkpoint cannot be written") from first
    except ValueError as error:
        assert cause_of(error) == "disk"


def test_an_error_that_was_dealt_with_is_not_to_blame():
    try:
        try:
            raise TimeoutError("slow")
        except TimeoutError:
            raise ValueError("no metrics") from None
    except ValueError as error:
        assert cause_of(error) == "program"


def test_only_a_fault_of_the_program_would_come_again():
    causes = ("program", "memory", "infrastructure", "preemption", "disk")
    assert [cause for cause in causes if not may_pass(cause)] == ["program"]
    assert [cause for cause in causes if is_retried(cause)] == ["memory", "infrastructure", "preemption"]


# --------------------------------------------------------------------------------------------------------------- queue


def test_a_trial_whose_process_is_gone_comes_back_behind_the_others_and_at_most_as_often_as_allowed():
    a, b = job("a"), job("b")
    queue = Queue([a, b], Resources(), retries=2)
    order = []
    while (start := queue.next()) is not None:
        order.append(start.job.key)
        queue.ended(start.job, record(start.job, "failed", "infrastructure"))
    assert order == ["a", "b", "a", "b", "a", "b"] and queue.is_done


def test_a_trial_that_fails_by_its_own_fault_does_not_come_back():
    queue = Queue([job()], Resources())
    start = queue.next()
    assert queue.ended(start.job, record(start.job, "failed", "program")) is None
    assert queue.next() is None and queue.is_done


def test_a_trial_without_memory_comes_back_with_a_whole_gpu():
    queue = Queue([job()], Resources(gpus=0.25))
    start = queue.next()
    assert (start.gpus, start.alone) == (0.25, False)
    why = queue.ended(start.job, record(start.job, "failed", "memory"))
    assert why == "memory: it failed, with a whole GPU"
    again = queue.next()
    assert (again.gpus, again.alone) == (1.0, True)
    # and keeps it if its process then dies of something else
    queue.ended(again.job, record(again.job, "failed", "infrastructure", alone=True))
    assert queue.next().alone


def test_a_full_disk_stops_the_queue():
    queue = Queue([job("a"), job("b")], Resources())
    start = queue.next()
    queue.ended(start.job, record(start.job, "failed", "disk"))
    assert queue.next() is None and queue.is_done and "the disk is full" in queue.stopped


def test_a_trial_that_was_taken_and_not_started_is_the_next_with_what_it_had():
    queue = Queue([job("a"), job("b")], Resources(gpus=0.5))
    first = queue.next()
    queue.ended(first.job, record(first.job, "failed", "memory"))
    assert queue.next().job.key == "b"
    taken = queue.next()
    queue.put_back(taken.job)
    assert queue.next() == taken and taken.alone


# ---------------------------------------------------------------------------------------------------------- GPU shares


@pytest.mark.parametrize(
    ("peak", "share"),
    # of 100 GiB, 92 are given out
    [(10, 0.125), (30, 0.3333), (31, 0.5), (46, 0.5), (47, 1.0), (99, 1.0), (1, 0.125)],
)
def test_the_peak_of_a_trial_tells_how_many_fit(peak, share):
    facts = {"peak_memory_bytes": peak * GIB, "device_memory_bytes": 100 * GIB}
    assert share_of(record(job(), facts=facts)) == share
    assert int(1 / share) * share <= 1


def test_a_trial_that_did_not_finish_or_tells_nothing_measures_nothing():
    facts = {"peak_memory_bytes": GIB, "device_memory_bytes": 100 * GIB}
    assert share_of(record(job())) is None
    assert share_of(record(job(), "failed", "program", facts=facts)) is None


def test_the_first_trial_of_a_variant_has_a_gpu_to_itself_and_the_next_what_it_took():
    jobs = [job("a", size=1), job("b", size=1), job("c", size=2)]
    queue = Queue(jobs, Resources(gpus="measured"), shares=GpuShares())
    first = queue.next()
    assert first.gpus == 1.0
    # the other variant is measured too; the second of the first one waits for what it will be told
    other = queue.next()
    assert (other.job.key, other.gpus) == ("c", 1.0) and queue.next() is None and not queue.is_done
    facts = {"peak_memory_bytes": 30 * GIB, "device_memory_bytes": 100 * GIB}
    queue.ended(first.job, record(first.job, facts=facts))
    assert queue.next().gpus == 0.3333


def test_a_variant_whose_first_trial_told_nothing_goes_on_with_a_whole_gpu():
    queue = Queue([job("a", size=1), job("b", size=1)], Resources(gpus="measured"))
    first = queue.next()
    queue.ended(first.job, record(first.job, "failed", "program"))
    assert queue.next().gpus == 1.0
