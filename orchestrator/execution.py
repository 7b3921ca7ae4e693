"""Running a study: what is missing is run, recorded, tracked and reported."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.embedded import EncoderNotFound
from orchestrator import preflight, progress, provenance, report
from orchestrator.errors import Exit, Problem, StudyError
from orchestrator.events import Listeners
from orchestrator.interrupts import Interrupts, caught
from orchestrator.plan import Plan, PlannedTrial, plan
from orchestrator.preflight import Machine
from orchestrator.scheduling import Backend, BackendName
from orchestrator.schema import LoadedStudy, Resources
from orchestrator.store import Home
from orchestrator.tracking import Tracker
from orchestrator.trial import MODEL, Job, Trainable


@dataclass(frozen=True)
class Options:
    """How a study is run. Nothing here can change a score."""

    budget: str
    data: tuple[Path, ...]
    """The data search path."""
    backend: BackendName = "ray"
    device: str = "auto"
    cpus: int | None = None
    """CPUs for all trials together; `None` is all that this process may use."""
    at_most: int | None = None
    """Trials at the same time; `None` is as many as fit."""
    trial_gpus: float | None = None
    """GPUs of a trial in place of the study's."""
    trainable: Trainable = MODEL


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    plan: Plan
    """With the records as they are now."""
    executed: tuple[str, ...]
    """Keys of the trials that were started."""
    cached: int
    files: dict[str, Path]
    """The report; empty where no trial has finished."""
    tracking: str
    trouble: str | None
    """Why the tracker is not up to date, if it is not."""
    interrupted: bool

    @property
    def failed(self) -> tuple[PlannedTrial, ...]:
        return tuple(t for t in self.plan.trials if t.record is not None and t.record.status == "failed")

    @property
    def exit_code(self) -> Exit:
        if self.interrupted:
            return Exit.INTERRUPTED
        return Exit.TRIAL_FAILED if self.failed else Exit.DONE


def run(loaded: LoadedStudy, home: Home, options: Options) -> Outcome:
    """Run the missing trials of a study. Raises StudyError, before any trial starts, for what cannot be run."""
    home.refuse_if_not_writable()
    with home.held(), caught() as interrupts:
        planned = plan(loaded, options.budget, home, options.data)
        machine = Machine.here(options.cpus)
        resources = planned.resources
        if options.trial_gpus is not None:
            resources = Resources(cpus=resources.cpus, gpus=options.trial_gpus)
        preflight.check(planned, resources, machine)
        tracker = Tracker(home, planned.study.study, options.budget)
        executed: tuple[str, ...] = ()
        jobs = _jobs(planned, home, options, resources) if planned.missing else []
        try:
            if jobs:
                tracker.open()
                executed = _run_jobs(planned, jobs, home, options, machine, resources, tracker, interrupts)
        except KeyboardInterrupt:
            interrupts.requested = True
        after = plan(loaded, options.budget, home, options.data)
        if not jobs:
            tracker.open()
        tracker.reconcile(trial.record for trial in after.trials if trial.record is not None)
        files = report.write(after, home) if any(trial.is_finished for trial in after.trials) else {}
        if files:
            tracker.summarise(after, files)
        return Outcome(
            plan=after,
            executed=executed,
            cached=len(planned.trials) - len(planned.missing),
            files=files,
            tracking=tracker.uri,
            trouble=tracker.trouble,
            interrupted=interrupts.requested,
        )


def _jobs(planned: Plan, home: Home, options: Options, resources: Resources) -> list[Job]:
    origin = provenance.collect()
    study = planned.study
    required = tuple(dict.fromkeys((f"{study.select.on}/{study.select.metric}", *study.report.shown_metrics)))
    # a trial that was given no GPU takes none, whatever this process could see
    device = "cpu" if options.device == "auto" and not resources.gpus else options.device
    return [
        Job(
            key=trial.key,
            study=study.study,
            budget=options.budget,
            variant=trial.variant.name,
            seed=trial.seed,
            settings=trial.variant.settings,
            data_digest=trial.data_digest,
            folder=home.trial(trial.key),
            data=options.data,
            cache=home.cache,
            device=device,
            threads=resources.cpus,
            required=required,
            provenance=origin,
            trainable=options.trainable,
        )
        for trial in planned.missing
    ]


class _Started:
    """Keeps the keys of the trials that were started."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def started(self, job: Job) -> None:
        self.keys.append(job.key)

    def epoch(self, job: Job, epoch: int, metrics: dict[str, float]) -> None:
        pass

    def ended(self, job: Job, record: Any) -> None:
        pass


def _run_jobs(
    planned: Plan,
    jobs: Sequence[Job],
    home: Home,
    options: Options,
    machine: Machine,
    resources: Resources,
    tracker: Tracker,
    interrupts: Interrupts,
) -> tuple[str, ...]:
    started = _Started()
    with ExitStack() as stack:
        backend = _backend(options, machine, resources, home, interrupts, stack)
        _prepare(backend, planned, options, home)
        shown = stack.enter_context(progress.shown(planned))
        backend.run(jobs, Listeners([started, tracker, shown]), interrupts)
    return tuple(started.keys)


def _backend(
    options: Options, machine: Machine, resources: Resources, home: Home, interrupts: Interrupts, stack: ExitStack
) -> Backend:
    if options.backend == "inline":
        from orchestrator.scheduling.inline import Inline

        return Inline()
    from orchestrator.scheduling.ray import RayTune

    ray = RayTune(machine, resources, home.root, options.at_most)
    return stack.enter_context(ray.started(interrupts))


def _prepare(backend: Backend, planned: Plan, options: Options, home: Home) -> None:
    """Encode each data set once before trials share it. Data that cannot be read is a fault of the study."""
    distinct = {
        (trial.variant.settings.data.model_dump_json(), trial.variant.settings.model.encoder.model_dump_json()): trial
        for trial in planned.missing
    }
    for trial in distinct.values():
        settings = trial.variant.settings
        try:
            backend.prepare(options.trainable, settings, options.data, home.cache)
        except (ValueError, OSError) as error:
            at_fault = ("model", "encoder", "name") if isinstance(error, EncoderNotFound) else ("data", "name")
            place, _ = trial.variant.resolved.origin(at_fault)
            loaded = planned.loaded
            problem: Problem = loaded.positions.problem(place or trial.variant.place, str(error))
            raise StudyError([problem]) from error
