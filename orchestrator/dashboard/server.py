"""`orchestrate ui`: the addresses of a study in MLflow, and a server on this machine's loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from orchestrator.dashboard import views
from orchestrator.errors import StudyError, did_you_mean, refused
from orchestrator.provenance import masked
from orchestrator.schema import FULL

LOOPBACK = "127.0.0.1"
_STARTS_WITHIN_S = 120
_ENDS_WITHIN_S = 10
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # eight processes fewer, and half the time to start
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PYTHONWARNINGS": "ignore",
}


@dataclass(frozen=True)
class Place:
    """Where to look, by an address without the server's part."""

    what: str
    address: str


@dataclass(frozen=True)
class Dashboard:
    """A study in a tracker."""

    study: str
    budget: str | None
    """`None` where there are no views of ours."""
    places: tuple[Place, ...]
    """The first is what is opened."""


def find(uri: str, study: str | None, budget: str | None) -> list[Dashboard]:
    """The dashboard of a study, or without a name those of all. Raises StudyError for a study, or a budget of it, that
    the tracker does not have, and for a tracker that cannot be read."""
    from orchestrator.tracking import in_short, prepare

    prepare()
    from mlflow import MlflowClient

    try:
        client = MlflowClient(tracking_uri=uri)
        known = {one.name: one for one in _all(client) if study is not None or _is_ours(one.tags)}
        if study is None:
            return [_dashboard(client, known[name], None) for name in sorted(known)]
        if study not in known:
            names = ", ".join(name for name in sorted(known) if _is_ours(known[name].tags)) or "none"
            raise refused(
                f"MLflow has no study '{study}'{did_you_mean(study, known)}; it has {names}. `orchestrate run` of a "
                f"study puts it there, `orchestrate sync` what ran while MLflow was down"
            )
        return [_dashboard(client, known[study], budget)]
    except StudyError:
        raise
    except Exception as error:  # of MLflow, of its database, of the network
        raise refused(f"MLflow at {masked(uri)} cannot be read: {in_short(error)}") from None


def _all(client: Any) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_experiments(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _is_ours(tags: Mapping[str, str]) -> bool:
    return any(name.startswith(views.TAG + views.view_id("", "").rstrip("-")) for name in tags)


def _dashboard(client: Any, experiment: Any, budget: str | None) -> Dashboard:
    of_view = {views.TRIALS: {}, views.VARIANTS: {}}
    for kind, found in of_view.items():
        prefix = views.TAG + views.view_id(kind, "")
        found |= {name.removeprefix(prefix): name for name in experiment.tags if name.startswith(prefix)}
    budgets = sorted(of_view[views.TRIALS], key=lambda name: (name != FULL, name))
    if budget is not None and budget not in budgets:
        if budgets:
            found = f"{', '.join(budgets)}{did_you_mean(budget, budgets)}"
            raise refused(f"MLflow has no budget '{budget}' of the study {experiment.name}, wanted one of {found}")
    elif budgets:
        budget = budget or budgets[0]
    id = experiment.experiment_id
    if budget is None or not budgets:
        return Dashboard(experiment.name, None, (Place("trials", views.address(id, views.without_view())),))
    kinds = [kind for kind in (views.VARIANTS, views.TRIALS) if budget in of_view[kind]]
    shown = {kind: views.opening(views.view_id(kind, budget)) for kind in kinds}
    places = [Place(kind, views.address(id, parameters)) for kind, parameters in shown.items()]
    places.append(Place("charts", views.address(id, shown[kinds[0]], charts=True)))
    summary = client.search_runs([id], f"tags.kind = 'summary' and tags.budget = '{budget}'", max_results=1)
    for run in summary:
        places.append(Place("summary", views.run_address(id, run.info.run_id)))
        if run.data.tags.get("search") != "true":
            places.append(Place("report", views.run_address(id, run.info.run_id, "report/report.html")))
    return Dashboard(experiment.name, budget, tuple(places))


# --------------------------------------------------------------------------------------------------------- the server


def refuse_if_taken(port: int) -> None:
    """Raises StudyError for a port that somebody listens at."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((LOOPBACK, port))
        except OSError as error:
            raise refused(f"port {port} cannot be had ({error.strerror}); choose another by --port") from None


@contextmanager
def served(uri: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's server over a tracker's database, up inside the block and gone after it. Raises StudyError if it does
    not come up."""
    command = [sys.executable, "-m", "mlflow", "ui", "--host", LOOPBACK, "--port", str(port), "--workers", "1"]
    command += ["--uvicorn-opts", "--log-level=warning"]
    # not in the command, which everybody on this machine can read: it may hold a password
    environment = {**os.environ, **_QUIET, "MLFLOW_BACKEND_STORE_URI": uri}
    # a group of its own: Ctrl-C is for us, and it and its worker are ended together
    process = subprocess.Popen(command, env=environment, stdout=sys.stderr, start_new_session=True)
    try:
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while not _answers(port):
            if process.poll() is not None:
                raise refused(f"the MLflow server ended with code {process.returncode} before it was up")
            if time.monotonic() > deadline:
                raise refused(f"the MLflow server did not answer at port {port} within {_STARTS_WITHIN_S} s")
            time.sleep(0.3)
        yield process
    finally:
        _end(process)


def _answers(port: int) -> bool:
    try:
        # whatever proxy there is, it is not for the loopback
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{LOOPBACK}:{port}/health", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            continue


# ------------------------------------------------------------------------------------------------------- what is told


def tell(found: Sequence[Dashboard], base: str, opens: bool) -> None:
    """Print the addresses of studies, and open the first of one study, or MLflow itself, in the browser.

    `base`: the server's address, as far as people may see it.
    """
    if len(found) != 1:
        print(base)
    for one in found:
        print(one.study if one.budget in (None, FULL) else f"{one.study}, budget {one.budget}")
        for place in one.places if len(found) == 1 else one.places[:1]:
            print(f"  {place.what:<9} {base}/{place.address}")
        if one.budget is None:
            print(f"{one.study} has no views: `orchestrate run` and `orchestrate sync` write them", file=sys.stderr)
    sys.stdout.flush()
    first = f"{base}/{found[0].places[0].address}" if len(found) == 1 else base
    if opens and not _open_browser(first):
        print("there is no browser that could be opened", file=sys.stderr)


def has_desktop(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> bool:
    """Whether a browser that is opened here is seen by whoever typed the command."""
    if "SSH_CONNECTION" in environment:
        return False
    return platform in ("darwin", "win32") or any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _open_browser(address: str) -> bool:
    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False
