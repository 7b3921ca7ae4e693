"""Trials side by side through Ray Tune.

Tune schedules; which trial is next, what came of it and what is tracked is decided in the driver, by queue and store:
Tune asks the queue for every trial, as it asks a search algorithm, so that one that failed can come back and one whose
variant was measured can ask for less of a GPU. Each process that Tune starts runs one trial after another, as most of a
short trial is start-up; `trial.run_trial` begins each from the same state.

Tune's loop runs in a thread, since a call to a Ray that is gone may never return. What happens there is handed over to
the main thread, and Tune waits until it is dealt with.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from orchestrator.events import Listener
from orchestrator.failures import Cause
from orchestrator.interrupts import Interrupts
from orchestrator.scheduling import BackendDied, settle
from orchestrator.scheduling.queue import Queue, Start
from orchestrator.store import Failure
from orchestrator.trial import Job, cut_off, run_trial

_LEAVES_S = 3.0
"""Seconds that Tune's loop has to end once Ray is gone; then it is left behind."""
_POLLS_S = 0.1
_LOOKS_EVERY = 20
"""Steps of Tune after which is looked for trials that it gave up without telling."""


def run(
    queue: Queue,
    listener: Listener,
    interrupts: Interrupts,
    request: Callable[[dict[str, Any]], Any],
    n_slots: int,
    at_most: int | None,
    scratch: Path,
) -> None:
    """Run the queue to its end. Raises BackendDied if Ray ends first, with the trials that it ran back in the queue."""
    from ray import tune

    # as many may wait for their process as fit: Tune's default of one would have them run one after another
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(n_slots)
    loop = _Loop(interrupts)
    follower = _follower(queue, listener, loop)
    folder = Path(tempfile.mkdtemp(prefix=".tune-", dir=scratch))
    try:
        loop.run(
            tune.Tuner(
                tune.with_resources(_trainable(), request),
                tune_config=tune.TuneConfig(
                    search_alg=_asking(queue, follower, loop),
                    num_samples=-1,
                    reuse_actors=True,
                    max_concurrent_trials=at_most,
                ),
                run_config=tune.RunConfig(
                    name="trials",
                    storage_path=str(folder),
                    verbose=0,
                    callbacks=[follower],
                    failure_config=tune.FailureConfig(max_failures=0),
                ),
            )
        )
    finally:
        interrupts.take_signals()
        _settle(follower, queue, listener, loop)
        shutil.rmtree(folder, ignore_errors=True)
    if loop.died is not None:
        raise BackendDied(f"Ray ended before the trials did ({_first_line(loop.died)})")


def _settle(follower: Any, queue: Queue, listener: Listener, loop: _Loop) -> None:
    """Give every trial that was started and not heard of again its record."""
    import ray

    if follower.open:
        ray.shutdown()  # first the processes end, so that none writes a record after us
        loop.interrupts.take_signals()
    for job in queue.in_flight:
        if job.key not in follower.open:
            queue.put_back(job)
        elif loop.interrupts.requested:
            settle(job, cut_off(job, "interrupted"), queue, listener)
        else:
            gone = _gone("Ray ended before the trial did", loop.died)
            settle(job, cut_off(job, "failed", gone), queue, listener)


# ------------------------------------------------------------------------------------------------------- the loop


class _Leave(BaseException):
    """Leaves Tune's loop at once. For an Exception Tune would first wait for its trials to end."""


