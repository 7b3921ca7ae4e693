"""A study on the terminal: a live table where there is one, a line for each epoch and end where there is not.

Everything goes to standard error; standard output is for results.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.plan import Plan
from orchestrator.store import TrialRecord
from orchestrator.trial import Job

_STYLES = {"running": "cyan", "finished": "green", "failed": "red", "interrupted": "yellow", "pruned": "yellow"}


@dataclass
class _Row:
    variant: str
    seed: int
    state: str
    epoch: int = 0
    score: float | None = None
    began: float = field(default_factory=time.monotonic)
    seconds: float | None = None


class _Counts:
    """How far the study is, for the head of the table and the front of each line."""

    def __init__(self, plan: Plan, total: int) -> None:
        self.total = total
        self.cached = sum(trial.is_finished or trial.is_given_up for trial in plan.trials)
        self.ended = 0


class Lines:
    """One line for every event, for logs and pipes."""

    def __init__(self, plan: Plan, total: int, console: Console) -> None:
        self.counts = _Counts(plan, total)
        self.metric = plan.study.select.full_name
        self.at_the_end = plan.shown_metric
        self.console = console

    def started(self, job: Job) -> None:
        self.say(f"started   {job.variant}, seed {job.seed}")

    def epoch(self, job: Job, epoch: int, metrics: dict[str, float]) -> None:
        score = metrics.get(self.metric)
        shown = "" if score is None else f": {self.metric} {score:.2f}"
        self.say(f"epoch {epoch:<3} {job.variant}, seed {job.seed}{shown}")

    def ended(self, job: Job, record: TrialRecord) -> None:
        self.counts.ended += 1
        found = record.metrics.get(self.at_the_end)
        score = "" if found is None else f": {self.at_the_end} {found:.2f}"
        self.say(f"{record.status:<9} {job.variant}, seed {job.seed}{score} ({record.duration_s:.0f} s)")

    def retried(self, job: Job, record: TrialRecord, why: str) -> None:
        self.say(f"again     {job.variant}, seed {job.seed} ({why})")

    def say(self, text: str) -> None:
        front = f"[{self.counts.ended}/{self.counts.total}]"
        self.console.print(f"{front} {text}", markup=False, highlight=False, soft_wrap=True)


class LiveTable:
    """A row for each trial that runs, and for the last ones that ended."""

    SHOWN = 12

    def __init__(self, plan: Plan, total: int, console: Console) -> None:
        self.plan = plan
        self.counts = _Counts(plan, total)
        self.metric = plan.study.select.full_name
        self.rows: dict[str, _Row] = {}
        self.live = Live(self.table(), console=console, refresh_per_second=2, get_renderable=self.table)

    def started(self, job: Job) -> None:
        self.rows[job.key] = _Row(job.variant, job.seed, "running")

    def epoch(self, job: Job, epoch: int, metrics: dict[str, float]) -> None:
        row = self.rows[job.key]
        row.epoch, row.score = epoch, metrics.get(self.metric)

    def ended(self, job: Job, record: TrialRecord) -> None:
        self.counts.ended += 1
        row = self.rows[job.key]
        row.state, row.seconds = record.status, record.duration_s
        row.score = record.metrics.get(self.metric, row.score)

    def retried(self, job: Job, record: TrialRecord, why: str) -> None:
        self.rows.pop(job.key, None)
        self.say(f"again: {job.variant}, seed {job.seed} ({why})")

    def say(self, text: str) -> None:
        """Above the table."""
        self.live.console.print(text, markup=False, highlight=False)

    def table(self) -> Table:
        counts = self.counts
        cached = f", {counts.cached} there already" if counts.cached else ""
        title = f"{self.plan.study.study} · {self.plan.budget_name}: {counts.ended} of {counts.total} trials{cached}"
        table = Table(title=title, title_justify="left")
        for column in ("variant", "seed", "state", "epoch", self.metric, "seconds"):
            left = column in ("variant", "state")
            table.add_column(column, justify="left" if left else "right", overflow="fold")
        running = [row for row in self.rows.values() if row.state == "running"]
        ended = [row for row in self.rows.values() if row.state != "running"]
        for row in [*ended[-max(self.SHOWN - len(running), 0) :], *running]:
            seconds = time.monotonic() - row.began if row.seconds is None else row.seconds
            table.add_row(
                Text(row.variant),  # a name may hold what would be markup
                str(row.seed),
                Text(row.state, _STYLES[row.state]),
                str(row.epoch or ""),
                "" if row.score is None else f"{row.score:.2f}",
                f"{seconds:.0f}",
            )
        return table


@contextmanager
def shown(plan: Plan, total: int) -> Iterator[Lines | LiveTable]:
    """A listener that shows the study on standard error while the block lasts; `total` trials are to be run."""
    console = Console(file=sys.stderr, stderr=True)
    if not console.is_terminal:
        yield Lines(plan, total, console)
        return
    table = LiveTable(plan, total, console)
    with table.live:
        yield table
