"""What the store knows, in MLflow: one experiment a study, exactly one flat run a trial, one summary run a budget.

Only the driver writes, through the client. A run is found by its tag `trial_key`, over all experiments, so that a trial
that is started again, or shared by two studies, goes on in the run that it has. The tracker is a mirror of the store:
if it cannot be reached the study runs on, and the next `orchestrate run` brings it up to date.

Metrics stand at the step of their epoch; those of the selected epoch, on dev and test, once more one step after the
last, so that the value that MLflow shows of a run is the one in the tables. How the UI shows all this is written by
`orchestrator.dashboard`.
"""

from __future__ import annotations

import functools
import getpass
import json
import logging
import os
import re
import shutil
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import unquote, urlparse
from urllib.request import urlopen

from orchestrator import dashboard, index, provenance
from orchestrator.dashboard import note, views
from orchestrator.dashboard.views import Outline
from orchestrator.index import Index, Mirror
from orchestrator.overrides import flat
from orchestrator.store import CHECKPOINT, LOG, RECORD, RESULTS, Home, TrialRecord, read_history
from orchestrator.trial import Job
from reports.records import StudyResults
from reports.search import SearchResults
from reports.statistics import spreads

log = logging.getLogger("orchestrator.tracking")

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # a server that is down is to be noticed in seconds
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
_ANSWERS_S = 5.0
"""Seconds in which a server has to answer before anything is asked of it; MLflow's client would try for a minute."""
_STATUS = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
    "running": "RUNNING",
    "pruned": "KILLED",
}
_ARTIFACTS = (*RESULTS, CHECKPOINT)
_LONGEST_PARAMETER = 6000
_PER_BATCH = 1000
_MOST_CHARACTERS_TOLD = 240


def default_uri(home: Home) -> str:
    """Where runs go: `MLFLOW_TRACKING_URI`, or an SQLite file in the home, whose path must be absolute."""
    return os.environ.get("MLFLOW_TRACKING_URI") or uri_of(home)


def uri_of(home: Home) -> str:
    """Of the SQLite file in the home. In an address `%` and `?` mean something else than in a path."""
    return f"sqlite:///{str(home.database).replace('%', '%25').replace('?', '%3F')}"


def _mirrored(method: Callable[..., None]) -> Callable[..., None]:
    """Whatever goes wrong in the tracker stays there: the store has all of it, and a study does not end for it."""

    @functools.wraps(method)
    def guarded(self: Tracker, *arguments: Any) -> None:
        if self.trouble is not None:
            return
        try:
            method(self, *arguments)
        except Exception as error:
            first = self.had_trouble is None
            self.trouble = self.had_trouble = in_short(error)
            if first and self.announces:
                log.warning(
                    "MLflow at %s cannot be written (%s); the study runs on, `orchestrate sync` brings it up to date",
                    provenance.masked(self.uri),
                    self.trouble,
                )

    return guarded


def in_short(error: Exception) -> str:
    """What went wrong, in one line without credentials; of a long one, how it begins and how it ends."""
    first = provenance.masked(f"{type(error).__name__}: {error}".split("\n")[0])
    if len(first) <= _MOST_CHARACTERS_TOLD:
        return first
    return f"{first[: _MOST_CHARACTERS_TOLD // 2]} … {first[-_MOST_CHARACTERS_TOLD // 2 :]}"


