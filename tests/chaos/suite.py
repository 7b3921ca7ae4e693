"""All cases of the suite in one place: what each runs on, and the table of what came of them."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.chaos import disk, interruptions, rivals
from tests.chaos.lives import Figures, Life
from tests.chaos.moments import VICTIMS, Moment, Point, points, real_points
from tests.chaos.processes import Server
from tests.chaos.studies import BRIEF, REAL, STANDIN, Reference, Study, empty_database, reference

PARTS = (*VICTIMS, "real", "disk", "rivals", "interrupts")


@dataclass(frozen=True)
class Counts:
    """How many cases of each part."""

    points: int = 24
    """Over all victims together."""
    real: int = 3
    disk: int = 5
    rivals: int = 5
    """Two drivers in the same instant; one more comes late."""
    interrupts: int = 8


class Suite:
    """A folder of its own, references that are made when they are needed, and the figures so far."""

    def __init__(self, seed: int, counts: Counts, *, keep: bool = False, number: int | None = None) -> None:
        self.seed, self.counts, self.keep, self.number = seed, counts, keep, number
        self.found: list[Figures] = []
        self.seconds = 0.0
        self._n_homes = 0
        self._references: dict[str, Reference] = {}

    def __enter__(self) -> Suite:
        self._began = time.monotonic()
        # a short path, as sockets lie below it
        self.root = Path(tempfile.mkdtemp(prefix="ch-", dir="/tmp"))
        self.temporary = self.root / "t"
        self.temporary.mkdir()
        return self

    def __exit__(self, *raised: Any) -> None:
        self.seconds = time.monotonic() - self._began
        if self.keep or self.bad:
            print(f"the homes are in {self.root}", file=sys.stderr)
        else:
            shutil.rmtree(self.root, ignore_errors=True)

    @property
    def bad(self) -> list[Figures]:
        return [one for one in self.found if one.problems]

    @cached_property
    def database(self) -> Path:
        return empty_database(self.root / "empty", self.temporary)

    def reference(self, study: Study) -> Reference:
        if study.name not in self._references:
            made = reference(study, self.root / f"reference-{study.name}", self.temporary, self.database)
            print(f"{study.name} undisturbed: {made.seconds:.1f} s, {len(made.records)} trials", file=sys.stderr)
            self._references[study.name] = made
        return self._references[study.name]

    # ------------------------------------------------------------------------------------------------------------ parts

    def run(self, part: str) -> None:
        """All cases of a part."""
        if part in VICTIMS:
            undisturbed = self.reference(STANDIN)
            drawn = points(self.seed, self.counts.points, undisturbed.trace)
            self._cases([(undisturbed, self._strike(point), point) for point in drawn if point.victim == part])
        elif part == "real":
            undisturbed = self.reference(REAL)
            drawn = real_points(self.seed, self.counts.real, undisturbed.trace)
            self._cases([(undisturbed, self._strike(point), point) for point in drawn])
        elif part == "disk":
            undisturbed = self.reference(STANDIN)
            drawn_moments = disk.moments(self.seed, self.counts.disk, undisturbed.trace)
            self._cases([(undisturbed, self._fill(moment), None) for moment in drawn_moments])
        elif part == "rivals":
            brief = self.reference(BRIEF)
            together = [(brief, lambda life, i=i: rivals.together(life, i), None) for i in range(self.counts.rivals)]
            self._cases([(self.reference(STANDIN), rivals.late, None), *together])
        else:
            undisturbed = self.reference(STANDIN)
            given = interruptions.interruptions(self.seed, self.counts.interrupts, undisturbed.trace)
            self._cases([(undisturbed, lambda life, one=one: interruptions.strike(life, one), None) for one in given])

    def _cases(self, cases: list[tuple[Reference, Callable[[Life], Figures], Point | None]]) -> None:
        for number, (undisturbed, strike, point) in enumerate(cases, 1):
            if self.number not in (None, number):
                continue
            with self.life(undisturbed, point) as life:
                figures = strike(life)
            self.take(figures)
            if not figures.problems and not self.keep:
                shutil.rmtree(life.folder, ignore_errors=True)

    @contextmanager
    def life(self, undisturbed: Reference, point: Point | None = None) -> Iterator[Life]:
        """A home of its own, with a server where one is to be killed."""
        self._n_homes += 1
        folder = self.root / f"life{self._n_homes}"
        with ExitStack() as stack:
            server = None
            if point is not None and point.victim == "server":
                database = self.root / f"server{self._n_homes}.db"
                shutil.copy(self.database, database)
                server = Server(self.root / f"server{self._n_homes}", database, self.temporary)
                stack.callback(server.kill)
                server.wait()
            fresh = point is not None and point.moment.fresh
            yield Life(folder, self.temporary, undisturbed, None if fresh else self.database, server)

    def give_database(self, life: Life) -> None:
        """Where a disk was mounted over the one it had."""
        shutil.copy(self.database, life.home / "mlflow.db")

    def take(self, figures: Figures) -> None:
        self.found.append(figures)
        number = f"{len(self.found):>3}"
        print(f"{number} {figures.victim:<10} {figures.moment:<60} {_verdict(figures)}", file=sys.stderr, flush=True)
        for problem in figures.problems:
            print(f"      {problem}", file=sys.stderr, flush=True)

    def _strike(self, point: Point) -> Callable[[Life], Figures]:
        def strike(life: Life) -> Figures:
            figures = life.strike(point)
            if life.server is not None:
                life.sync(figures)
            life.complete(figures)
            return figures

        return strike

    def _fill(self, moment: Moment) -> Callable[[Life], Figures]:
        def strike(life: Life) -> Figures:
            with disk.small_disk(life.home):
                self.give_database(life)
                return disk.strike(life, moment)

        return strike

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "undisturbed_s": {name: round(one.seconds, 1) for name, one in self._references.items()},
            "cases": [one.as_json() for one in self.found],
        }


def _verdict(figures: Figures) -> str:
    if figures.problems:
        return "LOST SOMETHING" if figures.lost or figures.doubled else "NOT RIGHT"
    return "ok" if figures.hit else "missed"


_COLUMNS = {
    "victim": "left", "moment": "left", "at s": "right", "noticed s": "right", "ended s": "right", "finished": "right",
    "lost": "right", "doubled": "right", "epochs again": "right", "MLflow runs": "right", "": "left",
}  # fmt: skip


def show(suite: Suite) -> None:
    """The table of figures and a summary, on standard output."""
    table = Table(box=None)
    for column, justify in _COLUMNS.items():
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for one in suite.found:
        seconds = ["" if s is None else f"{s:.1f}" for s in (one.killed_at_s, one.noticed_s, one.ended_s)]
        numbers = [one.finished_before, one.lost, one.doubled, one.recomputed, one.mlflow_runs]
        table.add_row(one.victim, one.moment, *seconds, *map(str, numbers), _verdict(one))
    Console(width=170).print(table)
    hit = [one for one in suite.found if one.hit]
    print(
        f"{len(suite.found)} cases, {len(hit)} of which met their victim: {sum(one.lost for one in hit)} trials lost, "
        f"{sum(one.doubled for one in hit)} doubled, {sum(one.recomputed for one in hit)} epochs computed again, "
        f"{len(suite.bad)} cases with problems; {suite.seconds / 60:.1f} minutes, seed {suite.seed}"
    )
