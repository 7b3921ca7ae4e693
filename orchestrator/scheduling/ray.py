"""Trials side by side through Ray Tune, on this machine or on a cluster.

Tune schedules; which trial is next, what came of it and what is tracked is decided in the driver, by queue and store:
Tune asks the queue for every trial, as it asks a search algorithm, so that one that failed can come back and one whose
variant was measured can ask for less of a GPU. Each process that Tune starts runs one trial after another, as most of a
short trial is start-up; `trial.run_trial` begins each from the same state.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from orchestrator.errors import refused
from orchestrator.events import Listener
from orchestrator.failures import Cause
from orchestrator.interrupts import Interrupts
from orchestrator.preflight import Machine
from orchestrator.scheduling import BackendDied, settle
from orchestrator.scheduling.queue import Queue, Start
from orchestrator.schema import Resources
from orchestrator.store import Failure
from orchestrator.trainables import Surroundings, Trainable
from orchestrator.trial import Job, cut_off, run_trial

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Ctrl-C is ours: Tune would end without telling that it was cut short
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # Tune's own state is not used, so it is written rarely
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
}
_OBJECT_STORE_BYTES = 200_000_000
"""Trials exchange scores only; encoded data is shared through files."""
_PREFIX = "orc-"
_ANSWERS_S = 60.0
"""Seconds in which a node of a cluster has to answer."""
_LONGEST_TEMPORARY = 27
"""Letters of the folder that holds Ray's: its sockets lie deep below, and their paths may have 107 letters."""


