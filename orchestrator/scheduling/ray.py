"""A Ray of our own on this machine for as long as a run lasts, or a cluster that is there already."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from orchestrator.cost import slots
from orchestrator.errors import refused
from orchestrator.events import Listener
from orchestrator.interrupts import Interrupts
from orchestrator.preflight import Machine
from orchestrator.scheduling import BackendDied, guard
from orchestrator.scheduling.queue import Queue
from orchestrator.schema import Resources
from orchestrator.trainables import Surroundings, Trainable

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Ctrl-C is ours: Tune would end without telling that it was cut short
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # a node that is taken back is told, so that it is we who start its trials again
    "RAY_TRAIN_COUNT_PREEMPTION_AS_FAILURE": "1",
    # a trial that is slow to end must not be taken for a failure of the one after it
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "3600",
    # Tune's own state is not used, so it is written rarely
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
}
_OBJECT_STORE_BYTES = 200_000_000
"""Trials exchange scores only; encoded data is shared through files."""
_PREFIX = "orc-"
_RECONNECTS = "RAY_gcs_rpc_server_reconnect_timeout_s"
_KNOCKS_S = 10.0
"""Seconds in which the head of a cluster has to take a connection."""
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
        self.whole = machine
        """All that trials can be given together."""
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
        # Python's handler of SIGTERM stays ours
        vars(import_module("ray._private.utils"))["set_sigterm_handler"] = lambda handler: None
        if self.address is not None:
            try:
                with self._joined(self.address):
                    interrupts.take_signals()
                    yield self
            finally:
                interrupts.take_signals()
            return
        temporary, in_use = _temporary()
        watcher = _guard(temporary)
        # without its GCS Ray would end this process after a minute; we notice sooner, and start another
        os.environ.update({guard.MARKER: str(temporary), _RECONNECTS: "1000000"})
        try:
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
            except Exception as error:
                # Ray has no class of its own for what keeps it from starting
                raise BackendDied(f"Ray did not start ({_first_line(error)})") from error
            # a worker that dies is told by its record; Ray would print a page on it, whatever `log_to_driver` says
            vars(import_module("ray._private.worker"))["_worker_logs_enabled"] = False
            interrupts.take_signals()  # below Python, Ray has set a handler of its own
            yield self
        finally:
            ray.shutdown()
            interrupts.take_signals()  # it has set the default again
            for name in (guard.MARKER, _RECONNECTS):
                os.environ.pop(name, None)
            guard.end_left_over(temporary)
            in_use.close()
            _remove(temporary)
            watcher.kill()
            watcher.communicate()

    @contextmanager
    def _joined(self, address: str) -> Iterator[None]:
        """The cluster at an address. Raises StudyError if it is not there, or does not share the home."""
        import ray

        try:
            _knock(address)
            ray.init(address=address, log_to_driver=False, configure_logging=False, namespace="orchestrate")
        except (OSError, ValueError, RuntimeError) as error:
            raise refused(f"no Ray cluster answers at {address}: {_first_line(error)}") from None
        try:
            nodes = [node for node in ray.nodes() if node["Alive"]]
            self._refuse_what_is_not_shared(nodes)
            found = [node["Resources"] for node in nodes]
            cpus, gpus = ([resources.get(kind, 0.0) for resources in found] for kind in ("CPU", "GPU"))
            self.machine, self.whole = Machine(int(max(cpus)), max(gpus)), Machine(int(sum(cpus)), sum(gpus))
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
        from orchestrator.scheduling import tune

        n_slots = slots(self.resources, self.whole, self.at_most)
        tune.run(queue, listener, interrupts, self._request, n_slots, self.at_most, self.scratch)

    def _request(self, config: dict[str, Any]) -> Any:
        """What one trial asks for; Tune asks it of every trial."""
        from ray.tune import PlacementGroupFactory

        cpus = self.machine.cpus if config["alone"] and not config["gpus"] else self.resources.cpus
        return PlacementGroupFactory([{"CPU": cpus, **({"GPU": config["gpus"]} if config["gpus"] else {})}])


def _prepare(trainable: Trainable, values: Mapping[str, Any], where: Surroundings) -> None:
    trainable.prepare(values, where)


def _knock(address: str) -> None:
    """Raises OSError where nobody listens: Ray itself would go on trying for a minute or more."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCKS_S).close()


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _guard(temporary: Path) -> subprocess.Popen[bytes]:
    """A process that ends this Ray if we cannot."""
    command = [sys.executable, "-I", "-S", guard.__file__, str(temporary)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _short_temporary_folder() -> str:
    folder = tempfile.gettempdir()
    return folder if len(folder) <= _LONGEST_TEMPORARY else "/tmp"


def _temporary() -> tuple[Path, IO[str]]:
    """A new folder for Ray, held: another driver that clears away in this very moment may be quicker."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_short_temporary_folder()))
        try:
            in_use = _held(folder)
        except FileNotFoundError:
            continue
        if in_use is not None and folder.exists():
            return folder, in_use


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


def clear_left_over(scratch: Path) -> None:
    """Remove what drivers that were killed could not. The home is held, so no other driver uses its scratch.

    Whether a driver still lives is told by its lock: drivers in containers may share a folder without seeing each
    other's processes.
    """
    for file in scratch.glob(".shared-*"):
        file.unlink(missing_ok=True)
    for folder in scratch.glob(".tune-*"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in Path(_short_temporary_folder()).glob(f"{_PREFIX}*"):
        try:
            in_use = _held(folder)
        except OSError:
            continue  # another user's, or gone in this moment
        if in_use is not None:
            guard.end_left_over(folder)
            shutil.rmtree(folder, ignore_errors=True)
            in_use.close()
