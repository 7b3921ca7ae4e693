"""Ctrl-C and SIGTERM: the first ends a study cleanly, the second at once."""

from __future__ import annotations

import csv
import os
import random
import signal
import time
from dataclasses import dataclass

from tests.chaos import homes
from tests.chaos.lives import Figures, Life
from tests.chaos.moments import Moment, Trace, by_time

_AT_ONCE_S = 2.0
"""Seconds in which a second Ctrl-C ends a run, on a loaded machine."""


@dataclass(frozen=True)
class Interruption:
    """One signal, or two."""

    moment: Moment
    number: signal.Signals = signal.SIGINT
    again_after_s: float | None = None
    """When the second one comes; None: never."""
    to_all: bool = True
    """As a terminal does: to the driver and all that it has started."""

    @property
    def name(self) -> str:
        again = "" if self.again_after_s is None else f", again after {self.again_after_s} s"
        return f"{self.moment.name}{again}"


def interruptions(seed: int, n: int, trace: Trace) -> list[Interruption]:
    """`n` of them, half of them twice: at any time, while modules are loaded, and while the report is written."""
    draw = random.Random(seed)
    found = []
    for i in range(n):
        kind = i % 4
        if kind == 0:
            moment = Moment("an epoch begins", event="chaos.epoch", pattern=f"epoch {draw.randint(2, 4)} ", hold=False)
        elif kind == 1:
            moment = by_time(draw, trace)
        elif kind == 2:
            moment = Moment("the report is written", event="os.mkdir", pattern=r"/\.report-", hold=False)
        else:
            at = round(draw.uniform(0.01, 0.3), 3)
            moment = Moment(f"at {at:.0%} of the time", at=at)
        found.append(
            Interruption(
                moment,
                draw.choice([signal.SIGINT, signal.SIGINT, signal.SIGTERM]),
                round(draw.uniform(0.05, 1.5), 2) if i % 2 else None,
                draw.random() < 0.5,
            )
        )
    return found


def strike(life: Life, given: Interruption) -> Figures:
    """A run that is interrupted, and one that goes on from there."""
    figures = Figures(given.number.name, given.name)
    before = life.before()
    driver = life.run(moment=given.moment)
    life.wait_for(driver, given.moment)
    # before it has touched the home there is nothing to end cleanly
    has_begun = (life.home / ".lock").exists()
    figures.hit = not driver.has_ended
    figures.killed_at_s = driver.seconds
    _send(driver.process.pid, given)
    at = time.monotonic()
    if given.again_after_s is not None:
        while not driver.has_ended and time.monotonic() - at < given.again_after_s:
            time.sleep(0.005)
        if not driver.has_ended:
            at = time.monotonic()
            _send(driver.process.pid, given)
    code = driver.end()
    figures.ended_s = time.monotonic() - at
    # once all is told, or before anything was, a signal ends it as it ends any process; shells tell that by 128 + n
    is_ours = has_begun and "the same command goes on from here" not in driver.told()
    # so does a second one that finds it on its way out: Ray takes the handler of SIGTERM away while it shuts down, and
    # Python all handlers at its end
    if figures.hit and code not in ({130} if is_ours and given.again_after_s is None else {130, -given.number}):
        figures.problems.append(f"the run ended with {code}: {driver.told()[-1500:]}")
    if has_begun and "Traceback" in driver.told():
        figures.problems.append(f"the run shows a traceback: {driver.told()[-1500:]}")
    if given.again_after_s is not None and figures.ended_s > _AT_ONCE_S:
        figures.problems.append(f"the second signal took {figures.ended_s:.1f} s")
    figures.finished_before = len(life.finished())
    life.strays(driver, figures)
    life.compare(before, figures)
    if figures.hit and given.again_after_s is None and code == 130:
        statuses = {record["status"] for record in homes.records(life.home).values()}
        if not statuses <= {"finished", "interrupted"}:
            figures.problems.append(f"after the interruption trials are {statuses}")
        running = [run.key for run in homes.runs(life.home / "mlflow.db") if run.status == "RUNNING"]
        if running:
            figures.problems.append(f"runs of MLflow are RUNNING: {running}")
    _check_aggregates(life, figures)
    life.complete(figures)
    return figures


def _send(process: int, given: Interruption) -> None:
    try:
        os.killpg(process, given.number) if given.to_all else os.kill(process, given.number)
    except ProcessLookupError:
        pass


def _check_aggregates(life: Life, figures: Figures) -> None:
    """What was interrupted is in no mean."""
    path = life.home / life.reference.study.name / "report" / "table.csv"
    if not path.exists():
        return
    finished: dict[str, int] = {}
    for record in life.finished().values():
        finished[record["variant"]] = finished.get(record["variant"], 0) + 1
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if int(row["n"]) > finished.get(row["variant"], 0):
                figures.problems.append(f"{row['n']} trials of {row['variant']} in a mean, {finished} have finished")