class RayTune:
    """A Ray of our own on this machine for as long as the context lasts, or a cluster that is there already."""

    def __init__(
        self,
        machine: Machine,
        resources: Resources,
        scratch: Path,
        address: str | None = None,
        at_most: int | None = None,
    ) -> None:
        self.machine = machine
        """What trials can be given: of a cluster, what its greatest node has."""
        self.resources = resources
        self.scratch = scratch
        """Where Tune keeps its books while it runs."""
        self.address = address
        self.at_most = at_most
        """Trials at the same time; `None` is as many as fit."""

    @contextmanager
    def started(self, interrupts: Interrupts) -> Iterator[RayTune]:
        os.environ.update(_ENVIRONMENT)
        import ray

        for name in ("ray", "ray.tune", "ray.train", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        _clear_left_over(self.scratch)
        if self.address is not None:
            with self._joined(self.address):
                interrupts.take_signals()
                yield self
            return
        temporary = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_short_temporary_folder()))
        in_use = _held(temporary)
        try:
            ray.init(
                address="local",
                num_cpus=self.machine.cpus,
                num_gpus=int(self.machine.gpus),
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _temp_dir=str(temporary),
            )
            # a worker that dies is told by its record; Ray would print a page on it, whatever `log_to_driver` says
            vars(import_module("ray._private.worker"))["_worker_logs_enabled"] = False
            interrupts.take_signals()  # Ray has set a handler of its own
            yield self
        finally:
            ray.shutdown()
            if in_use is not None:
                in_use.close()
            _remove(temporary)

    @contextmanager
    def _joined(self, address: str) -> Iterator[None]:
        """The cluster at an address. Raises StudyError if it is not there, or does not share the home."""
        import ray

        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False, namespace="orchestrate")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise refused(f"no Ray cluster answers at {address}: {_first_line(error)}") from None
        try:
            nodes = [node for node in ray.nodes() if node["Alive"]]
            self._refuse_what_is_not_shared(nodes)
            found = [node["Resources"] for node in nodes]
            self.machine = Machine(
                int(max(resources.get("CPU", 0) for resources in found)),
                max(resources.get("GPU", 0.0) for resources in found),
            )
            yield
        finally:
            ray.shutdown()

    def _refuse_what_is_not_shared(self, nodes: list[dict[str, Any]]) -> None:
        import ray
        from ray.exceptions import RayError
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        with tempfile.NamedTemporaryFile(prefix=".shared-", dir=self.scratch) as shared:
            look = ray.remote(num_cpus=0, max_retries=0)(os.path.exists)
            for node in nodes:
                strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                name = f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
                try:
                    there = ray.get(look.options(scheduling_strategy=strategy).remote(shared.name), timeout=_ANSWERS_S)
                except RayError as error:
                    raise refused(f"{name} of the cluster does not answer: {_first_line(error)}") from None
                if not there:
                    raise refused(
                        f"{name} of the cluster does not see the home {self.scratch}; choose one on a file system that "
                        f"all nodes share by --home"
                    )

    def prepare(self, trainable: Trainable, values: Mapping[str, Any], where: Surroundings) -> None:
        """In a process of its own, so that the driver never loads the model."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        task = ray.remote(num_cpus=1, max_retries=0)(_prepare)
        try:
            ray.get(task.remote(trainable, values, where))
        except RayTaskError as error:
            raise error.cause from None
        except RayError as error:
            raise BackendDied(f"Ray ended while data was prepared ({_first_line(error)})") from error

    def run(self, queue: Queue, listener: Listener, interrupts: Interrupts) -> None:
        from ray import tune
        from ray.tune.error import TuneError

        jobs: dict[str, Job] = {job.key: job for job in queue.waiting}
        watch = _Watch(interrupts)
        follower = _follower(jobs, queue, listener, watch)
        folder = Path(tempfile.mkdtemp(prefix=".tune-", dir=self.scratch))
        tuner = tune.Tuner(
            tune.with_resources(_trainable(jobs), self._request),
            tune_config=tune.TuneConfig(
                search_alg=_asking(queue, watch),
                num_samples=-1,
                reuse_actors=True,
                max_concurrent_trials=self.at_most,
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(folder),
                verbose=0,
                callbacks=[follower],
                failure_config=tune.FailureConfig(max_failures=0),
            ),
        )
        died = None
        try:
            # not raised in the middle of whatever the driver is doing, but by the follower between two steps of Tune
            with interrupts.telling(lambda: None):
                tuner.fit()
        except _CutShort:
            pass
        except (TuneError, _Died) as error:
            died = _first_line(error)
        finally:
            interrupts.take_signals()
            self._settle(jobs, follower, queue, listener, interrupts)
            shutil.rmtree(folder, ignore_errors=True)
        if died is not None:
            raise BackendDied(f"Ray ended before the trials did ({died})")

    def _request(self, config: dict[str, Any]) -> Any:
        from ray.tune import PlacementGroupFactory

        cpus = self.machine.cpus if config["alone"] and not config["gpus"] else self.resources.cpus
        return PlacementGroupFactory([{"CPU": cpus, "GPU": config["gpus"]}])

    def _settle(
        self, jobs: dict[str, Job], follower: Any, queue: Queue, listener: Listener, interrupts: Interrupts
    ) -> None:
        """Give every trial that was started and not heard of again its record."""
        import ray

        if follower.open:
            ray.shutdown()  # first the processes end, so that none writes a record after us
        for job in queue.in_flight:
            if job.key not in follower.open:
                queue.put_back(job)
            elif interrupts.requested:
                settle(job, cut_off(job, "interrupted"), queue, listener)
            else:
                gone = _gone("Ray ended before the trial did")
                settle(job, cut_off(job, "failed", gone), queue, listener)


class _CutShort(BaseException):
    """Leaves Tune's loop at once. For an Exception Tune would first wait for its trials to end."""


class _Died(BaseException):
    """Ray is gone."""


def _prepare(trainable: Trainable, values: Mapping[str, Any], where: Surroundings) -> None:
    trainable.prepare(values, where)


def _trainable(jobs: dict[str, Job]) -> Any:
    def trial(config: dict[str, Any]) -> None:
        from ray import tune

        record = run_trial(jobs[config["key"]], lambda given: tune.report(dict(given)), alone=config["alone"])
        if record.failure is not None and record.failure.cause == "memory":
            # what is left of it must not be in the way of the next trial in this process
            raise MemoryError(record.failure.message)

    return trial


class _Watch:
    """Leaves Tune's loop once it has no sense any more. Called at every place where Tune calls us: with Ray gone, Tune
    would wait for room that never comes."""

    def __init__(self, interrupts: Interrupts) -> None:
        self.interrupts = interrupts
        # a node that Ray started for us is our child; no public function tells that it has ended
        self.node = getattr(import_module("ray._private.worker"), "_global_node", None)

    def __call__(self) -> None:
        if self.interrupts.requested:
            raise _CutShort
        gone = {str(kind) for kind, _ in self.node.dead_processes()} if self.node is not None else set()
        if gone & {"raylet", "gcs_server"}:
            raise _Died(f"its {' and '.join(sorted(gone))} ended")


