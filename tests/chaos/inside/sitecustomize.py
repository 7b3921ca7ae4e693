"""Loaded by every Python process below a driver that the suite starts: stops it at one moment, to be killed there.

`CHAOS_MOMENT` is the moment (`tests.chaos.moments.Moment`) as JSON. Python tells an audit hook of every change of a
file before it is made; the trainable and the wrapped MLflow client tell of theirs. The process that reaches the moment
writes its id to `<folder>/reached` and waits there until `<folder>/go` says that the victim is dead.

`CHAOS_TRACE` is a folder: each process writes there what it does, from which moments are drawn.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import os
import re
import sys
import threading
import time

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate", "sqlite3.connect"}
OWN = {"chaos.epoch", "chaos.mlflow"}
_CLIENT = "mlflow.tracking.client"
_WAITS_S = 60.0


def _told(event, arguments):
    """What the event is about as one word: paths, joined by an arrow."""
    return " -> ".join(os.fsdecode(one) for one in arguments if isinstance(one, str | bytes | os.PathLike))


def _seen(event, arguments, reads_count=False):
    """The kind of an event that counts, or None."""
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, int) or not (reads_count or flags & (os.O_WRONLY | os.O_RDWR)):
            return None
        return "open"
    return event if event in CHANGES or event in OWN or event == "import" else None


def _role():
    return "driver" if os.getpid() == os.getsid(0) else "other"


def _trace(folder):
    file = os.open(f"{folder}/{_role()}-{os.getpid()}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def hook(event, arguments):
        kind = _seen(event, arguments)
        if kind is not None and kind != "import":
            os.write(file, (json.dumps([kind, _told(event, arguments)]) + "\n").encode())

    return hook


def _stop(folder, hold):
    """Tell that the moment is here; only the first process that reaches it."""
    try:
        claim = os.open(f"{folder}/reached.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except OSError:
        return
    os.write(claim, str(os.getpid()).encode())
    os.close(claim)
    os.rename(f"{folder}/reached.new", f"{folder}/reached")
    # the name that was claimed is taken for good
    os.close(os.open(f"{folder}/reached.new", os.O_WRONLY | os.O_CREAT))
    until = time.monotonic() + _WAITS_S
    while hold and time.monotonic() < until and not os.path.exists(f"{folder}/go"):
        time.sleep(0.002)


def _watch(moment):
    kind, pattern, nth = moment["event"], re.compile(moment["pattern"]), moment["nth"]
    role, after, folder, hold = moment["role"], moment["after"], moment["folder"], moment["hold"]
    state = {"left": nth, "armed": None}
    busy = threading.local()

    def hook(event, arguments):
        if state["left"] < 0 or getattr(busy, "on", False):
            return
        if state["armed"] is not None:
            if state["armed"] != threading.get_ident() or event in ("object.__getattr__", "import", "compile"):
                return
        elif kind != "change" and kind != event and not (kind == "open" and event == "open"):
            return
        else:
            seen = _seen(event, arguments)
            if seen is None or (kind == "change" and (seen == "import" or seen in OWN)):
                return
            if role != "any" and _role() != role:
                return
            busy.on = True
            try:
                if not pattern.search(_told(event, arguments)):
                    return
            finally:
                busy.on = False
            state["left"] -= 1
            if state["left"] > 0:
                return
            if after:
                state["armed"] = threading.get_ident()
                return
        state["left"] = -1
        busy.on = True
        try:
            _stop(folder, hold)
        finally:
            busy.on = False

    return hook


class _TellingClient(importlib.abc.MetaPathFinder):
    """Has MLflow's client tell of every call, as `chaos.mlflow <method>`: its writes are made where no hook sees."""

    def find_spec(self, name, path=None, target=None):
        if name != _CLIENT:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def and_wrap(module):
            execute(module)
            cls = module.MlflowClient
            for method in ("create_experiment", "create_run", "log_batch", "set_tag", "update_run", "set_terminated"):
                setattr(cls, method, _telling(method, getattr(cls, method)))

        spec.loader.exec_module = and_wrap
        return spec


def _telling(name, method):
    def told(*arguments, **named):
        sys.audit("chaos.mlflow", name)
        return method(*arguments, **named)

    return told


if os.environ.get("CHAOS_MOMENT") or os.environ.get("CHAOS_TRACE"):
    sys.meta_path.insert(0, _TellingClient())
    if os.environ.get("CHAOS_TRACE"):
        sys.addaudithook(_trace(os.environ["CHAOS_TRACE"]))
    else:
        sys.addaudithook(_watch(json.loads(os.environ["CHAOS_MOMENT"])))
