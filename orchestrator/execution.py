"""Running a study: what is missing is run, recorded, tracked and reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from orchestrator import cost, first_phases, index, packages, preflight, progress, provenance, report
from orchestrator import plan as planning
from orchestrator import search as searches
from orchestrator.archive.importing import put_back
from orchestrator.dashboard import note, views
from orchestrator.errors import Exit, StudyError, refused
from orchestrator.events import Listener, Listeners
from orchestrator.failures import full_disk, is_full
from orchestrator.index import Index
from orchestrator.interrupts import Interrupts, caught
from orchestrator.plan import Plan, PlannedTrial, plan
from orchestrator.preflight import Machine
from orchestrator.scheduling import Backend, BackendDied, BackendName
from orchestrator.scheduling.queue import RETRIES, Queue
from orchestrator.scheduling.ray import clear_left_over
from orchestrator.scheduling.shares import GpuShares
from orchestrator.schema import PILOT, LoadedStudy, Resources
from orchestrator.search import Searcher
from orchestrator.store import RECORD, Home, TrialRecord
from orchestrator.tracking import Tracker
from orchestrator.trainables import Permissions, Surroundings, Trainable, Unprepared
from orchestrator.trial import Job, now
from orchestrator.variants import Variant

_PHASE = "pretraining"
"""In the provenance of a first phase, and a tag of its run."""
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
    offline: bool = False
    """Without tracker and report, for a machine that has neither them nor a network."""
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
    """The report; empty where no trial has finished, or the run was offline."""
    tracking: str | None
    """Where the tracker is; `None` of a run that was offline."""
    trouble: str | None
    """Why the tracker is not up to date, if it is not."""
    interrupted: bool
    stopped: str | None = None
    """Why the run ended before its trials, if so."""
    warnings: tuple[str, ...] = ()
    """What a reader of the report must not miss."""

    @property
    def failed(self) -> tuple[PlannedTrial, ...]:
        trials = (*self.plan.open_first_phases, *self.plan.trials)
        return tuple(t for t in trials if t.record is not None and t.record.status == "failed")

    @property
    def exit_code(self) -> Exit:
        if self.interrupted:
            return Exit.INTERRUPTED
        is_complete = not self.plan.unfinished and not self.plan.to_come and not self.stopped
        return Exit.DONE if is_complete else Exit.TRIAL_FAILED


def run(loaded: LoadedStudy, home: Home, options: Options) -> Outcome:
    """Run the missing trials of a study. Raises StudyError, before any trial starts, for what cannot be run."""
    _refuse_what_is_not_installed(options)
    home.refuse_if_not_writable()
    with caught() as interrupts, home.held(), index.opened(home.index) as books:
        clear_left_over(home.root)
        put_back(home)
        settled = home.settle(now())
        home.refresh(books)
        planned = _plan(loaded, home, options)
        books.put_cells(planned.study.study, options.budget, [(t.variant.name, t.seed, t.key) for t in planned.trials])
        first_phases.keep(home, planned.study.study, options.budget, (*planned.trials, *planned.to_come))
        resources = planned.resources
        if options.trial_gpus is not None:
            resources = Resources(cpus=resources.cpus, gpus=options.trial_gpus)
        chosen = _chosen(planned, options)
        to_come = tuple(t for t in planned.to_come if options.only is None and not planned.is_blocked(t))
        machine = Machine.here(options.cpus, options.gpus)
        if chosen or to_come:
            named = {trial.key for trial in chosen}
            before = [trial for trial in planned.before((*chosen, *to_come)) if trial.key not in named]
            _refuse_what_cannot_be(planned, [*before, *chosen, *to_come], resources, machine, home, options)
        tracker = None if options.offline else Tracker(home, planned.study.study, options.budget, books)
        kept = _Kept(home, books)
        jobs = _Jobs(planned, home, options, resources)
        searcher = None
        if planned.search is not None:
            settled += searches.settle(planned.search, planned.records, home)
            searcher = Searcher(planned.search, home, planned.records, jobs.of_suggestion, suggests=bool(to_come))
        queue = Queue(
            map(jobs.of, chosen),
            resources,
            retries=options.retries,
            shares=_shares(planned),
            source=searcher,
        )
        listeners: list[Listener] = [one for one in (searcher, kept, tracker) if one is not None]
        try:
            with _stopping_if_full(queue):
                note.keep(home, loaded)
                if tracker is not None:
                    tracker.open()
                    tracker.present(views.of_plan(planned))
                if not queue.is_done:
                    _run_queue(planned, queue, jobs, machine, listeners, interrupts)
        except KeyboardInterrupt:
            interrupts.requested = True
        after = _plan(loaded, home, options)
        if after.search is not None:
            books.put_cells(after.study.study, options.budget, [(t.variant.name, t.seed, t.key) for t in after.trials])
        results, files = None, dict[str, Path]()
        # before the tracker, which may take its time where no server answers
        with _stopping_if_full(queue):
            # a search has suggested more since
            first_phases.keep(home, after.study.study, options.budget, (*after.trials, *after.to_come))
            if any(trial.is_finished for trial in after.trials) and not options.offline:
                results, files = report.write(after, home, options.data)
        if tracker is not None:
            tracker.again()
            of_first_phases = [trial.record for trial in after.first_phases if trial.record is not None]
            tracker.reconcile([*settled, *of_first_phases, *after.records])
            if results is not None:
                with _stopping_if_full(queue):
                    tracker.summarise(results, files)
        return Outcome(
            plan=after,
            executed=tuple(kept.ended_keys),
            cached=sum(trial.is_finished or trial.is_given_up for trial in planned.trials),
            files=files,
            tracking=None if tracker is None else provenance.masked(tracker.uri),
            trouble=None if tracker is None else tracker.trouble,
            interrupted=interrupts.requested,
            stopped=queue.stopped,
            warnings=() if results is None else results.warnings,
        )


@contextmanager
def _stopping_if_full(queue: Queue) -> Iterator[None]:
    """A disk without room is told as what stopped the run, not as a traceback."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        queue.stopped = queue.stopped or full_disk(str(error))