class _Loop:
    """Tune's loop in a thread of its own, and the main thread that waits on it."""

    def __init__(self, interrupts: Interrupts) -> None:
        self.interrupts = interrupts
        self.died: BaseException | None = None
        """Why the loop ended before its trials did."""
        self._ended = False
        self._given: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...], threading.Event]] = SimpleQueue()
        # a node that Ray started for us is our child; no public function tells that it has ended
        self._node = getattr(import_module("ray._private.worker"), "_global_node", None)

    def run(self, tuner: Any) -> None:
        thread = threading.Thread(target=self._fit, args=(tuner,), daemon=True)
        thread.start()
        try:
            # not raised in the middle of whatever the driver is doing, but by the loop between two steps of Tune
            with self.interrupts.telling(lambda: None):
                while thread.is_alive():
                    self._take()
                    gone = self._gone()
                    if gone is not None:
                        self.died = self.died or RuntimeError(gone)
                        thread.join(_LEAVES_S)
                        return
        finally:
            self._ended = True

    def leave_if_over(self) -> None:
        """Called in the loop at every place where Tune calls us: with Ray gone, it would wait for room that never
        comes."""
        if self._ended or self.interrupts.requested or self._gone() is not None:
            raise _Leave

    def hand_over(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Have the main thread call a function, and wait until it has."""
        self.leave_if_over()
        done = threading.Event()
        self._given.put((function, arguments, done))
        while not done.wait(_POLLS_S):
            if self._ended:
                raise _Leave

    def _take(self) -> None:
        try:
            function, arguments, done = self._given.get(timeout=_POLLS_S)
        except Empty:
            return
        function(*arguments)
        done.set()

    def _fit(self, tuner: Any) -> None:
        try:
            tuner.fit()
        except _Leave:
            pass
        except BaseException as error:
            # whatever Tune trips over, the trials are those of the queue
            self.died = error

    def _gone(self) -> str | None:
        dead = {str(kind) for kind, _ in self._node.dead_processes()} if self._node is not None else set()
        found = sorted(dead & {"raylet", "gcs_server"})
        return f"its {' and '.join(found)} ended" if found else None


# ------------------------------------------------------------------------------------------------- what Tune is given


@dataclass(frozen=True)
class _Sent:
    """A job on its way to a process. Tune makes names of folders from what it is sent, so it is shown by its key."""

    job: Job

    def __repr__(self) -> str:
        return self.job.key


_WATCH = "orchestrate-node"


def _end_with_its_node() -> None:
    """Have this process end once the raylet that started it has: a trial is then tried again elsewhere, and this one
    would go on beside it."""
    node = os.getppid()

    def watch() -> None:
        while os.getppid() == node:
            time.sleep(_POLLS_S)
        os._exit(1)

    if not any(thread.name == _WATCH for thread in threading.enumerate()):
        threading.Thread(target=watch, name=_WATCH, daemon=True).start()


def _trainable() -> Any:
    def trial(config: dict[str, Any]) -> None:
        from ray import tune

        _end_with_its_node()
        record = run_trial(config["sent"].job, lambda given: tune.report(dict(given)), alone=config["alone"])
        if record.failure is not None and record.failure.cause == "memory":
            # what is left of it must not be in the way of the next trial in this process
            raise MemoryError(record.failure.message)

    return trial


def _asking(queue: Queue, follower: Any, loop: _Loop) -> Any:
    from ray.tune.search import Searcher

    class Asking(Searcher):
        """The queue, as Tune asks for trials."""

        def suggest(self, trial_id: str) -> Any:
            loop.leave_if_over()
            start: Start | None = queue.next()
            if start is None:
                # one that runs may come back
                return Searcher.FINISHED if queue.is_done else None
            follower.jobs[start.job.key] = start.job
            return {"key": start.job.key, "sent": _Sent(start.job), "gpus": start.gpus, "alone": start.alone}

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            pass

        def save(self, checkpoint_path: str) -> None:
            pass

        def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
            pass

        def restore(self, checkpoint_path: str) -> None:
            pass

        def __reduce__(self) -> Any:
            # Tune pickles its search to restore it, which we never do
            return Searcher, ()

    return Asking()


def _follower(queue: Queue, listener: Listener, loop: _Loop) -> Any:
    from ray.tune import Callback
    from ray.tune.progress_reporter import TrialProgressCallback

    # Tune prints a line for each trial unless it is given a callback of this kind
    class Follower(TrialProgressCallback):
        """Tune's events as ours. A trial's end is what its record says, whatever Tune makes of it."""

        def __init__(self) -> None:
            super().__init__()
            self.jobs: dict[str, Job] = {}
            """By key, all that Tune was given."""
            self.open: dict[str, None] = {}
            """Keys of trials that were started and have not ended."""
            self._told: set[str] = set()
            """Tune's names of the trials that have ended."""

        def __reduce__(self) -> Any:
            # Tune pickles its callbacks to restore them, which we never do; ours hold a terminal and a database
            return Callback, ()

        def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            loop.hand_over(self._start, self.jobs[trial.config["key"]])

        def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
            if "epoch" in result and "metrics" in result:
                job = self.jobs[trial.config["key"]]
                loop.hand_over(listener.epoch, job, result["epoch"], result["metrics"])

        def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            loop.hand_over(self._end, trial, _gone("the trial's process ended without a record"))

        def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            error = _error_of(trial)
            loop.hand_over(self._end, trial, _gone(f"the trial's process died: {error or 'killed'}", error))

        def on_step_end(self, iteration: int, trials: list, **info: Any) -> None:
            loop.leave_if_over()
            if iteration % _LOOKS_EVERY == 0:
                for trial in trials:
                    if trial.status == "ERROR" and trial.trial_id not in self._told:
                        self.on_trial_error(iteration, trials, trial)

        def _start(self, job: Job) -> None:
            if job.key not in self.open:
                self.open[job.key] = None
                listener.started(job)

        def _end(self, trial: Any, otherwise: Failure) -> None:
            job = self.jobs[trial.config["key"]]
            if trial.trial_id in self._told or job not in queue.in_flight:
                return
            self._told.add(trial.trial_id)
            self._start(job)  # its process may have ended before Tune could say so
            del self.open[job.key]
            settle(job, cut_off(job, "failed", otherwise), queue, listener)

    return Follower()


# ----------------------------------------------------------------------------------------------------- what went wrong


def _error_of(trial: Any) -> BaseException | None:
    """Why Tune gave a trial up. What `get_error` looks for lies elsewhere while `fit` runs."""
    path = getattr(trial, "pickled_error_file", None)
    if not path or not os.path.exists(path):
        return None
    from ray import cloudpickle

    try:
        with open(path, "rb") as file:
            return cloudpickle.load(file)  # written by Tune in this very process
    except Exception:
        return None  # cut short by a full disk, or of a class that is not here


def _gone(message: str, error: BaseException | None = None) -> Failure:
    """Of a trial whose process is gone without a word."""
    return Failure(kind="ProcessDied", message=message, traceback=message, cause=_cause(error))


def _cause(error: BaseException | None) -> Cause:
    names = {cls.__name__ for one in (error, getattr(error, "__cause__", None)) for cls in type(one).__mro__}
    # Ray's own monitor of memory ends the worst, and Tune with it
    if "OutOfMemoryError" in names:
        return "memory"
    if getattr(error, "preempted", False):
        return "preemption"
    return "infrastructure"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
