"""When is it done, and to whom: points are drawn from a seed.

A moment is a share of the reference run's time, or an event in one of the processes: a file of the home that is
changed, a call of MLflow's client, an epoch, a module that is loaded. Events are precise, as the process that reaches
one waits for the end of the victim; times are not, and find what nobody has thought of.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Victim = Literal["driver", "worker", "node", "server"]
VICTIMS: tuple[Victim, ...] = ("driver", "worker", "node", "server")


@dataclass(frozen=True)
class Moment:
    """By time if `at` is given, otherwise by event."""

    name: str
    """In words, for the table."""
    at: float | None = None
    """Share of the reference run's time."""
    event: str = "change"
    """`change` is any change of a file; otherwise the audit event."""
    pattern: str = ""
    """What has to be found in the event's paths or words."""
    nth: int = 1
    role: Literal["driver", "other", "any"] = "any"
    after: bool = False
    """Right after the event, and not right before it."""
    hold: bool = True
    """Whether the process waits until the victim is dead."""
    delay_s: float = 0.0
    """From the moment to the kill."""
    fresh: bool = False
    """In a home that has no database of MLflow yet."""


@dataclass(frozen=True)
class Point:
    """One kill."""

    victim: Victim
    moment: Moment
    again_at_once: bool = False
    """The next run starts before what the killed one has left behind is gone."""
    gcs: bool = False
    """Of a node the `gcs_server` and not the raylet."""
    all_workers: bool = False

    @property
    def name(self) -> str:
        which = {"node": "gcs_server" if self.gcs else "raylet", "worker": "workers" if self.all_workers else "worker"}
        return which.get(self.victim, self.victim)


@dataclass(frozen=True)
class Trace:
    """What the reference run did: the changes of files in the home, by the driver and in the folder of each trial."""

    driver: tuple[tuple[str, str], ...]
    trials: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    epochs: tuple[str, ...] = ()
    """What the stand-in said at the beginning of each epoch."""
    calls: dict[str, int] = field(default_factory=dict)
    """How often each method of MLflow's client was called."""


Draw = Callable[[random.Random, Trace], Moment]


def by_time(draw: random.Random, trace: Trace) -> Moment:
    at = round(draw.uniform(0.02, 0.85), 3)
    return Moment(f"at {at:.0%} of the time", at=at)


def file_of_driver(draw: random.Random, trace: Trace) -> Moment:
    nth = draw.randint(1, len(trace.driver))
    return Moment(f"driver's change {nth} of {len(trace.driver)}", pattern="@home@", nth=nth, role="driver")


def file_of_trial(draw: random.Random, trace: Trace) -> Moment:
    key = draw.choice(sorted(trace.trials))
    nth = draw.randint(1, len(trace.trials[key]))
    name = f"change {nth} of {len(trace.trials[key])} in a trial's folder"
    return Moment(name, pattern=f"trials/{key}/", nth=nth, role="other")


def _modules(draw: random.Random, trace: Trace) -> Moment:
    module = draw.choice(["typer", "orchestrator.execution", "mlflow", "orchestrator.scheduling.ray"])
    return Moment(f"{module} is imported", event="import", pattern=f"^{re.escape(module)}( |$)", role="driver")


def _database(draw: random.Random, trace: Trace) -> Moment:
    delay = round(draw.uniform(0.0, 4.0), 2)
    return Moment(
        f"MLflow's database is made ({delay} s)", event="sqlite3.connect", pattern=r"mlflow", role="driver",
        hold=False, delay_s=delay, fresh=True,
    )  # fmt: skip


def _ray(draw: random.Random, trace: Trace) -> Moment:
    delay = round(draw.uniform(0.0, 4.0), 2)
    return Moment(
        f"Ray starts ({delay} s)", event="os.mkdir", pattern="/orc-", role="driver", hold=False, delay_s=delay
    )


def _record(what: str, nth: int) -> Draw:
    def moment(draw: random.Random, trace: Trace) -> Moment:
        key, after = draw.choice(sorted(trace.trials)), draw.random() < 0.5
        name = f"{'after' if after else 'before'} a trial's record `{what}`"
        return Moment(name, event="os.rename", pattern=f"{key}/record\\.json$", nth=nth, role="other", after=after)

    return moment


def _state(draw: random.Random, trace: Trace) -> Moment:
    key, nth = draw.choice(sorted(trace.trials)), draw.randint(1, 3)
    event, after, name = draw.choice(
        [
            ("open", True, "in the middle of writing"),
            ("os.rename", False, "before the rename of"),
            ("os.rename", True, "after the rename of"),
        ]
    )
    return Moment(
        f"{name} the state of epoch {nth}", event=event, pattern=f"{key}/last/state\\.new", nth=nth, after=after
    )


def _history(draw: random.Random, trace: Trace) -> Moment:
    key, nth = draw.choice(sorted(trace.trials)), draw.randint(2, 4)
    return Moment(f"history of epoch {nth}", event="open", pattern=f"{key}/history\\.jsonl -> a", nth=nth - 1)