def _refuse_what_is_not_installed(options: Options) -> None:
    """Before anything starts: a study would end with its trials done, and no report. Raises StudyError."""
    tracked = () if options.offline else (*packages.TRACKER, *packages.REPORTS)
    on_ray = ("ray",) if options.backend == "ray" else ()
    absent = packages.missing([*on_ray, *tracked])
    inline = ["--backend inline"] if "ray" in absent else []
    without = [*inline, *(["--offline"] if set(absent) & set(tracked) else [])]
    if absent:
        raise refused(packages.refusal(absent, "this run needs", f"say {' '.join(without)} to go without"))


def run_pilots(loaded: LoadedStudy, home: Home, options: Options) -> None:
    """Train a small part of each variant of which nothing tells how long it takes. Pilots are in no report and in no
    tracker. Raises StudyError for what cannot be run."""
    home.refuse_if_not_writable()
    with caught() as interrupts, home.held(), index.opened(home.index) as books:
        clear_left_over(home.root)
        home.settle(now())
        planned = _plan(loaded, home, options)
        unknown = cost.estimate(planned, planned.to_run, home).unknown
        machine = Machine.here(options.cpus, options.gpus)
        problems = preflight.check(planned, planned.resources, machine, options.permissions) if unknown else []
        if problems:
            raise StudyError(problems)
        chosen = []
        of_variants = [(variant, planned.seeds[0], None) for variant in planned.variants]
        for variant, seed, at in [(t.variant, t.seed, t.at) for t in planned.first_phases] + of_variants:
            found = cost.pilot(planned, variant, seed) if variant.name in unknown else None
            if found is None:
                continue
            key, settings, _ = found
            digest = planned.data_digest(settings)
            shortened = replace(variant, name=f"{variant.name} (pilot)", settings=settings)
            chosen.append(PlannedTrial(key, shortened, seed, digest, home.record(key), at=at))
        jobs = _Jobs(planned, home, replace(options, budget=PILOT), planned.resources)
        queue = Queue(map(jobs.of, chosen), planned.resources, retries=options.retries)
        if not queue.is_done:
            _run_queue(planned, queue, jobs, machine, [_Kept(home, books)], interrupts)
        if interrupts.requested:
            raise KeyboardInterrupt


def _plan(loaded: LoadedStudy, home: Home, options: Options) -> Plan:
    return plan(loaded, options.budget, home, options.data, trainable=options.trainable)


def _chosen(planned: Plan, options: Options) -> tuple[PlannedTrial, ...]:
    if options.only is None:
        return planned.missing
    named = [trial for trial in planned.open_first_phases if trial.key in options.only]
    rest = [trial for trial in planned.unfinished if trial.key in options.only]
    return (*named, *(trial for trial in rest if trial.needs in options.only or not planned.is_blocked(trial)))


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
    problems += preflight.search_problems(planned)
    expected = cost.estimate(planned, chosen, home, cost.slots(resources, machine, options.at_most))
    problems += cost.problems(expected, len(chosen), home, options.max_hours)
    if problems:
        raise StudyError(problems)


