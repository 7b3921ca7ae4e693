"""What a study will cost before it is run: trial hours, wall time and disk, from what was measured.

A trial takes as long as the finished trials of its variant did on average, which differ from it in their seed only.
Where there are none, a pilot tells: one epoch of it, run as a trial of its own, times the epochs. First phases that
have to be run are trials among the others; where one has a single epoch, its pilot is the trial itself.
"""

from __future__ import annotations

import heapq
import os
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from orchestrator import identity
from orchestrator.errors import Problem
from orchestrator.plan import Plan, PlannedTrial
from orchestrator.preflight import Machine
from orchestrator.schema import Resources
from orchestrator.store import Home, read_history
from orchestrator.variants import Variant
from orchestrator.words import counted, size

Source = Literal["measured", "pilot"]
_SECONDS = ("seconds/training", "seconds/evaluation")
_WHILE_RUNNING = 7
"""Times its weights that a trial keeps beside them while one epoch's state takes the place of another's: of both the
weights and two moments of each, and the checkpoint that is replaced."""


@dataclass(frozen=True)
class Estimate:
    """The expected cost of some trials."""

    hours: float | None
    """Of all trials together; `None` as long as any variant is unknown."""
    wall_hours: float | None
    """With as many side by side as there is room for."""
    slots: int
    """Trials side by side."""
    sources: dict[str, Source]
    """Variant → where its duration is from."""
    unknown: tuple[str, ...]
    """Variants that nothing was measured of."""
    remedy: str
    """What would measure them."""
    disk_bytes: int | None
    """What the trials will leave, and keep beside while they run."""
    disk_bytes_there: int = 0
    """What of that those that were begun before take up already."""


def estimate(plan: Plan, chosen: Sequence[PlannedTrial], home: Home, slots: int = 1) -> Estimate:
    """What the chosen trials of a plan, first phases among them, will cost. Those of a search, which have each a
    setting of their own, are taken to be alike."""
    chosen = [_alike(plan, trial) for trial in chosen]
    seconds: dict[str, float] = {}
    sources: dict[str, Source] = {}
    measured: dict[str, list[float]] = {}
    for trial in [_alike(plan, trial) for trial in (*plan.first_phases, *plan.trials)]:
        if trial.is_finished and trial.record is not None:
            measured.setdefault(trial.variant.name, []).append(trial.record.duration_s)
    some_of = {trial.variant.name: trial for trial in chosen}
    for name, trial in some_of.items():
        if name in measured:
            seconds[name], sources[name] = statistics.fmean(measured[name]), "measured"
            continue
        pilot = _pilot_seconds(plan, trial, home)
        if pilot is not None:
            seconds[name], sources[name] = pilot, "pilot"
    unknown = tuple(name for name in some_of if name not in seconds)
    hours = wall = None
    if not unknown:
        hours = sum(seconds[trial.variant.name] for trial in chosen) / 3600
        wall = _wall_seconds([(trial, seconds[trial.variant.name]) for trial in chosen], slots) / 3600
    has_pilot = bool(unknown) and plan.trainable.pilot(some_of[unknown[0]].variant.settings) is not None
    remedy = (
        "`orchestrate plan --pilot` measures an epoch of each" if has_pilot else "the first trial of each will tell"
    )
    there = sum(_size(home.trial(trial.key)) for trial in chosen if trial.record is not None)
    n_bytes = disk_bytes(plan, chosen, home, slots)
    return Estimate(hours, wall, slots, sources, unknown, remedy, n_bytes, min(there, n_bytes or 0))