def _forgotten(draw: random.Random, trace: Trace) -> Moment:
    key = draw.choice(sorted(trace.trials))
    if draw.random() < 0.5:
        return Moment("in the middle of removing a trial's state", event="os.rmdir", pattern=f"{key}/.*last")
    name = "after a trial's state was removed"
    return Moment(name, event="os.rmdir", pattern=f"{key}/.*last", after=True)


def _epoch(draw: random.Random, trace: Trace) -> Moment:
    epoch, delay = draw.choice(trace.epochs), round(draw.uniform(0, 0.25), 2)
    number = epoch.split()[-2]
    return Moment(
        f"{delay} s into epoch {number}", event="chaos.epoch", pattern=re.escape(epoch), hold=not delay, delay_s=delay
    )


def _mlflow(*methods: str) -> Draw:
    def moment(draw: random.Random, trace: Trace) -> Moment:
        method, after = draw.choice(methods), draw.random() < 0.5
        nth = draw.randint(1, max(1, trace.calls.get(method, 0) - 1))
        name = f"{'after' if after else 'before'} MLflow's {method} {nth}"
        return Moment(name, event="chaos.mlflow", pattern=f"^{method}$", nth=nth, role="driver", after=after)

    return moment


def _artifact(draw: random.Random, trace: Trace) -> Moment:
    nth = draw.randint(1, 20)
    return Moment(f"artifact {nth} is linked", event="os.link", pattern="mlartifacts", nth=nth, role="driver")


def _report(draw: random.Random, trace: Trace) -> Moment:
    nth = draw.randint(1, 7)
    return Moment(f"file {nth} of the report", event="os.rename", pattern="/report/", nth=nth, role="driver")


def _request(draw: random.Random, trace: Trace) -> Moment:
    moment = _mlflow("create_run", "log_batch", "set_tag", "set_terminated")(draw, trace)
    delay = round(draw.uniform(0.0, 0.05), 3)
    return replace(moment, name=f"{delay} s into {moment.name}", after=False, hold=False, delay_s=delay)


_STARTS: tuple[Draw, ...] = (_database, _ray, _modules)
_ENDS = _mlflow("set_tag", "set_terminated")
DRAWS: dict[Victim, tuple[Draw, ...]] = {
    "driver": (
        _mlflow("create_run", "log_batch"), _record("running", 1), _database, _record("finished", 2), _report, _ray,
        _artifact, by_time, _ENDS, file_of_driver, _epoch, _modules, _state, file_of_driver, by_time,
    ),
    "worker": (
        _state, _record("finished", 2), _epoch, _record("running", 1), _history, file_of_trial, _forgotten, by_time,
        file_of_trial,
    ),
    "node": (_epoch, _ray, _record("finished", 2), by_time, _mlflow("create_run", "set_terminated"), file_of_trial),
    "server": (_request, _mlflow("create_run", "log_batch"), by_time, _ENDS, _request),
}  # fmt: skip
"""The kinds of moment of each victim, in the order in which points take them."""

_TURNS: tuple[Victim, ...] = ("driver", "worker", "node", "driver", "server", "worker", "driver", "node")


def points(seed: int, n: int, trace: Trace, victims: Sequence[Victim] = VICTIMS) -> list[Point]:
    """`n` kills over all victims: the same for the same seed, and every kind of moment has its turn."""
    draw = random.Random(seed)
    turns = [victim for victim in _TURNS if victim in victims]
    turn = {victim: draw.randrange(len(DRAWS[victim])) for victim in VICTIMS}
    found = []
    for i in range(n):
        victim = turns[i % len(turns)]
        kinds = DRAWS[victim]
        moment = kinds[turn[victim] % len(kinds)](draw, trace)
        turn[victim] += 1
        found.append(
            Point(
                victim,
                moment,
                again_at_once=draw.random() < 0.3,
                gcs=draw.random() < 0.4,
                all_workers=draw.random() < 0.3,
            )
        )
    return found


def _real_state(draw: random.Random, trace: Trace) -> Moment:
    """In the folders that hold a checkpoint: two renames put a new one in the place of the old one."""
    key, after = draw.choice(sorted(trace.trials)), draw.random() < 0.5
    folder = draw.choice(["last", "checkpoint"])
    old = f"{key}/{folder} -> .*/\\.{folder}\\.old$"
    name = f"{'after' if after else 'before'} the old `{folder}` is put aside"
    return Moment(name, event="os.rename", pattern=old, role="other", after=after)


def _real_epoch(draw: random.Random, trace: Trace) -> Moment:
    key, delay = draw.choice(sorted(trace.trials)), round(draw.uniform(0.0, 1.0), 2)
    return Moment(
        f"{delay} s into the second epoch", event="os.rename", pattern=f"{key}/.*/last$", role="other",
        hold=False, delay_s=delay,
    )  # fmt: skip


REAL_DRAWS: tuple[tuple[Victim, Draw], ...] = (
    ("worker", _real_state), ("driver", _real_epoch), ("worker", _forgotten), ("node", _real_state),
    ("driver", file_of_trial), ("worker", file_of_trial), ("worker", _real_epoch),
)  # fmt: skip


def real_points(seed: int, n: int, trace: Trace) -> list[Point]:
    """`n` kills of a study of the real model."""
    draw = random.Random(seed)
    return [Point(victim, kind(draw, trace)) for victim, kind in (REAL_DRAWS * n)[:n]]