@dataclass(frozen=True)
class _Jobs:
    """Planned trials as jobs."""

    planned: Plan
    home: Home
    options: Options
    resources: Resources
    made: dict[str, PlannedTrial] = field(default_factory=dict)
    """What there is a job of, by the name of its variant."""
    _first_phases: dict[str, Job | None] = field(default_factory=dict)
    """By key; `None` of those that are there."""

    def of(self, trial: PlannedTrial) -> Job:
        self.made[trial.variant.name] = trial
        study, folder = self.planned.study, self.home.trial(trial.key)
        is_searched = self.planned.search is not None and self.options.budget != PILOT and not trial.is_first_phase
        given_up = folder / searches.GIVEN_UP if is_searched else None
        if given_up is not None:
            given_up.unlink(missing_ok=True)  # of an earlier run: the search's journal tells what is given up
        # a trial that was given no GPU takes none, whatever this process could see
        device = "cpu" if self.options.device == "auto" and not self.resources.most_gpus else self.options.device
        threads = self.resources.cpus
        marks = {**({"search": True} if is_searched else {}), **({"phase": _PHASE} if trial.is_first_phase else {})}
        first = None if trial.needs is None else self.home.trial(trial.needs)
        required = () if trial.is_first_phase else (study.select.full_name, *study.report.shown_metrics)
        return Job(
            key=trial.key,
            study=study.study,
            budget=self.options.budget,
            variant=trial.variant.name,
            seed=trial.seed,
            settings=trial.variant.settings,
            data_digest=trial.data_digest,
            folder=folder,
            where=Surroundings(self.options.data, self.home.cache, device, threads, first),
            required=tuple(dict.fromkeys(required)),
            provenance={**self._origin, **marks, "resources": {"device": device, "threads": threads}},
            trainable=self.planned.trainable,
            given_up=given_up,
            needs=trial.needs,
            first_phase=self._before(trial),
            is_first_phase=trial.is_first_phase,
        )

    def _before(self, trial: PlannedTrial) -> Job | None:
        """The first phase of a trial, if it has to be run."""
        if trial.needs is None:
            return None
        if trial.needs not in self._first_phases:
            found = self.planned.first_phase(trial)
            if found is None:  # of one that a search has just suggested
                found = planning.first_phase(self.planned.trainable, [trial.variant], self.planned.digests, self.home)
            is_there = found.is_finished and not found.is_cleared
            self._first_phases[trial.needs] = None if is_there else self.of(found)
        return self._first_phases[trial.needs]

    def of_suggestion(self, key: str, variant: Variant) -> Job:
        search = self.planned.search
        assert search is not None
        needs = planning.needed(self.planned.trainable, variant, self.planned.digests)
        return self.of(PlannedTrial(key, variant, search.seed, search.data_digest, None, needs=needs))

    def to_prepare(self, waiting: Sequence[Job]) -> Sequence[Job]:
        """What stands for all trials when data is prepared. What a search will suggest is not known yet."""
        if self.planned.search is None:
            return waiting
        stand_ins = [self.of_suggestion("", variant) for variant in self.planned.variants]
        return [*(job.first_phase for job in stand_ins if job.first_phase is not None), *stand_ins]

    @cached_property
    def _origin(self) -> Mapping[str, Any]:
        provenance.keep_patch(self.home.root)
        return provenance.collect()


def _shares(planned: Plan) -> GpuShares:
    """What earlier trials have told of their memory."""
    shares = GpuShares()
    for trial in (*planned.first_phases, *planned.trials):
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
    jobs: _Jobs,
    machine: Machine,
    listeners: Iterable[Listener],
    interrupts: Interrupts,
) -> None:
    """Run the queue to its end, on a new backend where one dies."""
    options, home = jobs.options, jobs.home
    if planned.search is not None and not options.address:
        # Tune would ask for one more than there is room for, before those that run could tell anything
        options = replace(options, at_most=cost.slots(queue.resources, machine, options.at_most))
    restarts = 0
    with progress.shown(planned, queue.n_waiting) as shown, interrupts.saying(shown.say):
        listener = Listeners([*listeners, shown])
        while not queue.is_done and not interrupts.requested:
            n_before = queue.n_ended
            try:
                with ExitStack() as stack:
                    backend = _backend(options, machine, queue.resources, home, interrupts, stack)
                    _refuse_what_a_cluster_has_not(planned, queue, backend, options)
                    _prepare(backend, jobs, queue)
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


def _prepare(backend: Backend, jobs: _Jobs, queue: Queue) -> None:
    """What trials share is prepared once, before them. What cannot be is a fault of the study."""
    distinct = {job.trainable.preparation(job.settings): job for job in jobs.to_prepare(queue.waiting)}
    for preparation, job in distinct.items():
        if preparation is None:
            continue
        try:
            backend.prepare(job.trainable, job.settings, job.where)
        except Unprepared as error:
            positions = jobs.planned.loaded.positions
            if error.path is None:
                raise StudyError([positions.problem(("trainable",), error.message)]) from error
            place = jobs.made[job.variant].origin(error.path)
            raise StudyError([positions.problem(place, error.message)]) from error