def problems(expected: Estimate, n_trials: int, home: Home, max_hours: float | None) -> list[Problem]:
    """What is too much: more than the disk has, more than the person who types the command allows."""
    found = []
    # a home that does not exist yet will lie on the disk of the folder that does
    free = shutil.disk_usage(next(folder for folder in (home.root, *home.root.parents) if folder.is_dir())).free
    more = (expected.disk_bytes or 0) - expected.disk_bytes_there
    if more > free:
        besides = f" besides the {size(expected.disk_bytes_there)} there" if expected.disk_bytes_there else ""
        found.append(
            f"{counted(n_trials, 'trial')} will leave about {size(more)}{besides} in {home.root}, "
            f"which has {size(free)} free; make room (`orchestrate gc` clears checkpoints), or choose "
            f"another by --home"
        )
    if max_hours is not None and expected.hours is None:
        names = ", ".join(expected.unknown[:3]) + (", …" if len(expected.unknown) > 3 else "")
        found.append(
            f"--max-hours {max_hours:g}: nothing tells yet how long a trial of {names} takes; {expected.remedy}"
        )
    elif max_hours is not None and expected.hours is not None and expected.hours > max_hours:
        found.append(f"about {expected.hours:.2f} trial hours are expected, more than --max-hours {max_hours:g}")
    return [Problem("", 0, 0, "", message) for message in found]


def slots(resources: Resources, machine: Machine, at_most: int | None = None) -> int:
    """Trials that fit side by side."""
    fit = machine.cpus // resources.cpus
    if resources.most_gpus:
        fit = min(fit, int(machine.gpus / resources.most_gpus + 1e-9))
    return max(1, min(fit, at_most or fit))


def _alike(plan: Plan, trial: PlannedTrial) -> PlannedTrial:
    """A trial as one of those that are taken to be alike."""
    return trial if plan.search is None or trial.is_first_phase else replace(trial, variant=plan.search.base)


def pilot(plan: Plan, variant: Variant, seed: int) -> tuple[str, dict[str, Any], int] | None:
    """Key and settings of a variant's pilot, and how many times longer the trial is; `None` if it can have none."""
    shortened = plan.trainable.pilot(variant.settings)
    if shortened is None:
        return None
    settings, factor = shortened
    written = identity.canonical(settings)
    (key,) = identity.keys(written, (seed,), plan.data_digest(settings), plan.trainable.identity())
    return key, settings, factor


def disk_bytes(plan: Plan, chosen: Sequence[PlannedTrial], home: Home, slots: int = 1) -> int | None:
    """Bytes that the chosen trials will leave, and keep beside while they run; `None` if nothing tells."""
    finished = [trial.key for trial in (*plan.trials, *plan.first_phases) if trial.is_finished][:3]
    measured = [_size(home.trial(key)) for key in finished]
    per_trial: list[int] = []
    known: dict[str, int | None] = {}
    for trial in chosen:
        if trial.variant.name not in known:
            told = plan.trainable.disk_bytes(trial.variant.settings)
            known[trial.variant.name] = told if told is not None else max(measured, default=None)
        size = known[trial.variant.name]
        if size is None:
            return None
        per_trial.append(size)
    return sum(per_trial) + _WHILE_RUNNING * max(per_trial, default=0) * min(slots, len(per_trial))


def _pilot_seconds(plan: Plan, trial: PlannedTrial, home: Home) -> float | None:
    found = pilot(plan, trial.variant, trial.seed if trial.is_first_phase else plan.seeds[0])
    if found is None:
        return None
    key, _, factor = found
    record = home.record(key)
    if record is None or record.status != "finished":
        return None
    epoch = sum(_seconds(metrics) for _, metrics in read_history(home.trial(key))[:1])
    # what is not training comes once: loading, and the evaluation on test
    return max(record.duration_s - epoch, 0.0) + epoch * factor


def _seconds(metrics: Mapping[str, float]) -> float:
    return sum(metrics.get(name, 0.0) for name in _SECONDS)


def _wall_seconds(durations: Sequence[tuple[PlannedTrial, float]], slots: int) -> float:
    """Each trial in turn goes where there is room first, and not before its first phase has ended."""
    free_at = [0.0] * slots
    ended_at: dict[str, float] = {}
    for trial, duration in durations:
        start = max(free_at[0], ended_at.get(trial.needs or "", 0.0))
        ended_at[trial.key] = start + duration
        heapq.heapreplace(free_at, start + duration)
    return max(free_at)


def _size(folder: Path) -> int:
    found = 0
    for below, _, names in os.walk(folder):
        found += sum(os.stat(os.path.join(below, name)).st_size for name in names)
    return found
