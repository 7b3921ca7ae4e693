"""The command line: `orchestrate …`.

Results go to standard output, all else to standard error. Nothing heavy is imported here: `--help`, `validate`, `plan`
and `schema` load neither torch nor ray nor mlflow nor pandas.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator import cost, packages
from orchestrator.errors import Exit, StudyError, did_you_mean, refused
from orchestrator.index import read_run_ids
from orchestrator.json_schema import json_schema
from orchestrator.plan import Plan, plan
from orchestrator.preflight import Machine, resource_problems
from orchestrator.schema import FULL, LoadedStudy, load
from orchestrator.store import Home
from orchestrator.terminal import (
    complain,
    complain_of_import,
    cost_json,
    cost_lines,
    counts_line,
    export_json,
    import_json,
    outcome_json,
    print_export,
    print_import,
    print_json,
    print_outcome,
    print_table,
    print_trials,
    record_json,
    search_json,
    trial_json,
)
from orchestrator.trainables import Permissions
from orchestrator.variants import check

if TYPE_CHECKING:
    from orchestrator.archive.importing import Imported

app = typer.Typer(
    help="From a study in YAML to trained models, an MLflow dashboard and a LaTeX table.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 some trial failed, 2 invalid or impossible, 130 interrupted.",
)
data_app = typer.Typer(help="Data sets: what is found, whether it is the published one, and how to get it.")
app.add_typer(data_app, name="data", no_args_is_help=True)


class BackendOption(StrEnum):
    """Where trials run."""

    ray = "ray"
    inline = "inline"


class CheckpointsOption(StrEnum):
    """Which weights leave a home: what others go on from, also the best of each variant, all, or none."""

    needed = "needed"
    best = "best"
    all = "all"
    none = "none"


class KeepOption(StrEnum):
    """Which finished trials keep their checkpoint: of each variant the best, all, or none."""

    best = "best"
    all_finished = "all-finished"
    none = "none"


StudyArgument = Annotated[Path, typer.Argument(help="A study file.", metavar="STUDY", show_default=False)]
BudgetOption = Annotated[str, typer.Option("--budget", "-b", help="One of the study's budgets.", metavar="NAME")]
HomeOption = Annotated[
    Path, typer.Option(help="The folder under which all state lives.", envvar="ORCHESTRATE_HOME", metavar="DIR")
]
DataOption = Annotated[
    Path | None,
    typer.Option(help="A data folder, searched before $ORCHESTRATE_DATA, ./data, ../shared/data, the user's cache.",
                 metavar="DIR", show_default=False),
]  # fmt: skip
BackendOptionType = Annotated[BackendOption, typer.Option("--backend", help="Ray Tune, or this process.")]
AddressOption = Annotated[
    str | None,
    typer.Option(help="A Ray cluster, such as auto or host:6379; without, a Ray of its own.", envvar="RAY_ADDRESS",
                 metavar="ADDRESS", show_default=False),
]  # fmt: skip
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda; auto takes a GPU if the trial was given one.")]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="Trials at the same time, at most.", metavar="N")
]
CpusOption = Annotated[int | None, typer.Option(min=1, help="CPUs for all trials together.", metavar="N")]
GpusOption = Annotated[int | None, typer.Option(min=0, help="GPUs for all trials together.", metavar="N")]
TrialGpusOption = Annotated[
    float | None, typer.Option(min=0, help="GPUs, or a share of one, per trial in place of the study's.")
]
RetriesOption = Annotated[
    int, typer.Option(min=0, help="Further attempts at a trial whose process, node or memory gave out.", metavar="N")
]
MaxHoursOption = Annotated[
    float | None, typer.Option(min=0, help="Refuse if the trials will take longer together.", metavar="HOURS")
]
OfflineOption = Annotated[
    bool,
    typer.Option(
        "--offline", help="No MLflow, no report, no network: for a machine with torch and transformers alone."
    ),
]
AllowImportOption = Annotated[bool, typer.Option("--allow-import", help="Import the function that the study names.")]
AllowCommandOption = Annotated[bool, typer.Option("--allow-command", help="Run the command that the study names.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
HOME = Path("runs")
_NO_NETWORK = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Read by libraries when they are loaded."""