def _asking(queue: Queue, watch: _Watch) -> Any:
    from ray.tune.search import Searcher

    class Asking(Searcher):
        """The queue, as Tune asks for trials."""

        def suggest(self, trial_id: str) -> Any:
            watch()
            start: Start | None = queue.next()
            if start is None:
                # one that runs may come back
                return Searcher.FINISHED if queue.is_done else None
            return {"key": start.job.key, "gpus": start.gpus, "alone": start.alone}

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            pass

        def save(self, checkpoint_path: str) -> None:
            pass

        def restore(self, checkpoint_path: str) -> None:
            pass

        def __reduce__(self) -> Any:
            # Tune pickles its search to restore it, which we never do
            return Searcher, ()

    return Asking()


def _follower(jobs: dict[str, Job], queue: Queue, listener: Listener, watch: _Watch) -> Any:
    from ray.tune import Callback
    from ray.tune.progress_reporter import TrialProgressCallback

    # Tune prints a line for each trial unless it is given a callback of this kind
    class Follower(TrialProgressCallback):
        """Tune's events as ours. A trial's end is what its record says, whatever Tune makes of it."""

        def __init__(self) -> None:
            super().__init__()
            self.open: dict[str, None] = {}
            """Keys of trials that were started and have not ended."""

        def __reduce__(self) -> Any:
            # Tune pickles its callbacks to restore them, which we never do; ours hold a terminal and a database
            return Callback, ()

        def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            key = trial.config["key"]
            if key not in self.open:
                self.open[key] = None
                listener.started(jobs[key])

        def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
            if "epoch" in result and "metrics" in result:
                listener.epoch(jobs[trial.config["key"]], result["epoch"], result["metrics"])

        def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            self._end(trial, _gone("the trial's process ended without a record"))

        def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            error = trial.get_error() if hasattr(trial, "get_error") else None
            self._end(trial, _gone(f"the trial's process died: {error or 'killed, perhaps for want of memory'}", error))

        def on_step_end(self, iteration: int, trials: list, **info: Any) -> None:
            watch()

        def _end(self, trial: Any, otherwise: Failure) -> None:
            watch()
            job = jobs[trial.config["key"]]
            if job in queue.in_flight:
                if job.key not in self.open:
                    listener.started(job)  # its process ended before Tune could say so
                self.open.pop(job.key, None)
                settle(job, cut_off(job, "failed", otherwise), queue, listener)

    return Follower()


def _gone(message: str, error: Exception | None = None) -> Failure:
    """Of a trial whose process is gone without a word."""
    return Failure(kind="ProcessDied", message=message, traceback=message, cause=_cause(error))


def _cause(error: Exception | None) -> Cause:
    names = {cls.__name__ for cls in type(error).__mro__}
    if "OutOfMemoryError" in names:
        return "memory"
    if getattr(error, "preempted", False):
        return "preemption"
    return "infrastructure"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _short_temporary_folder() -> str:
    folder = tempfile.gettempdir()
    return folder if len(folder) <= _LONGEST_TEMPORARY else "/tmp"


def _remove(folder: Path) -> None:
    """Ray's processes write for a moment after it was shut down."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def _held(folder: Path) -> IO[str] | None:
    """Hold a folder of Ray's for this driver, by a lock that goes with the process; None if another one holds it."""
    file = (folder / ".driver").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _clear_left_over(scratch: Path) -> None:
    """Remove what drivers that were killed could not. The home is held, so no other driver uses its scratch.

    Whether a driver still lives is told by its lock: drivers in containers may share a folder without seeing each
    other's processes.
    """
    for folder in scratch.glob(".tune-*"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in Path(_short_temporary_folder()).glob(f"{_PREFIX}*"):
        try:
            in_use = _held(folder)
        except OSError:
            continue  # another user's, or gone in this moment
        if in_use is not None:
            shutil.rmtree(folder, ignore_errors=True)
            in_use.close()
