"""Running a study: what is missing is run, recorded, tracked and reported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator import cost, index, preflight, progress, provenance, report
from orchestrator.errors import Exit, StudyError
from orchestrator.events import Listener, Listeners
from orchestrator.index import Index
from orchestrator.interrupts import Interrupts, caught
from orchestrator.plan import Plan, PlannedTrial, plan
from orchestrator.preflight import Machine
from orchestrator.scheduling import Backend, BackendDied, BackendName
from orchestrator.scheduling.queue import RETRIES, Queue
from orchestrator.scheduling.shares import GpuShares
from orchestrator.schema import PILOT, LoadedStudy, Resources
from orchestrator.store import RECORD, Home, TrialRecord
from orchestrator.tracking import Tracker
from orchestrator.trainables import Permissions, Surroundings, Trainable, Unprepared
from orchestrator.trial import Job, now

_RESTARTS = 3
"""How often in a row a backend is started again that dies before any trial has ended."""


@dataclass(frozen=True)
class Options:
    """How a study is run. Nothing here can change a score."""

    budget: str
    data: tuple[Path, ...]
    """The data search path."""
    backend: BackendName = "ray"
    address: str | None = None
    """Of a Ray cluster; `None` is a Ray of our own on this machine."""
    device: str = "auto"
    cpus: int | None = None
    """CPUs for all trials together; `None` is all that this process may use."""
    gpus: int | None = None
    """GPUs for all trials together; `None` is all that this process may use."""
    at_most: int | None = None
    """Trials at the same time; `None` is as many as fit."""
    trial_gpus: float | None = None
    """GPUs of a trial in place of the study's."""
    retries: int = RETRIES
    max_hours: float | None = None
    """Refuse to start if the trials are expected to take longer together."""
    only: frozenset[str] | None = None
    """Keys of the trials to run, also if they have failed for good; `None`: all that are missing."""
    permissions: Permissions = Permissions()
    trainable: Trainable | None = None
    """In place of the study's."""


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    plan: Plan
    """With the records as they are now."""
    executed: tuple[str, ...]
    """Keys of the trials that came to their end in this run."""
    cached: int
    files: dict[str, Path]
    """The report; empty where no trial has finished."""
    tracking: str
    trouble: str | None
    """Why the tracker is not up to date, if it is not."""
    interrupted: bool
    stopped: str | None = None
    """Why the run ended before its trials, if so."""

    @property
    def failed(self) -> tuple[PlannedTrial, ...]:
        return tuple(t for t in self.plan.trials if t.record is not None and t.record.status == "failed")

    @property
    def exit_code(self) -> Exit:
        if self.interrupted:
            return Exit.INTERRUPTED
        return Exit.TRIAL_FAILED if self.plan.unfinished or self.stopped else Exit.DONE


def run(loaded: LoadedStudy, home: Home, options: Options) -> Outcome:
    """Run the missing trials of a study. Raises StudyError, before any trial starts, for what cannot be run."""
    home.refuse_if_not_writable()
    with home.held(), index.opened(home.index) as books, caught() as interrupts:
        settled = home.settle(now())
        home.refresh(books)
        planned = _plan(loaded, home, options)
        books.put_cells(planned.study.study, options.budget, [(t.variant.name, t.seed, t.key) for t in planned.trials])
        resources = planned.resources
        if options.trial_gpus is not None:
            resources = Resources(cpus=resources.cpus, gpus=options.trial_gpus)
        chosen = _chosen(planned, options)
        machine = Machine.here(options.cpus, options.gpus)
        if chosen:
            _refuse_what_cannot_be(planned, chosen, resources, machine, home, options)
        tracker = Tracker(home, planned.study.study, options.budget, books)
        kept = _Kept(home, books)
        queue = Queue(
            _jobs(planned, chosen, home, options, resources),
            resources,
            retries=options.retries,
            shares=_shares(planned),
        )
        try:
            tracker.open()
            if not queue.is_done:
                _run_queue(planned, queue, home, options, machine, [kept, tracker], interrupts)
        except KeyboardInterrupt:
            interrupts.requested = True
        after = _plan(loaded, home, options)
        tracker.again()
        tracker.reconcile([*settled, *(trial.record for trial in after.trials if trial.record is not None)])
        files: dict[str, Path] = {}
        if any(trial.is_finished for trial in after.trials):
            results, files = report.write(after, home)
            tracker.summarise(results, files)
        return Outcome(
            plan=after,
            executed=tuple(kept.ended_keys),
            cached=sum(trial.is_finished for trial in planned.trials),
            files=files,
            tracking=provenance.masked(tracker.uri),
            trouble=tracker.trouble,
            interrupted=interrupts.requested,
            stopped=queue.stopped,
        )


def run_pilots(loaded: LoadedStudy, home: Home, options: Options) -> None:
    """Train a small part of each variant of which nothing tells how long it takes. Pilots are in no report and in no
    tracker. Raises StudyError for what cannot be run."""
    home.refuse_if_not_writable()
    with home.held(), index.opened(home.index) as books, caught() as interrupts:
        home.settle(now())
        planned = _plan(loaded, home, options)
        unknown = cost.estimate(planned, planned.missing, home).unknown
        machine = Machine.here(options.cpus, options.gpus)
        problems = preflight.check(planned, planned.resources, machine, options.permissions) if unknown else []
        if problems:
            raise StudyError(problems)
        chosen = []
        for variant in planned.variants:
            found = cost.pilot(planned, variant) if variant.name in unknown else None
            if found is None:
                continue
            key, settings, _ = found
            digest = next(trial.data_digest for trial in planned.trials if trial.variant is variant)
            shortened = replace(variant, name=f"{variant.name} (pilot)", settings=settings)
            chosen.append(PlannedTrial(key, shortened, planned.seeds[0], digest, home.record(key)))
        jobs = _jobs(planned, chosen, home, replace(options, budget=PILOT), planned.resources)
        queue = Queue(jobs, planned.resources, retries=options.retries)
        if not queue.is_done:
            _run_queue(planned, queue, home, options, machine, [_Kept(home, books)], interrupts)
        if interrupts.requested:
            raise KeyboardInterrupt


