"""Trials side by side through Ray Tune.

Tune schedules; what is missing, what came of it and what is tracked is decided here in the driver, by the store. Each
process that Tune starts runs one trial after another, as most of a short trial is start-up; `trial.run_trial` begins
each from the same state.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from model.settings import ExperimentSettings
from orchestrator.events import Listener
from orchestrator.interrupts import Interrupts
from orchestrator.preflight import Machine
from orchestrator.schema import Resources
from orchestrator.store import Failure
from orchestrator.trial import Job, Trainable, cut_off, prepare, run_trial

log = logging.getLogger("orchestrator.scheduling")

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
_LONGEST_TEMPORARY = 27
"""Letters of the folder that holds Ray's: its sockets lie deep below, and their paths may have 107 letters."""


class RayTune:
    """A Ray of our own on this machine, for as long as the context lasts."""

    def __init__(self, machine: Machine, resources: Resources, scratch: Path, at_most: int | None = None) -> None:
        self.machine = machine
        self.resources = resources
        self.scratch = scratch
        """Where Tune keeps its books while it runs."""
        self.at_most = at_most
        """Trials at the same time; `None` is as many as fit."""

    @contextmanager
    def started(self, interrupts: Interrupts) -> Iterator[RayTune]:
        os.environ.update(_ENVIRONMENT)
        import ray

        for name in ("ray", "ray.tune", "ray.train", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        _clear_left_over(self.scratch)
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

    def prepare(
        self, trainable: Trainable, settings: ExperimentSettings, data: tuple[Path, ...], cache: Path
    ) -> dict[str, Any]:
        """In a process of its own, so that the driver never loads the model."""
        import ray
        from ray.exceptions import RayTaskError

        task = ray.remote(num_cpus=1, max_retries=0)(prepare)
        try:
            return ray.get(task.remote(trainable, settings, data, cache))
        except RayTaskError as error:
            raise error.cause from None

    def run(self, jobs: Sequence[Job], listener: Listener, interrupts: Interrupts) -> None:
        from ray import tune

        by_key = {job.key: job for job in jobs}
        follower = _follower(by_key, listener, interrupts)
        folder = Path(tempfile.mkdtemp(prefix=".tune-", dir=self.scratch))
        tuner = tune.Tuner(
            tune.with_resources(_trainable(by_key), {"cpu": self.resources.cpus, "gpu": self.resources.gpus}),
            param_space={"key": tune.grid_search(list(by_key))},
            tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=self.at_most),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(folder),
                verbose=0,
                callbacks=[follower],
                failure_config=tune.FailureConfig(max_failures=0),
            ),
        )
        from ray.tune.error import TuneError

        try:
            # not raised in the middle of whatever the driver is doing, but by the follower between two steps of Tune
            with interrupts.telling(lambda: None):
                tuner.fit()
        except _CutShort:
            pass
        except TuneError as error:
            # what was running is settled as failed; what was not started is run by the next `orchestrate run`
            log.error("Ray Tune ended before the trials did: %s", str(error).strip().splitlines()[-1])
        finally:
            interrupts.take_signals()
            self._settle(by_key, follower, listener, interrupts)
            shutil.rmtree(folder, ignore_errors=True)

    def _settle(self, by_key: dict[str, Job], follower: Any, listener: Listener, interrupts: Interrupts) -> None:
        """Give every trial that was started and not heard of again its record."""
        import ray

        left = [by_key[key] for key in follower.open]
        if left:
            ray.shutdown()  # first the processes end, so that none writes a record after us
        for job in left:
            if interrupts.requested:
                listener.ended(job, cut_off(job, "interrupted"))
            else:
                listener.ended(job, cut_off(job, "failed", _process_died("Ray ended before the trial did")))


class _CutShort(BaseException):
    """Leaves Tune's loop at once. For an Exception Tune would first wait for its trials to end."""


def _trainable(by_key: dict[str, Job]) -> Any:
    def trial(config: dict[str, Any]) -> None:
        from ray import tune

        run_trial(by_key[config["key"]], lambda given: tune.report(dict(given)))

    return trial


def _follower(by_key: dict[str, Job], listener: Listener, interrupts: Interrupts) -> Any:
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
                listener.started(by_key[key])

        def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
            if "epoch" in result and "metrics" in result:
                listener.epoch(by_key[trial.config["key"]], result["epoch"], result["metrics"])

        def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            self._end(trial, "the trial's process ended without a record")

        def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            error = trial.get_error() if hasattr(trial, "get_error") else None
            self._end(trial, f"the trial's process died: {error or 'killed, perhaps for want of memory'}")

        def on_step_end(self, iteration: int, trials: list, **info: Any) -> None:
            if interrupts.requested:
                raise _CutShort

        def _end(self, trial: Any, otherwise: str) -> None:
            key = trial.config["key"]
            if key in self.open:
                del self.open[key]
                listener.ended(by_key[key], cut_off(by_key[key], "failed", _process_died(otherwise)))

    return Follower()


def _process_died(message: str) -> Failure:
    return Failure(kind="ProcessDied", message=message, traceback=message)


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