def main() -> None:
    """The console entry: user errors are messages with an exit code, never a traceback."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    try:
        app()
    except StudyError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        n_problems = len(error.problems)
        if n_problems > 1:
            print(f"{n_problems} problems", file=sys.stderr)
        sys.exit(Exit.INVALID)
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in packages.KNOWN:
            raise
        print(packages.refusal([name], "this command needs"), file=sys.stderr)
        sys.exit(Exit.INVALID)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:
        # the reader of our output has gone, as `head` does; Python would complain once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.DONE)


# ------------------------------------------------------------------------------------------------------ before running


@app.command()
def validate(studies: Annotated[list[Path], typer.Argument(metavar="STUDY...")], as_json: JsonOption = False) -> None:
    """Check study files under every budget: all faults at once, each with its line."""
    problems: list[Any] = []
    told: list[dict[str, Any]] = []
    for path in studies:
        try:
            loaded = _load(path)
            expansions = check(loaded)
        except StudyError as error:
            problems += error.problems
            continue
        counts = {name: len(expansion.variants) for name, expansion in expansions.items()}
        search = loaded.study.search
        searched = {} if search is None else {"search": {"settings": len(search.space), "trials": search.trials}}
        one = {"file": str(path), "study": loaded.study.study, "variants": counts[FULL], **searched}
        told.append({**one, "budgets": list(counts)})
    if as_json:
        print_json({"valid": not problems, "studies": told, "problems": [asdict(problem) for problem in problems]})
        if problems:
            raise typer.Exit(Exit.INVALID)
    elif problems:
        raise StudyError(problems)
    else:
        for one in told:
            what = f"{one['variants']} variants"
            if "search" in one:
                what = "search of {settings} settings by {trials} trials".format(**one["search"])
            print(f"{one['file']}: {one['study']}, {what}, budgets {', '.join(one['budgets'])}")


@app.command("plan")
def plan_command(
    study: StudyArgument,
    budget: BudgetOption = FULL,
    home: HomeOption = HOME,
    data: DataOption = None,
    jobs: JobsOption = None,
    cpus: CpusOption = None,
    gpus: GpusOption = None,
    max_hours: MaxHoursOption = None,
    pilot: Annotated[
        bool, typer.Option("--pilot", help="Train an epoch of each variant that nothing is known of, to tell its cost.")
    ] = False,
    backend: BackendOptionType = BackendOption.ray,
    as_json: JsonOption = False,
) -> None:
    """Show the trials of a study: new, there already, failed before; and what they will cost."""
    loaded, place = _load(study), _home(home)
    options = {"budget": _known_budget(loaded, budget), "data": _search_path(data), "cpus": cpus, "gpus": gpus}
    if pilot:
        from orchestrator import execution

        with _standard_output_is_ours():
            execution.run_pilots(loaded, place, execution.Options(**options, at_most=jobs, backend=backend.value))
    planned = plan(loaded, options["budget"], place, options["data"])
    resources = planned.resources
    machine = Machine.here(cpus, gpus if gpus is not None or resources.most_gpus else 0)
    slots = cost.slots(resources, machine, jobs)
    to_run = planned.to_run
    # not refused: another machine or a cluster may have what this one has not
    impossible = resource_problems(planned, resources, machine) if to_run else []
    expected = cost.estimate(planned, to_run, place, slots)
    states = Counter(trial.state for trial in planned.trials)
    if as_json:
        run_ids = read_run_ids(place.index)
        print_json(
            {
                "study": planned.study.study,
                "budget": budget,
                "seeds": planned.seeds,
                "resources": resources.model_dump(mode="json"),
                "baseline": planned.expansion.baseline,
                "notes": planned.expansion.notes,
                "trials": [{**trial_json(trial, run_ids), "state": trial.state} for trial in planned.trials],
                "first_phases": [{**trial_json(t, run_ids), "state": t.state} for t in planned.first_phases],
                "counts": dict(states),
                **search_json(planned),
                "cost": cost_json(expected),
                "warnings": [str(problem) for problem in impossible],
            }
        )
    else:
        print_trials(planned)
        for note in planned.expansion.notes:
            print(f"note: {note}")
        print(counts_line(planned, states))
        for line in cost_lines(expected, len(to_run)):
            print(line)
    for problem in impossible:
        print(f"`orchestrate run` would refuse this here: {problem}", file=sys.stderr)
    problems = cost.problems(expected, len(to_run), place, max_hours) if to_run else []
    if problems:
        raise StudyError(problems)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a study file, for editors."""
    print_json(json_schema())