class Tracker:
    """Follows a study and keeps its runs. Never raises: what goes wrong is logged once, and tracking then rests until
    `again`."""

    def __init__(
        self, home: Home, study: str, budget: str, index: Index | None = None, *, announces: bool = True
    ) -> None:
        self.home = home
        self.study = study
        self.budget = budget
        self.index = index
        """Where it is kept which run shows which record; `None` keeps nothing."""
        self.uri = default_uri(home)
        self.announces = announces
        """Whether trouble is told when it begins; else the caller tells it."""
        self.trouble: str | None = None
        """Why tracking rests, if it does."""
        self.had_trouble: str | None = None
        self._outline: Outline | None = None
        self._refused = set[str]()
        """What of the dashboard the server does not take, as was told."""
        self._client: Any = None
        self._experiment = ""
        self._runs: dict[str, str] = {}
        """Trial key → run id."""
        self._own = set[str]()
        """Keys of the trials whose run is in the study's experiment, not in that of another that ran them first."""
        self._logged: dict[str, set[int]] = {}
        """Trial key → epochs that its run has."""

    # ------------------------------------------------------------------------------------------------------- events

    @_mirrored
    def open(self) -> None:
        """Create database and experiment, before anything else could."""
        knock(self.uri)
        prepare()
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=self.uri)
        self._experiment = self._open_experiment()
        self._logged = {}
        self._runs = self._one_run_a_trial(self._search("tags.kind = 'trial'"))
        self._own = set(self._runs)

    @_mirrored
    def present(self, outline: Outline) -> None:
        """Have MLflow's UI show the study as it is: its views and its note, written where they are not so yet."""
        self._outline = outline
        self._present(outline)

    def again(self) -> None:
        """Try once more if tracking rests: the server may be back."""
        if self.trouble is not None:
            self.trouble = None
            self.open()

    @_mirrored
    def started(self, job: Job) -> None:
        self._run(job)

    @_mirrored
    def epoch(self, job: Job, epoch: int, metrics: dict[str, float]) -> None:
        self._log_epochs(job.key, self._run(job), [(epoch, metrics)])

    @_mirrored
    def retried(self, job: Job, record: TrialRecord, why: str) -> None:
        self._client.set_tag(self._run(job), "retried", why[:5000])

    @_mirrored
    def ended(self, job: Job, record: TrialRecord) -> None:
        self._end(record, self._run(job))

    @_mirrored
    def reconcile(self, records: Iterable[TrialRecord]) -> None:
        """Bring the runs of trials that ended up to date, and let none of them stay RUNNING."""
        mirrors = index.read_mirrors(self.home.index, self._place)
        for record in records:
            if record.status == "running":
                continue
            known = mirrors.get(record.key)
            run_id = self._runs.get(record.key)
            if run_id is not None and known == Mirror(run_id, self._stamp(record.key)):
                continue
            run_id = run_id or self._find(record.key)
            if run_id is None:
                run_id = self._create(record)
            self._runs[record.key] = run_id
            self._end(record, run_id, _milliseconds(record.ended))

    @_mirrored
    def summarise(self, results: StudyResults | SearchResults, files: Mapping[str, Path]) -> None:
        """One run for the study under its budget: means, spreads, intervals and comparisons over seeds, and the
        report. Of a search, the score and the settings of the best."""
        name = f"{results.study} · {results.budget}"
        table = next((files[file] for file in ("table.md", "search.md") if file in files), None)
        told = note.of_summary(results, None if table is None else table.read_text(encoding="utf-8"))
        found = self._search(f"tags.kind = 'summary' and tags.budget = '{results.budget}'")
        tags = {**self._tags("summary", results.budget), "question": results.question[:5000], note.TAG: told}
        parameters: dict[str, str] = {}
        if isinstance(results, SearchResults):
            tags |= {"search": "true"}
            if results.best is not None:
                tags |= {"best_trial": results.best.key or ""}
                parameters = {path: _written(value) for path, value in results.best.values.items()}
            while found and {path: found[0].data.params.get(path) for path in parameters} != parameters:
                # what a run has as a parameter stays; another best is another run
                self._client.delete_run(found.pop(0).info.run_id)
        if found:
            run = found[0]
            for tag, value in tags.items():
                self._client.set_tag(run.info.run_id, tag, value)
            for other in found[1:]:
                self._client.delete_run(other.info.run_id)
        else:
            run = self._client.create_run(self._experiment, tags=tags, run_name=name)
            self._log_parameters(run.info.run_id, parameters)
        known = run.data.metrics
        changed = {name: value for name, value in aggregates(results).items() if known.get(name) != value}
        self._log(run.info.run_id, [(0, changed)])
        for path in files.values():
            self._put(run, path, "report")
        if (study := note.path_of(self.home, self.study)).is_file():
            self._put(run, study, None)
        self._client.set_terminated(run.info.run_id, "FINISHED")
        keys = views.keys_of(results)
        self._mark(keys, results.budget)
        self._present(replace(self._outline or views.of_results(results), keys=keys))

    # ---------------------------------------------------------------------------------------------------- underneath

    def _present(self, outline: Outline) -> None:
        described = [
            note.Summary(run.data.tags["budget"], run.info.run_id, run.data.tags.get(note.TAG, ""))
            for run in self._search("tags.kind = 'summary'")
        ]
        missing = outline.keys - self._own
        records = self.home.records(missing) if missing else {}
        elsewhere = Counter(record.study for record in records.values() if record.study != self.study)
        outline = replace(outline, elsewhere=dict(sorted(elsewhere.items())))
        study = note.read(self.home, self.study)
        refused = dashboard.present(self._client, self._experiment, outline, study, described)
        for told in set(refused) - self._refused:
            log.warning("MLflow at %s does not take %s; its UI goes without", provenance.masked(self.uri), told)
        self._refused.update(refused)

    def _mark(self, keys: Set[str], budget: str) -> None:
        """Tag the runs of a budget's trials as such, and no others."""
        tag = views.in_budget(budget)
        for run in self._search("tags.kind = 'trial'"):
            is_in, is_marked = run.data.tags["trial_key"] in keys, tag in run.data.tags
            if is_in and not is_marked:
                self._client.set_tag(run.info.run_id, tag, "yes")
            elif is_marked and not is_in:
                self._client.delete_tag(run.info.run_id, tag)

    def _open_experiment(self) -> str:
        found = self._client.get_experiment_by_name(self.study)
        if found is None:
            location = (self.home.artifacts / self.study).as_uri() if self.uri.startswith("sqlite:") else None
            return self._client.create_experiment(self.study, artifact_location=location)
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return found.experiment_id

    def _search(self, query: str, experiments: Sequence[str] | None = None) -> list[Any]:
        runs: list[Any] = []
        token = None
        while True:
            page = self._client.search_runs(
                list(experiments or [self._experiment]), query, max_results=1000, page_token=token
            )
            runs += page
            token = page.token
            if not token:
                return runs

    def _one_run_a_trial(self, runs: Iterable[Any]) -> dict[str, str]:
        """Trial key → run id. Of several runs the first stays: a server that was killed may have made one, and a
        second when it was asked again."""
        first: dict[str, str] = {}
        for run in sorted(runs, key=lambda run: (run.info.start_time or 0, run.info.run_id)):
            key = run.data.tags["trial_key"]
            if first.setdefault(key, run.info.run_id) != run.info.run_id:
                self._client.delete_run(run.info.run_id)
        return first

    def _find(self, key: str) -> str | None:
        """The run of a trial in any experiment: another study may have run it."""
        experiments = [experiment.experiment_id for experiment in self._client.search_experiments()]
        return self._one_run_a_trial(self._search(f"tags.trial_key = '{key}'", experiments)).get(key)

    def _run(self, job: Job) -> str:
        """The run of a trial, RUNNING: the one that it has, or a new one."""
        if job.key in self._runs and job.key in self._logged:
            return self._runs[job.key]
        run_id = self._runs.get(job.key) or self._find(job.key)
        if run_id is None:
            run_id = self._create(job)
        else:
            self._client.update_run(run_id, status="RUNNING")
            self._logged[job.key] = self._epochs_of(run_id)
        self._runs[job.key] = run_id
        return run_id

    def _create(self, trial: Job | TrialRecord) -> str:
        tags = {
            **self._tags("trial", trial.budget, trial.provenance),
            "trial_key": trial.key,
            "variant": trial.variant,
            "seed": str(trial.seed),
            **({"search": "true"} if trial.provenance.get("search") else {}),
            # a first phase is in no report, and no other study's budget is one of this
            **({views.in_budget(trial.budget): "yes"} if self._shows(trial) else {}),
        }
        name = f"{trial.variant} · seed {trial.seed}"
        begun = _begun(trial) if isinstance(trial, TrialRecord) else None
        run = self._client.create_run(self._experiment, start_time=begun, tags=tags, run_name=name)
        self._runs[trial.key] = run.info.run_id
        self._own.add(trial.key)
        self._keep(trial.key, "")
        self._log_parameters(run.info.run_id, _parameters(trial))
        self._logged[trial.key] = set()
        return run.info.run_id

    def _shows(self, trial: Job | TrialRecord) -> bool:
        return trial.study == self.study and "phase" not in trial.provenance

    def _log_parameters(self, run_id: str, parameters: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        written = [Param(name, value) for name, value in parameters.items()]
        for start in range(0, len(written), 100):
            self._client.log_batch(run_id, params=written[start : start + 100])

    def _keep(self, key: str, stamp: str) -> None:
        if self.index is not None:
            self.index.put_mirror(self._place, key, Mirror(self._runs[key], stamp))

    @property
    def _place(self) -> str:
        """The tracker's name in the index."""
        return provenance.masked(self.uri)

    def _stamp(self, key: str) -> str:
        return index.stamp_of(self.home.trial(key) / RECORD) or ""

    def _tags(self, kind: str, budget: str, origin: Mapping[str, Any] | None = None) -> dict[str, str]:
        commit = (dict(origin or {}).get("code") or provenance.code()).get("commit")
        return {
            "kind": kind,
            "study": self.study,
            "budget": budget,
            "mlflow.user": _user(),
            "mlflow.source.name": f"orchestrate run {self.study}",
            "mlflow.source.type": "LOCAL",
            **({"mlflow.source.git.commit": commit} if commit else {}),
            **({"phase": origin["phase"]} if origin and "phase" in origin else {}),
        }

    def _epochs_of(self, run_id: str) -> set[int]:
        """Epochs that a run has already: the same metric and step twice would be kept twice."""
        run = self._client.get_run(run_id)
        name = next((name for name in run.data.metrics if name.startswith("dev/")), None)
        name = name or next(iter(run.data.metrics), None)
        return {metric.step for metric in self._client.get_metric_history(run_id, name)} if name else set()

    def _log_epochs(self, key: str, run_id: str, epochs: Iterable[tuple[int, dict[str, float]]]) -> None:
        logged = self._logged.setdefault(key, set())
        new = [(epoch, metrics) for epoch, metrics in epochs if epoch not in logged]
        self._log(run_id, new)
        logged |= {epoch for epoch, _ in new}

    def _log(self, run_id: str, steps: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        from mlflow.entities import Metric

        at = int(time.time() * 1000)
        points = [Metric(name, float(value), at, step) for step, metrics in steps for name, value in metrics.items()]
        for start in range(0, len(points), _PER_BATCH):
            self._client.log_batch(run_id, metrics=points[start : start + _PER_BATCH])

    def _end(self, record: TrialRecord, run_id: str, at: int | None = None) -> None:
        """`at`: when, in milliseconds; `None` is now."""
        if record.key not in self._logged:
            self._logged[record.key] = self._epochs_of(run_id)
        folder = self.home.trial(record.key)
        history = read_history(folder)
        self._log_epochs(record.key, run_id, history)
        if record.status == "finished":
            after = max((epoch for epoch, _ in history), default=record.selected_epoch or 0) + 1
            chosen = {} if record.selected_epoch is None else {"selected_epoch": float(record.selected_epoch)}
            # a metric, as the UI shows no means of tags
            seconds = {views.SECONDS: record.duration_s}
            self._log_epochs(record.key, run_id, [(after, {**record.metrics, **chosen, **seconds})])
        tags = {"attempts": str(record.attempts)}
        if record.alone:
            tags["alone"] = "ran out of memory before; then had a GPU or machine to itself"
        if record.failure is not None:
            tags |= {"failure": f"{record.failure.kind}: {record.failure.message}"[:5000]}
            tags |= {"failure_cause": record.failure.cause}
        tags |= {"search": "true"} if record.provenance.get("search") else {}
        tags |= {"pruned": "true"} if record.status == "pruned" else {}
        if (origin := record.imported_from) is not None:
            tags |= {"imported_from": f"{origin.archive} (sha256 {origin.sha256})"}
        for name, value in tags.items():
            self._client.set_tag(run_id, name, value)
        run = self._client.get_run(run_id)
        for name in ("failure", "failure_cause", "alone", "search", "pruned", "imported_from"):
            if name in run.data.tags and name not in tags:
                self._client.delete_tag(run_id, name)  # of an attempt before, or of the search that gave it up
        # a driver that was killed may have come to make the run and no further
        missing = {name: value for name, value in _parameters(record).items() if name not in run.data.params}
        self._log_parameters(run_id, missing)
        for name in _ARTIFACTS:
            if (folder / name).exists():
                self._put(run, folder / name, None)
        # records count whole seconds: a short trial would end before it began
        ended = None if at is None else max(at, run.info.start_time)
        self._client.set_terminated(run_id, _STATUS[record.status], end_time=ended)
        self._runs[record.key] = run_id
        self._keep(record.key, self._stamp(record.key))

    def _put(self, run: Any, path: Path, below: str | None) -> None:
        """Give a run an artifact. Where artifacts are files on this machine they are linked, not copied: checkpoints
        are most of the disk that a study takes, and a file of a trial is only ever replaced, never changed."""
        parsed = urlparse(run.info.artifact_uri)
        if parsed.scheme != "file":
            if path.is_dir():
                self._client.log_artifacts(run.info.run_id, str(path), "/".join(filter(None, (below, path.name))))
            else:
                self._client.log_artifact(run.info.run_id, str(path), below)
            return
        target = Path(unquote(parsed.path)) / (below or "") / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(path, target, copy_function=_link)
        else:
            _link(path, target)


def _link(source: str | Path, target: str | Path) -> None:
    """A hard link in place of what is there, or a copy where links cannot be had. A log grows on, so it is copied."""
    target = Path(target)
    target.unlink(missing_ok=True)
    if Path(source).name != LOG:
        try:
            os.link(source, target)
            return
        except OSError:
            pass
    shutil.copy2(source, target)


def aggregates(results: StudyResults | SearchResults) -> dict[str, float]:
    """Of a study `<variant>/<metric>_mean`, `_sd` (sample standard deviation) and `_n` over the finished seeds, `_low`
    and `_high`, the ends of the 95 % interval of the mean (`Spread.low`); of the comparisons that it declares
    `_difference`, variant - baseline, the ends of its interval `_difference_low` and `_difference_high`, and
    `_p_adjusted` (`Comparison`). What is undefined is left out. Of a search `best/<metric>`, which is on dev, and the
    number of suggestions that came to each end."""
    if isinstance(results, SearchResults):
        standings = ("finished", "pruned", "failed", "interrupted", "waiting", "to come")
        counts = {f"suggestions/{standing}": float(results.counts.get(standing, 0)) for standing in standings}
        best = {} if results.best is None else {f"best/{results.metric}": results.best.score or 0.0}
        return {**counts, **best}
    found: dict[str, float | None] = {}
    for variant, metrics in spreads(results).items():
        for metric, scores in metrics.items():
            name = f"{_legal(variant)}/{metric}"
            found |= {f"{name}_n": float(scores.n), f"{name}_mean": scores.mean, f"{name}_sd": scores.sd}
            found |= {f"{name}_low": scores.low, f"{name}_high": scores.high}
    for (variant, metric), one in results.comparisons.items():
        name = f"{_legal(variant)}/{metric}"
        found |= {f"{name}_difference": one.difference, f"{name}_p_adjusted": one.p_adjusted}
        found |= {f"{name}_difference_low": one.low, f"{name}_difference_high": one.high}
    return {name: value for name, value in found.items() if value is not None}


def _parameters(trial: Job | TrialRecord) -> dict[str, str]:
    parameters = {"variant": trial.variant, "seed": trial.seed, **flat(trial.settings)}
    return {_legal_parameter(name): _written(value) for name, value in parameters.items()}


def _written(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value))[:_LONGEST_PARAMETER]


def _legal_parameter(name: str) -> str:
    return re.sub(r"[^\w.\- /]", "_", name)


def _legal(name: str) -> str:
    """A variant's name in letters that MLflow takes in a metric's name; a slash would make folders of it."""
    return re.sub(r"[^\w.\- ]", "_", name.replace(" / ", " - ")).strip(". ") or "variant"


@dataclass(frozen=True)
class Synced:
    """What `sync` did."""

    uri: str
    trials: int
    """Trials that are in the tracker now."""
    studies: int
    trouble: str | None


def sync(home: Home, ended: str) -> Synced:
    """Bring the tracker up to date with all that is in a home: every trial's run, every report's summary.

    To be called by one that holds the home: a trial that is `running` has no driver then, and is settled.
    """
    from orchestrator.report import reports_in

    home.settle(ended)
    by_study: dict[str, list[TrialRecord]] = {}
    for record in home.records().values():
        by_study.setdefault(record.study, []).append(record)
    found = list(reports_in(home))
    trouble = None
    with index.opened(home.index) as books:
        home.refresh(books)
        for study in sorted({*by_study, *(results.study for results, _ in found)}):
            tracker = Tracker(home, study, "", books, announces=False)
            tracker.open()
            tracker.reconcile(by_study.get(study, []))
            for results, files in found:
                if results.study == study:
                    tracker.summarise(_with_counts(results, files), files)
            trouble = trouble or tracker.trouble
            if trouble is not None:
                break
    n_trials = sum(map(len, by_study.values())) if trouble is None else 0
    return Synced(provenance.masked(default_uri(home)), n_trials, len(by_study), trouble)


def _with_counts(results: StudyResults | SearchResults, files: Mapping[str, Path]) -> StudyResults | SearchResults:
    """Without the counts of documents another test would be made than the report's."""
    from reports import counts  # here, as it loads numpy

    path = files.get(counts.FILE)
    if path is None or isinstance(results, SearchResults):
        return results
    return replace(results, counts=counts.read(path.read_bytes()))


def knock(uri: str) -> None:
    """Raises ConnectionError where a server does not answer in seconds. Any answer will do, also that it wants a
    password, or a certificate that MLflow may have been told to trust."""
    if not uri.startswith(("http://", "https://")):
        return
    place = urlparse(uri)
    address = f"{place.scheme}://{place.netloc.rpartition('@')[2]}{place.path.rstrip('/')}/health"
    try:
        urlopen(address, timeout=_ANSWERS_S).close()
    except HTTPError as error:
        error.close()
    except (OSError, HTTPException) as error:
        why = getattr(error, "reason", error)
        if isinstance(why, ssl.SSLError) and not isinstance(why, TimeoutError):
            return
        told = f"no answer in {_ANSWERS_S:g} seconds" if isinstance(why, TimeoutError) else str(why)
        raise ConnectionError(told) from None


def prepare() -> None:
    """Load MLflow, with a server that is down noticed in seconds, and nothing logged: what goes wrong is told once, by
    us, without its traceback."""
    os.environ.update({name: value for name, value in _ENVIRONMENT.items() if name not in os.environ})
    import mlflow  # noqa: F401  # before the levels, as it sets its own

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _milliseconds(at: str | None) -> int | None:
    """Of a record's time, since 1970."""
    return None if at is None else int(datetime.fromisoformat(at).timestamp() * 1000)


def _begun(record: TrialRecord) -> int | None:
    """When a trial began that the tracker has not seen run, so that the UI's *Duration* is that of the trial."""
    ended = _milliseconds(record.ended)
    return _milliseconds(record.started) if ended is None else ended - int(1000 * record.duration_s)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