def _plan(loaded: LoadedStudy, home: Home, options: Options) -> Plan:
    return plan(loaded, options.budget, home, options.data, trainable=options.trainable)


def _chosen(planned: Plan, options: Options) -> tuple[PlannedTrial, ...]:
    if options.only is None:
        return planned.missing
    return tuple(trial for trial in planned.unfinished if trial.key in options.only)


def _refuse_what_cannot_be(
    planned: Plan,
    chosen: Sequence[PlannedTrial],
    resources: Resources,
    machine: Machine,
    home: Home,
    options: Options,
) -> None:
    here = None if options.address else machine
    problems = preflight.check(planned, resources, here, options.permissions)
    expected = cost.estimate(planned, chosen, home, cost.slots(resources, machine, options.at_most))
    problems += cost.problems(expected, len(chosen), home, options.max_hours)
    if problems:
        raise StudyError(problems)


def _jobs(
    planned: Plan, chosen: Sequence[PlannedTrial], home: Home, options: Options, resources: Resources
) -> list[Job]:
    if not chosen:
        return []
    origin = provenance.collect()
    provenance.keep_patch(home.root)
    study = planned.study
    required = tuple(dict.fromkeys((study.select.full_name, *study.report.shown_metrics)))
    # a trial that was given no GPU takes none, whatever this process could see
    device = "cpu" if options.device == "auto" and not resources.most_gpus else options.device
    where = Surroundings(options.data, home.cache, device, resources.cpus)
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
            where=where,
            required=required,
            provenance={**origin, "resources": {"device": device, "threads": resources.cpus}},
            trainable=planned.trainable,
        )
        for trial in chosen
    ]


def _shares(planned: Plan) -> GpuShares:
    """What earlier trials have told of their memory."""
    shares = GpuShares()
    for trial in planned.trials:
        if trial.record is not None:
            shares.learn(trial.variant.written, trial.record)
    return shares


class _Kept:
    """Keeps the index up to date, and which trials have ended."""

    def __init__(self, home: Home, books: Index) -> None:
        self.home = home
        self.books = books
        self.ended_keys: list[str] = []

    def started(self, job: Job) -> None:
        pass

    def epoch(self, job: Job, epoch: int, metrics: dict[str, float]) -> None:
        pass

    def retried(self, job: Job, record: TrialRecord, why: str) -> None:
        self._put(record)

    def ended(self, job: Job, record: TrialRecord) -> None:
        self._put(record)
        if record.status != "interrupted":
            self.ended_keys.append(job.key)

    def _put(self, record: TrialRecord) -> None:
        stamp = index.stamp_of(self.home.trial(record.key) / RECORD)
        if stamp is not None:
            self.books.put([(record.model_dump(), stamp, record.model_dump_json())])


def _run_queue(
    planned: Plan,
    queue: Queue,
    home: Home,
    options: Options,
    machine: Machine,
    listeners: Iterable[Listener],
    interrupts: Interrupts,
) -> None:
    """Run the queue to its end, on a new backend where one dies."""
    restarts = 0
    with progress.shown(planned, queue.n_waiting) as shown:
        listener = Listeners([*listeners, shown])
        while not queue.is_done and not interrupts.requested:
            n_before = queue.n_ended
            try:
                with ExitStack() as stack:
                    backend = _backend(options, machine, queue.resources, home, interrupts, stack)
                    _refuse_what_a_cluster_has_not(planned, queue, backend, options)
                    _prepare(backend, planned, queue.waiting)
                    backend.run(queue, listener, interrupts)
            except BackendDied as error:
                restarts = restarts + 1 if queue.n_ended == n_before else 1
                if restarts > _RESTARTS:
                    queue.stopped = f"{error}; it was started {restarts} times without a trial coming to its end"
                    return
                shown.say(f"{error}; it is started again")


def _refuse_what_a_cluster_has_not(planned: Plan, queue: Queue, backend: Backend, options: Options) -> None:
    problems = preflight.resource_problems(planned, queue.resources, backend.machine) if options.address else []
    if problems:
        raise StudyError(problems)


def _backend(
    options: Options, machine: Machine, resources: Resources, home: Home, interrupts: Interrupts, stack: ExitStack
) -> Backend:
    if options.backend == "inline":
        from orchestrator.scheduling.inline import Inline

        return Inline(machine)
    from orchestrator.scheduling.ray import RayTune

    ray = RayTune(machine, resources, home.root, options.address, options.at_most)
    return stack.enter_context(ray.started(interrupts))


def _prepare(backend: Backend, planned: Plan, jobs: Sequence[Job]) -> None:
    """What trials share is prepared once, before them. What cannot be is a fault of the study."""
    distinct = {job.trainable.preparation(job.settings): job for job in jobs}
    for preparation, job in distinct.items():
        if preparation is None:
            continue
        try:
            backend.prepare(job.trainable, job.settings, job.where)
        except Unprepared as error:
            positions = planned.loaded.positions
            if error.path is None:
                raise StudyError([positions.problem(("trainable",), error.message)]) from error
            variant = next(one for one in planned.variants if one.name == job.variant.removesuffix(" (pilot)"))
            place, _ = variant.resolved.origin(error.path)
            raise StudyError([positions.problem(place or variant.place, error.message)]) from error