# -------------------------------------------------------------------------------------------------------------- running


@app.command()
def run(
    study: StudyArgument,
    budget: BudgetOption = FULL,
    home: HomeOption = HOME,
    data: DataOption = None,
    backend: BackendOptionType = BackendOption.ray,
    address: AddressOption = None,
    device: DeviceOption = "auto",
    jobs: JobsOption = None,
    cpus: CpusOption = None,
    gpus: GpusOption = None,
    trial_gpus: TrialGpusOption = None,
    retries: RetriesOption = 2,
    max_hours: MaxHoursOption = None,
    offline: OfflineOption = False,
    allow_import: AllowImportOption = False,
    allow_command: AllowCommandOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run what is missing of a study, and report on all of it.

    A trial that failed by a fault of its own is left alone; `orchestrate retry` runs it again. What ran with --offline
    comes home by `orchestrate export` there and `orchestrate import` here.
    """
    _run(**locals())


@app.command()
def retry(
    study: StudyArgument,
    keys: Annotated[
        list[str] | None, typer.Argument(help="Trials, by the first letters of their keys.", metavar="[KEY]...")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All trials of the study that failed.")] = False,
    budget: BudgetOption = FULL,
    home: HomeOption = HOME,
    data: DataOption = None,
    backend: BackendOptionType = BackendOption.ray,
    address: AddressOption = None,
    device: DeviceOption = "auto",
    jobs: JobsOption = None,
    cpus: CpusOption = None,
    gpus: GpusOption = None,
    trial_gpus: TrialGpusOption = None,
    retries: RetriesOption = 2,
    max_hours: MaxHoursOption = None,
    offline: OfflineOption = False,
    allow_import: AllowImportOption = False,
    allow_command: AllowCommandOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run trials again that failed, and nothing else."""
    options = locals()
    keys, failed = options.pop("keys"), options.pop("failed")
    if keys and failed:
        raise refused("found --failed and keys of trials, wanted one of them: --failed is all that failed")
    if not keys and not failed:
        raise refused("nothing was named to be run again: say --failed, or the keys of trials")
    planned = _plan(study, budget, home, data)
    unfinished = [t for t in (*planned.open_first_phases, *planned.unfinished) if t.record is not None]
    if failed:
        chosen = {trial.key for trial in unfinished if trial.state == "failed"}
    else:
        chosen = set[str]()
    for name in keys or []:
        found = [trial.key for trial in unfinished if trial.key.startswith(name)]
        if len(found) != 1:
            known = ", ".join(trial.key for trial in unfinished) or "none"
            raise refused(f"'{name}' is {'no' if not found else 'more than one'} trial that failed, which are {known}")
        chosen.update(found)
    _run(**options, only=frozenset(chosen))


@app.command()
def status(
    study: StudyArgument,
    budget: BudgetOption = FULL,
    home: HomeOption = HOME,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what came of a study's trials so far."""
    place, shown = _home(home), _state_now(_home(home))
    planned = _plan(study, budget, home, data)
    states = Counter(shown(trial.state) for trial in planned.trials)
    if as_json:
        run_ids = read_run_ids(place.index)
        trials = [trial_json(trial, run_ids, shown) for trial in planned.trials]
        first = [{**trial_json(t, run_ids, shown), "state": shown(t.state)} for t in planned.first_phases]
        told = {"study": planned.study.study, "budget": budget, "trials": trials, "first_phases": first}
        told["counts"] = dict(states)
        print_json({**told, **search_json(planned)})
        return
    print_trials(planned, shown)
    print(counts_line(planned, states, shown))


@app.command()
def runs(
    study: Annotated[str | None, typer.Option(help="Only trials of the study of this name.", metavar="NAME")] = None,
    state: Annotated[str | None, typer.Option("--status", help="Only finished, failed, …", metavar="STATUS")] = None,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Show all trials of a home, of whatever study."""
    place = _existing(home)
    shown = _state_now(place)
    run_ids = read_run_ids(place.index)
    found = [record_json(record, run_ids, shown) for record in place.records().values()]
    found = [one for one in found if study in (None, one["study"]) and state in (None, one["status"])]
    if as_json:
        print_json({"home": str(place.root), "trials": found})
        return
    columns = ("key", "study", "budget", "variant", "seed", "status", "attempts")
    print_table(columns, [[str(one[column]) for column in columns] for one in found])


@app.command()
def report(
    studies: Annotated[
        list[Path], typer.Argument(help="A study file; with --check or --rebuild, folders of reports.", metavar="STUDY")
    ],
    budget: BudgetOption = FULL,
    home: HomeOption = HOME,
    data: DataOption = None,
    out: Annotated[Path | None, typer.Option(help="Where to; else below the home.", metavar="DIR")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Let trials of other data or code stand in for those that are missing.")
    ] = False,
    without_texts: Annotated[
        bool, typer.Option("--without-texts", help="No texts of documents, for a folder that is to be published.")
    ] = False,
    check_only: Annotated[
        bool, typer.Option("--check", help="Does every file of these folders follow from the record in it?")
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make every file of these folders again from the record in it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the tables and the figures of the trials that are there. Runs nothing."""
    if check_only and rebuild:
        raise refused("found --check and --rebuild, wanted one of them")
    if check_only or rebuild:
        (_check_reports if check_only else _rebuild_reports)(studies, as_json)
        return
    if len(studies) > 1:
        raise refused(f"found {len(studies)} studies, wanted one; for folders of reports say --check or --rebuild")
    study = studies[0]
    if (study / "record.json").is_file():
        raise refused(f"{study} is the folder of a report, wanted a study file, or --check or --rebuild")
    packages.refuse_if_missing(packages.REPORTS, "a report is made with")
    from orchestrator import report as reporting

    planned = _plan(study, budget, home, data)
    outdated = reporting.outdated(planned, _home(home))
    if not any(trial.is_finished for trial in planned.trials) and not (force and outdated):
        more = f"; {len(outdated)} that read other data or ran other code are taken by --force" if outdated else ""
        raise refused(f"no trial of {planned.study.study} has finished under {Home.at(home).root}; run it first{more}")
    with _standard_output_is_ours():
        search = None if without_texts else _search_path(data)
        _, files = reporting.write(planned, Home.at(home), search, out, force=force)
    if outdated and not force:
        n = len(outdated)
        print(
            f"left out: {n} trials that read other data or ran other code; --force lets them stand in", file=sys.stderr
        )
    _tell_files(files, as_json)


def _check_reports(folders: list[Path], as_json: bool) -> None:
    from reports.check import check

    found = {str(folder): check(folder) for folder in folders}
    problems = [problem for checked in found.values() for problem in checked.problems]
    if as_json:
        of_folders = {name: checked.problems for name, checked in found.items()}
        unknown = [str(path) for checked in found.values() for path in checked.unknown]
        print_json({"valid": not problems, "folders": of_folders, "unknown": unknown})
    else:
        for folder, checked in found.items():
            if not checked.problems:
                print(f"{folder}: every file follows from its record")
            for path in checked.unknown:
                print(f"{path}: not checked, no report makes it", file=sys.stderr)
        for problem in problems:
            print(problem, file=sys.stderr)
    if problems:
        raise typer.Exit(Exit.INVALID)


def _rebuild_reports(folders: list[Path], as_json: bool) -> None:
    from reports.build import RECORD, rebuild

    files: dict[str, Path] = {}
    for folder in folders:
        try:
            files |= {str(path): path for path in rebuild(folder / RECORD, folder).values()}
        except (FileNotFoundError, NotADirectoryError):
            raise refused(f"{folder}: there is no {RECORD}, wanted the folder of a report") from None
        except (ValueError, OSError) as error:
            raise refused(f"{folder / RECORD}: {error}") from None
    _tell_files(files, as_json)


def _tell_files(files: Mapping[str, Path], as_json: bool) -> None:
    if as_json:
        print_json({name: str(path) for name, path in files.items()})
    else:
        for path in files.values():
            print(path)


# ---------------------------------------------------------------------------------------------------------------- after


@app.command()
def sync(home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Bring MLflow up to date with all that is in a home: it may have been down while trials ran."""
    packages.refuse_if_missing(packages.TRACKER, "runs are tracked with")
    from orchestrator.tracking import sync as bring_up_to_date
    from orchestrator.trial import now

    place = _existing(home)
    with _standard_output_is_ours(), place.held():
        synced = bring_up_to_date(place, now())
    if as_json:
        print_json(asdict(synced))
    elif synced.trouble is None:
        print(f"{synced.uri}: {synced.trials} trials of {synced.studies} studies are up to date")
    if synced.trouble is not None:
        print(f"MLflow at {synced.uri} cannot be written: {synced.trouble}", file=sys.stderr)
        raise typer.Exit(Exit.TRIAL_FAILED)


@app.command("export")
def export_command(
    out: Annotated[Path, typer.Option(help="The archive to write; packed if it ends in .gz.", metavar="FILE")],
    studies: Annotated[
        list[str] | None, typer.Argument(help="Studies, by file or name; without, all trials.", metavar="[STUDY]...")
    ] = None,
    keys: Annotated[
        list[str] | None, typer.Option("--key", help="A trial, by the first letters of its key.", metavar="KEY")
    ] = None,
    checkpoints: Annotated[
        CheckpointsOption, typer.Option(help="Weights: what others go on from; also the best; all; none.")
    ] = CheckpointsOption.needed,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Write trials into one file, for another home: records, scores, logs, and what interrupted ones go on from."""
    from orchestrator.archive.exporting import export

    place = _existing(home)
    names = [_name_of(study) for study in studies or []]
    done = export(place, Path(os.path.abspath(out)), names, keys or [], checkpoints.value)
    print_json(export_json(done)) if as_json else print_export(done)
    for told in done.left_out:
        print(f"left out: {told}", file=sys.stderr)


@app.command("import")
def import_command(
    archives: Annotated[list[Path], typer.Argument(help="Files that `orchestrate export` wrote.", metavar="FILE...")],
    studies: Annotated[
        list[Path] | None, typer.Option("--study", help="A study file: write its report too.", metavar="FILE")
    ] = None,
    home: HomeOption = HOME,
    data: DataOption = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Leave MLflow as it is; `orchestrate sync` does it later.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take over trials that another home has run, and bring MLflow up to date with them.

    What is here is never overwritten: a trial that has finished here with other scores is told as a conflict.
    """
    from orchestrator.archive.importing import import_archives
    from orchestrator.tracking import sync as bring_up_to_date
    from orchestrator.trial import now

    loaded = [_load(study) for study in studies or []]
    if not offline:
        packages.refuse_if_missing(packages.TRACKER, "runs are tracked with", "say --offline")
    if loaded:
        packages.refuse_if_missing(packages.REPORTS, "a report is made with", "leave --study out")
    place = _home(home)
    imported = import_archives(place, archives)
    files: dict[tuple[str, str], dict[str, Path]] = {}
    with _standard_output_is_ours():
        faults = [fault for one in loaded for fault in _report_imported(one, imported, place, data, files)]
        synced = None
        if not offline:
            with place.held():
                synced = bring_up_to_date(place, now())
    if as_json:
        print_json(import_json(imported, files, synced, place))
    else:
        print_import(imported, files, synced, place)
    complain_of_import(imported, synced, place)
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        raise typer.Exit(Exit.INVALID)
    is_complete = not any(one.of("conflict") or one.of("running") for one in imported)
    if not is_complete or (synced is not None and synced.trouble is not None):
        raise typer.Exit(Exit.TRIAL_FAILED)


def _report_imported(
    loaded: LoadedStudy,
    imported: Iterable[Imported],
    home: Home,
    data: Path | None,
    files: dict[tuple[str, str], dict[str, Path]],
) -> list[str]:
    """Write the reports of a study under the budgets that were imported, into `files`; what keeps one from being
    written."""
    from orchestrator import report as reporting

    name, search = loaded.study.study, _search_path(data)
    budgets = sorted({budget for one in imported for budget in one.studies.get(name, ())})
    faults = [] if budgets else [f"{loaded.path}: no trial of {name} is in what was imported, so no report is written"]
    for budget in budgets:
        try:
            planned = plan(loaded, _known_budget(loaded, budget), home, search)
        except StudyError as error:
            faults += map(str, error.problems)
            continue
        if any(trial.is_finished for trial in planned.trials):
            _, files[name, budget] = reporting.write(planned, home, search)
    return faults


@app.command()
def diff(
    a: Annotated[str, typer.Argument(help="A trial, by the first letters of its key.", metavar="A")],
    b: Annotated[str, typer.Argument(help="Another.", metavar="B")],
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Show what differs between two trials: settings, seed, data, code, machine, and what came of them."""
    from orchestrator import difference

    place = _existing(home)
    found = difference.difference(difference.find(place, a), difference.find(place, b))
    if as_json:
        print_json(difference.as_json(found))
    else:
        print("\n".join(difference.lines(found)))


@app.command()
def reproduce(
    key: Annotated[str, typer.Argument(help="A trial, by the first letters of its key.", metavar="KEY")],
    run_it: Annotated[bool, typer.Option("--run", help="Compute it again, here and now, and compare.")] = False,
    study: Annotated[
        Path | None, typer.Option(help="Its study, for a trainable that is not ours.", metavar="FILE")
    ] = None,
    home: HomeOption = HOME,
    data: DataOption = None,
    device: Annotated[str | None, typer.Option(help="Another than it ran on.", metavar="DEVICE")] = None,
    allow_import: AllowImportOption = False,
    allow_command: AllowCommandOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print the commands that compute a trial again as it was; with --run do so, and compare every score."""
    from orchestrator import difference, reproduction

    place = _existing(home)
    record = difference.find(place, key)
    if not run_it:
        lines = reproduction.commands(record, place)
        print_json({"key": record.key, "commands": lines}) if as_json else print("\n".join(lines))
        return
    with _standard_output_is_ours():
        done = reproduction.run(
            record,
            place,
            _search_path(data),
            study=None if study is None else _load(study),
            permissions=Permissions(allow_import, allow_command),
            device=device,
        )
    if as_json:
        print_json({"key": record.key, "equal": done.equal, "difference": difference.as_json(done.difference)})
    else:
        print("\n".join(difference.lines(done.difference)))
        n_metrics = len(record.metrics)
        print(f"reproduced: all {n_metrics} metrics are equal" if done.equal else "not reproduced: metrics differ")
    if not done.equal:
        raise typer.Exit(Exit.TRIAL_FAILED)


@app.command()
def attention(
    key: Annotated[str, typer.Argument(help="A trial, by the first letters of its key.", metavar="KEY")],
    document: Annotated[str, typer.Option(help="A document of its data, by its id.", metavar="ID")],
    out: Annotated[
        Path | None, typer.Option(help="Where to; else the trial's folder.", metavar="DIR", show_default=False)
    ] = None,
    home: HomeOption = HOME,
    data: DataOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Show what the memories of a trained model attend to in a document: heat maps, and the weights as JSON."""
    from orchestrator import attention as maps
    from orchestrator.difference import find

    place = _existing(home)
    with _standard_output_is_ours():
        files = maps.write(find(place, key), place, document, _search_path(data), folder=out, device=device)
    _tell_files(files, as_json)


@app.command()
def gc(
    home: HomeOption = HOME,
    keep: Annotated[KeepOption, typer.Option(help="Which finished trials keep their checkpoint.")] = KeepOption.best,
    interrupted: Annotated[
        bool, typer.Option("--interrupted", help="Also what interrupted trials would go on from.")
    ] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Clear it; without, only show.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Clear checkpoints that no report needs. Shows what would be cleared, unless told to do it."""
    from orchestrator import cleaning

    found = cleaning.plan_cleaning(_existing(home), keep.value, interrupted)
    if apply:
        found = found.apply()
    if as_json:
        print_json(cleaning.as_json(found, apply))
    else:
        print("\n".join(cleaning.lines(found, apply)))


@app.command()
def ui(
    study: Annotated[
        str | None, typer.Argument(help="A study file, or a study's name.", metavar="[STUDY]", show_default=False)
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", "-b", help="Its budget; else full, if it was run.", metavar="NAME")
    ] = None,
    home: HomeOption = HOME,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine's loopback.")] = 5000,
    browser: Annotated[
        bool | None, typer.Option("--open/--no-open", help="In the browser; else if there is a desktop.")
    ] = None,
) -> None:
    """Open the MLflow dashboard of a home, or of one study of it, on this machine only. Ctrl-C ends it."""
    from orchestrator.dashboard import server
    from orchestrator.provenance import masked
    from orchestrator.tracking import default_uri, uri_of

    place = _home(home)
    uri = default_uri(place)
    is_served = uri.startswith(("http://", "https://"))
    if uri == uri_of(place) and not place.database.is_file():
        raise refused(f"there is no {place.database} yet; run a study, or name another home by --home")
    if budget is not None and study is None:
        raise refused(f"--budget {budget} was given without the study that it is of")
    name = None if study is None else _name_of(study)
    if not is_served:
        server.refuse_if_taken(port)
    found = server.find(uri, name, budget)
    opens = server.has_desktop() if browser is None else browser
    if is_served:
        server.tell(found, masked(uri).rstrip("/"), opens)
        return
    print("MLflow starts …", file=sys.stderr)
    try:
        with server.served(uri, port) as process:
            server.tell(found, f"http://{server.LOOPBACK}:{port}", opens)
            print("Ctrl-C ends it", file=sys.stderr)
            code = process.wait()
    except KeyboardInterrupt:
        return
    raise refused(f"the MLflow server ended with code {code}")


# ----------------------------------------------------------------------------------------------------------------- data


@data_app.command("list")
def data_list(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Data sets, and which of their protocols can be run with the files that are found."""
    from model.data import catalog

    search = _search_path(data)
    found = catalog.listing(search)
    if as_json:
        print_json({"search": [str(folder) for folder in search], "data": [asdict(one) for one in found]})
        return
    print_table(
        ("name", "ready", "missing", "what"),
        [[one.name, ", ".join(one.ready) or "-", ", ".join(one.missing) or "-", one.description] for one in found],
    )
    print("looked in " + ", ".join(str(folder) for folder in search), file=sys.stderr)


@data_app.command("check")
def data_check(name: str, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Compare the files of a data set with the published ones: digests and counts."""
    from model.data import catalog

    with _value_errors_are_refusals():
        checked = catalog.check(name, _search_path(data))
    if as_json:
        print_json(asdict(checked))
    else:
        for file in checked.files:
            state = "not found" if file.path is None and file.published else "; ".join(file.problems) or "as published"
            print(f"{file.name}: {state}{f' ({file.path})' if file.path else ''}")
    if not checked.ok:
        raise typer.Exit(Exit.INVALID)


@data_app.command("get")
def data_get(
    name: str,
    folder: Annotated[Path | None, typer.Option(help="Data folder; else the user's cache.", metavar="DIR")] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Only what it reads; without, all but large files.", metavar="NAME")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Download a data set from where its authors publish it, and check it."""
    from model.data import catalog

    packages.refuse_if_missing(["pooch"], "downloads are made with")
    with _value_errors_are_refusals():
        fetched = catalog.get(name, folder, protocol=protocol)
    if as_json:
        print_json({"files": [asdict(one) for one in fetched]})
    else:
        for one in fetched:
            print(f"{one.path}: {one.state}, verified by {one.verified}")


# ----------------------------------------------------------------------------------------------------------- underneath


def _load(path: Path) -> LoadedStudy:
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else Path("studies")
        near = sorted(str(other) for other in folder.glob("*.y*ml")) if folder.is_dir() else []
        is_folder = "is a folder, wanted a study file" if path.is_dir() else "there is no such file"
        known = f"; studies there: {', '.join(near)}" if near and not did_you_mean(path, near) else ""
        raise refused(f"{path}: {is_folder}{did_you_mean(path, near)}{known}")
    try:
        return load(path)
    except OSError as error:
        raise refused(f"{path}: {error.strerror}") from None


def _name_of(study: str) -> str:
    """Of a study that is given by its file or its name."""
    is_file = Path(study).suffix in (".yaml", ".yml") or os.sep in study
    return _load(Path(study)).study.study if is_file else study


def _run(
    *,
    study: Path,
    budget: str,
    home: Path,
    data: Path | None,
    backend: BackendOption,
    jobs: int | None,
    offline: bool,
    allow_import: bool,
    allow_command: bool,
    as_json: bool,
    **options: Any,
) -> None:
    from orchestrator import execution

    if offline:
        os.environ.update(_NO_NETWORK)

    loaded, place = _load(study), _home(home)
    with _standard_output_is_ours():
        outcome = execution.run(
            loaded,
            place,
            execution.Options(
                budget=_known_budget(loaded, budget),
                data=_search_path(data),
                backend=backend.value,
                at_most=jobs,
                offline=offline,
                permissions=Permissions(allow_import, allow_command),
                **options,
            ),
        )
    if as_json:
        print_json(outcome_json(outcome, read_run_ids(place.index)))
    else:
        print_outcome(outcome, place)
    complain(outcome, place, str(study))
    raise typer.Exit(outcome.exit_code)


def _home(folder: Path) -> Home:
    """Raises StudyError for what is there and no folder."""
    place = Home.at(folder)
    if place.root.exists() and not place.root.is_dir():
        raise refused(f"the home {place.root} is a file, wanted a folder; choose another by --home")
    return place


def _existing(folder: Path) -> Home:
    """Raises StudyError for a home that is not there."""
    place = _home(folder)
    if not place.trials.is_dir():
        raise refused(f"there is no home at {place.root} yet; run a study, or name another by --home")
    return place


def _state_now(home: Home) -> Callable[[str], str]:
    held = home.is_held()
    # a driver that was killed could not say so in the record
    return lambda state: "interrupted" if state == "running" and not held else state


def _plan(study: Path, budget: str, home: Path, data: Path | None) -> Plan:
    loaded = _load(study)
    return plan(loaded, _known_budget(loaded, budget), _home(home), _search_path(data))


def _known_budget(loaded: LoadedStudy, budget: str) -> str:
    try:
        loaded.study.budget(budget)
    except ValueError as error:
        raise StudyError([loaded.positions.problem(("budgets",), str(error), at_key=True)]) from None
    return budget


def _search_path(data: Path | None) -> tuple[Path, ...]:
    from model.data import catalog

    with _value_errors_are_refusals():
        return catalog.search_path(data)


@contextmanager
def _value_errors_are_refusals() -> Iterator[None]:
    try:
        yield
    except StudyError:
        raise
    except ValueError as error:
        raise refused(str(error)) from None


@contextmanager
def _standard_output_is_ours() -> Iterator[None]:
    """What libraries print inside the block goes to standard error, whatever they print it with."""
    sys.stdout.flush()
    ours = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(ours, 1)
        os.close(ours)


if __name__ == "__main__":
    main()
