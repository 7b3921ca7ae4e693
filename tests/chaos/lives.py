"""A home through one kill or several, to its end, and whether anything was lost."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos import homes
from tests.chaos.homes import Entry
from tests.chaos.moments import Moment, Point
from tests.chaos.processes import Driver, Server, kill, until
from tests.chaos.studies import Reference

_COMES_S = 90.0
"""Seconds in which a moment has to come."""
_NOTICED = {"worker": "again ", "node": "it is started again", "server": "cannot be written"}
"""What the driver says on standard error when it sees what happened."""


@dataclass
class Figures:
    """What one kill came to."""

    victim: str
    moment: str
    hit: bool = False
    """Whether the moment came and its victim was there."""
    killed_at_s: float | None = None
    """Into the run."""
    noticed_s: float | None = None
    """From the kill until the driver says so; of a killed driver until all that it had started is gone."""
    ended_s: float | None = None
    """From the kill to the end of the run."""
    finished_before: int = 0
    """Trials that had finished by then."""
    lost: int = 0
    """Finished trials that are not there any more, or other than before."""
    doubled: int = 0
    """Trials that were executed though they had finished, or by two processes at a time, or have two runs."""
    recomputed: int = 0
    """Epochs that were computed again, over the whole life."""
    mlflow_runs: int = 0
    rerun_s: float | None = None
    problems: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Before:
    """A home as it is before a run."""

    finished: dict[str, dict[str, Any]]
    kept: dict[str, int]
    n_noted: int


class Life:
    """One home."""

    def __init__(
        self, folder: Path, temporary: Path, reference: Reference, database: Path | None, server: Server | None = None
    ) -> None:
        self.folder, self.temporary, self.reference, self.server = folder, temporary, reference, server
        folder.mkdir(parents=True)
        self.home = folder / "home"
        self.home.mkdir()
        if database is not None:
            shutil.copy(database, self.home / "mlflow.db")
        self.study = reference.study.write(folder)
        self.n_runs = 0
        self.n_kills = 0
        self.recomputed = 0

    # ------------------------------------------------------------------------------------------------------ its course

    def run(
        self, *more: str | Path, command: str = "run", moment: Moment | None = None, trace: Path | None = None
    ) -> Driver:
        self.n_runs += 1
        arguments: list[str | Path] = [command, "--home", self.home, "--json", *more]
        if command == "run":
            arguments += [self.study, *self.reference.study.options]
        return Driver(
            arguments,
            self.folder / f"run{self.n_runs}",
            self.temporary,
            ledger=self.folder / "ledger",
            home=self.home,
            moment=moment,
            trace=trace,
            uri=self.server.uri if self.server is not None else None,
        )

    def strike(self, point: Point) -> Figures:
        """A run with a kill, to its end."""
        figures = Figures(point.name, point.moment.name)
        before = self.before()
        driver = self.run(moment=point.moment)
        self.wait_for(driver, point.moment)
        victims: list[int] = []
        if point.victim == "server":
            victims = [0] if not driver.has_ended else []
        else:
            until(lambda: bool(victims.extend(driver.victims(point)) or victims) or driver.has_ended, 20)
        if victims and not driver.has_ended:
            figures.hit = True
            self.n_kills += 1
            figures.killed_at_s = driver.seconds
            self._kill(victims, point)
            figures.finished_before = len(self.finished())
        driver.go_on()
        killed = figures.killed_at_s or driver.seconds
        notice = _NOTICED.get(point.victim)
        if notice is not None and figures.hit:
            until(lambda: notice in driver.told() or driver.has_ended, 120, 0.05)
            if notice in driver.told():
                figures.noticed_s = driver.seconds - killed
        code = driver.end()
        figures.ended_s = driver.seconds - killed
        killed_driver = point.victim == "driver" and figures.hit
        if code is None:
            figures.problems.append("the run did not end")
        elif code != (-9 if killed_driver else 0):
            figures.problems.append(f"the run ended with {code}: {driver.told()[-1500:]}")
        if "Traceback" in driver.told():
            figures.problems.append(f"the run shows a traceback: {driver.told()[-1500:]}")
        if killed_driver and point.again_at_once:
            figures.noticed_s = None
        else:
            figures.noticed_s = self.strays(driver, figures) if killed_driver else figures.noticed_s
        if self.server is not None and self.server.process is None:
            self.server.start()
        self.compare(before, figures)
        return figures

    def complete(self, figures: Figures) -> None:
        """Run to the end and compare everything with the reference."""
        if self.server is not None:
            self.server.wait()
        before = self.before()
        driver = self.run()
        code = driver.end()
        figures.rerun_s = driver.seconds
        if code != 0 or "Traceback" in driver.told():
            figures.problems.append(f"the run after the kill ended with {code}: {driver.told()[-1500:]}")
        self.strays(driver, figures)
        self.compare(before, figures)
        self._check(figures)
        again = self.run()
        code = again.end()
        self.strays(again, figures)
        told = json.loads(again.output.read_text()) if code == 0 else {}
        if told.get("executed") != 0 or told.get("cached") != len(self.reference.records):
            figures.problems.append(f"a further run ended with {code} and executed {told.get('executed')}")
        if told and told["tracking"]["trouble"] is not None:
            figures.problems.append(f"MLflow had trouble: {told['tracking']['trouble']}")
        self._check(figures)

    def sync(self, figures: Figures) -> None:
        """`orchestrate sync` alone brings MLflow up to date."""
        assert self.server is not None
        self.server.wait()
        driver = self.run(command="sync")
        code = driver.end()
        if code != 0:
            figures.problems.append(f"sync ended with {code}: {driver.told()[-1500:]}")
        self.strays(driver, figures)
        self._check_mlflow(figures)

    def wait_for(self, driver: Driver, moment: Moment) -> None:
        """Until a moment has come, or will not come any more."""
        if moment.at is not None:
            seconds = moment.at * self.reference.seconds
            until(lambda: driver.has_ended or driver.seconds >= seconds, _COMES_S)
            return
        until(lambda: driver.has_ended or driver.stopped_at is not None, _COMES_S, 0.001)
        if moment.delay_s:
            until(lambda: driver.has_ended, moment.delay_s, 0.001)

    def _kill(self, victims: Sequence[int], point: Point) -> None:
        if point.victim == "server":
            assert self.server is not None
            self.server.kill()
            if point.again_at_once:
                self.server.start()
            return
        for victim in victims:
            kill(victim)

    def strays(self, driver: Driver, figures: Figures) -> float | None:
        seconds, left = driver.strays_end()
        if left:
            figures.problems.append(f"processes of the run stay: {left}")
        return seconds

    # ------------------------------------------------------------------------------------------------------ comparisons

    def finished(self) -> dict[str, dict[str, Any]]:
        return {key: one for key, one in homes.records(self.home).items() if one["status"] == "finished"}

    def before(self) -> Before:
        trials = self.home / "trials"
        keys = [path.name for path in trials.iterdir()] if trials.is_dir() else []
        kept = {key: homes.kept_epoch(trials / key) for key in keys}
        return Before(self.finished(), kept, len(homes.ledger(self.folder / "ledger")))

    def compare(self, before: Before, figures: Figures) -> None:
        """What had finished before a run is as it was, and what had a state went on from there."""
        records = homes.records(self.home)
        for key, record in before.finished.items():
            if records.get(key) != record:
                figures.lost += 1
                figures.problems.append(f"trial {key} had finished and has another record now")
        new = homes.ledger(self.folder / "ledger")[before.n_noted :]
        first: dict[str, Entry] = {}
        for entry in new:
            key = self._key(entry)
            if key in before.finished:
                figures.doubled += 1
                figures.problems.append(f"trial {key} had finished and was executed again")
            if entry.what == "began":
                first.setdefault(key, entry)
        for key, entry in first.items():
            if entry.epoch < before.kept.get(key, 0):
                figures.problems.append(f"trial {key} began after epoch {entry.epoch}, not {before.kept[key]}")

    def _key(self, entry: Entry) -> str:
        for key, record in self.reference.records.items():
            if (record["settings"].get("gain"), record["seed"]) == entry.trial:
                return key
        raise KeyError(entry)

    def _check(self, figures: Figures) -> None:
        """Everything is there, once, and as in the reference."""
        problems = figures.problems
        wanted, found = self.reference.records, homes.records(self.home)
        if found.keys() != wanted.keys():
            problems.append(f"records {sorted(found)}, wanted {sorted(wanted)}")
        for key in found.keys() & wanted.keys():
            for name in ("status", "metrics", "selected_epoch", "variant", "seed", "settings", "failure"):
                if found[key][name] != wanted[key][name]:
                    problems.append(f"trial {key}: {name} {found[key][name]}, wanted {wanted[key][name]}")
            if len(found[key]["earlier"]) + 1 != found[key]["attempts"]:
                problems.append(f"trial {key}: {found[key]['attempts']} attempts, {len(found[key]['earlier'])} earlier")
            if homes.history(self.home, key) != homes.history(self.reference.home, key):
                problems.append(f"trial {key}: history {homes.history(self.home, key)}")
            problems += self._other_files(key)
        if homes.indexed(self.home) != found:
            problems.append("the index is not what the records say")
        if homes.table(self.home, self.reference.study.name) != self.reference.table:
            problems.append(f"the table is {homes.table(self.home, self.reference.study.name)}")
        self._check_files(figures)
        self._check_mlflow(figures)
        self._check_ledger(figures)

    def _other_files(self, key: str) -> list[str]:
        """Weights and predictions, to the last bit."""
        problems = []
        for path in (self.reference.home / "trials" / key).rglob("*"):
            place = path.relative_to(self.reference.home)
            if place.parts[2] in ("checkpoint", "predictions", "counts") and path.is_file():
                mine = self.home / place
                if not mine.is_file() or _content(mine) != _content(path):
                    problems.append(f"{place} is not as in the reference")
        return problems

    def _check_files(self, figures: Figures) -> None:
        wanted, found = self.reference.files, homes.files(self.home)
        if self.server is not None:
            wanted = {name for name in wanted if not name.startswith("mlartifacts")} - {"mlflow.db"}
            found -= {"mlflow.db"}
        if found != wanted:
            figures.problems.append(f"files too many {sorted(found - wanted)}, missing {sorted(wanted - found)}")
        # MLflow leaves an empty lock for each database, and torch a folder for what it compiles
        of_others = ("db_init_lock-", "torchinductor_")
        left = [path.name for path in self.temporary.iterdir() if not path.name.startswith(of_others)]
        if left:
            figures.problems.append(f"left in the temporary folder: {left}")

    def _check_mlflow(self, figures: Figures) -> None:
        database = self.home / "mlflow.db" if self.server is None else self.server.database
        runs = homes.runs(database)
        figures.mlflow_runs = len(runs)
        count = Counter(run.key for run in runs)
        if count != Counter(self.reference.runs.keys()):
            figures.doubled += sum(n - 1 for n in count.values())
            figures.problems.append(f"MLflow has the runs {dict(count)}")
        for run in runs:
            wanted = self.reference.runs.get(run.key)
            if wanted is None:
                continue
            place = f"MLflow's run of {run.key or 'the study'}"
            if run.status != "FINISHED":
                figures.problems.append(f"{place} is {run.status}")
            twice = {name for name, values in run.metrics.items() if len(values) > 1}
            if twice:
                figures.problems.append(f"{place} has twice {sorted(twice)}")
            if _plain(run.metrics) != _plain(wanted.metrics):
                different = {
                    name: (run.metrics.get(name), wanted.metrics.get(name))
                    for name in _plain(run.metrics).keys() | _plain(wanted.metrics).keys()
                    if run.metrics.get(name) != wanted.metrics.get(name)
                }
                figures.problems.append(f"{place} has other metrics: {different}")
            if run.params != wanted.params:
                figures.problems.append(f"{place} has the parameters {run.params}")
            missing = wanted.tags.keys() - run.tags.keys()
            if missing:
                figures.problems.append(f"{place} has no tags {sorted(missing)}")

    def _check_ledger(self, figures: Figures) -> None:
        """No two processes at a trial; how many epochs were computed again."""
        entries = homes.ledger(self.folder / "ledger")
        at_work: dict[tuple[float, int], int] = {}
        for entry in entries:
            if entry.what == "began":
                at_work[entry.trial] = entry.process
            elif at_work.get(entry.trial) != entry.process:
                figures.doubled += 1
                figures.problems.append(f"two processes at a time at {entry}")
        if self.reference.study.notes:
            figures.recomputed = sum(entry.what == "epoch" for entry in entries) - self.reference.n_epochs
        else:
            logs = [(self.home / "trials" / key / "log.txt").read_text() for key in self.reference.records]
            figures.recomputed = sum(log.count(" model: epoch ") for log in logs) - self.reference.n_epochs


def _plain(metrics: dict[tuple[str, int], list[float]]) -> dict[tuple[str, int], list[float]]:
    return {name: values for name, values in metrics.items() if not name[0].startswith("seconds/")}


def _content(path: Path) -> Any:
    """Bytes; of what a checkpoint says of itself all but how long it took."""
    if path.name != "checkpoint.json":
        return path.read_bytes()
    told = json.loads(path.read_bytes())
    told["metrics"] = {name: value for name, value in told["metrics"].items() if not name.startswith("seconds/")}
    return told
