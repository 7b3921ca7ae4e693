"""The command line: `orchestrate …`.

Results go to standard output, all else to standard error. Nothing heavy is imported here: `--help`, `validate`, `plan`
and `schema` load neither torch nor ray nor mlflow nor pandas.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.errors import Exit, StudyError, did_you_mean, refused
from orchestrator.plan import Plan, PlannedTrial, plan
from orchestrator.schema import FULL, LoadedStudy, json_schema, load
from orchestrator.store import LOG, Home
from orchestrator.variants import check

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
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
HOME = Path("runs")


def main() -> None:
    """The console entry: user errors are messages with an exit code, never a traceback."""
    try:
        app()
    except StudyError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        n_problems = len(error.problems)
        if n_problems > 1:
            print(f"{n_problems} problems", file=sys.stderr)
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
        told.append({"file": str(path), "study": loaded.study.study, "variants": counts[FULL], "budgets": list(counts)})
    if as_json:
        _print_json({"valid": not problems, "studies": told, "problems": [asdict(problem) for problem in problems]})
        if problems:
            raise typer.Exit(Exit.INVALID)
    elif problems:
        raise StudyError(problems)
    else:
        for one in told:
            print(f"{one['file']}: {one['study']}, {one['variants']} variants, budgets {', '.join(one['budgets'])}")


@app.command("plan")
def plan_command(
    study: StudyArgument,
    budget: BudgetOption = FULL,
    home: HomeOption = HOME,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the trials of a study: which are new, which are there, which failed before. Starts nothing."""
    planned = _plan(study, budget, home, data)
    states = Counter(trial.state for trial in planned.trials)
    if as_json:
        _print_json(
            {
                "study": planned.study.study,
                "budget": budget,
                "seeds": planned.seeds,
                "resources": planned.resources.model_dump(mode="json"),
                "baseline": planned.expansion.baseline,
                "notes": planned.expansion.notes,
                "trials": [{**_trial_json(trial), "state": trial.state} for trial in planned.trials],
                "counts": dict(states),
            }
        )
        return
    _print_states(planned)
    for note in planned.expansion.notes:
        print(f"note: {note}")
    print(f"{len(planned.trials)} trials: " + ", ".join(f"{n} {state}" for state, n in states.items()))


@app.command()
def schema() -> None:
    """Print the JSON Schema of a study file, for editors."""
    _print_json(json_schema())


# -------------------------------------------------------------------------------------------------------------- running


@app.command()
def run(
    study: StudyArgument,
    budget: BudgetOption = FULL,
    home: HomeOption = HOME,
    data: DataOption = None,
    backend: Annotated[BackendOption, typer.Option(help="Ray Tune, or this process.")] = BackendOption.ray,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda; auto takes a GPU if the trial was given one.")] = "auto",
    jobs: Annotated[int | None, typer.Option(min=1, help="Trials at the same time, at most.", metavar="N")] = None,
    cpus: Annotated[int | None, typer.Option(min=1, help="CPUs for all trials together.", metavar="N")] = None,
    trial_gpus: Annotated[
        float | None, typer.Option(min=0, help="GPUs, or a share of one, per trial in place of the study's.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run what is missing of a study, and report on all of it."""
    from orchestrator import execution

    loaded = _load(study)
    place = Home.at(home)
    with _standard_output_is_ours():
        outcome = execution.run(
            loaded,
            place,
            execution.Options(
                budget=_known_budget(loaded, budget),
                data=_search_path(data),
                backend=backend.value,
                device=device,
                cpus=cpus,
                at_most=jobs,
                trial_gpus=trial_gpus,
            ),
        )
    if as_json:
        _print_json(_outcome_json(outcome))
    else:
        _print_outcome(outcome, place)
    for trial in outcome.failed:
        assert trial.record is not None and trial.record.failure is not None
        print(f"failed: {trial.variant.name}, seed {trial.seed}", file=sys.stderr)
        print("\n".join(f"  {line}" for line in trial.record.failure.last_lines.splitlines()), file=sys.stderr)
        print(f"  log: {place.trial(trial.key) / LOG}", file=sys.stderr)
    if outcome.interrupted:
        print("interrupted; the same command goes on from here", file=sys.stderr)
    raise typer.Exit(outcome.exit_code)


@app.command()
def status(
    study: Annotated[Path | None, typer.Argument(help="A study file; without, all trials of the home.")] = None,
    budget: BudgetOption = FULL,
    home: HomeOption = HOME,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what came of a study's trials so far."""
    place = Home.at(home)
    held = place.is_held()

    def shown(state: str) -> str:
        # a driver that was killed could not say so in the record
        return "interrupted" if state == "running" and not held else state

    if study is None:
        records = [{**record.model_dump(mode="json"), "status": shown(record.status)} for record in place.records()]
        if as_json:
            _print_json({"home": str(place.root), "trials": records})
            return
        _print_table(
            ("key", "study", "variant", "seed", "status"),
            [[str(record[c]) for c in ("key", "study", "variant", "seed", "status")] for record in records],
        )
        return
    planned = _plan(study, budget, home, data)
    states = Counter(shown(trial.state) for trial in planned.trials)
    if as_json:
        _print_json(
            {
                "study": planned.study.study,
                "budget": budget,
                "trials": [
                    {**_trial_json(trial), "status": shown(_trial_json(trial)["status"])} for trial in planned.trials
                ],
                "counts": dict(states),
            }
        )
        return
    _print_states(planned, shown)
    print(f"{len(planned.trials)} trials: " + ", ".join(f"{n} {state}" for state, n in states.items()))


@app.command()
def report(
    study: StudyArgument,
    budget: BudgetOption = FULL,
    home: HomeOption = HOME,
    data: DataOption = None,
    out: Annotated[Path | None, typer.Option(help="Where to; else below the home.", metavar="DIR")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the table and the figure of the trials that are there. Runs nothing."""
    from orchestrator import report as reporting

    planned = _plan(study, budget, home, data)
    if not any(trial.is_finished for trial in planned.trials):
        raise refused(f"no trial of {planned.study.study} has finished under {Home.at(home).root}; run it first")
    with _standard_output_is_ours():
        files = reporting.write(planned, Home.at(home), out)
    if as_json:
        _print_json({name: str(path) for name, path in files.items()})
    else:
        for path in files.values():
            print(path)


@app.command()
def ui(
    home: HomeOption = HOME,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine's loopback.")] = 5000,
) -> None:
    """Open the MLflow dashboard of a home, on this machine only. Ctrl-C ends it."""
    from orchestrator.tracking import default_uri

    place = Home.at(home)
    uri = default_uri(place)
    if uri.startswith(("http://", "https://")):
        print(f"MLflow runs at {uri} (MLFLOW_TRACKING_URI)")
        return
    if uri == f"sqlite:///{place.database}" and not place.database.is_file():
        raise refused(f"there is no {place.database} yet; run a study, or name another home by --home")
    print(f"MLflow at http://127.0.0.1:{port} (Ctrl-C ends it)", file=sys.stderr)
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "ui",
        "--backend-store-uri",
        uri,
        "--host",
        "127.0.0.1",
        "--workers",
        "1",
    ]
    try:
        code = subprocess.run([*command, "--port", str(port)], env={**os.environ, **quiet}, check=False).returncode
    except KeyboardInterrupt:
        return
    if code:
        raise refused(f"the MLflow server ended with code {code}; if port {port} is taken, choose another by --port")


# ----------------------------------------------------------------------------------------------------------------- data


@data_app.command("list")
def data_list(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Data sets, and which of their protocols can be run with the files that are found."""
    from model.data import catalog

    search = _search_path(data)
    found = catalog.listing(search)
    if as_json:
        _print_json({"search": [str(folder) for folder in search], "data": [asdict(one) for one in found]})
        return
    _print_table(
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
        _print_json(asdict(checked))
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
    as_json: JsonOption = False,
) -> None:
    """Download a data set from where its authors publish it, and check it."""
    from model.data import catalog

    with _value_errors_are_refusals():
        fetched = catalog.get(name, folder)
    if as_json:
        _print_json({"files": [asdict(one) for one in fetched]})
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


def _plan(study: Path, budget: str, home: Path, data: Path | None) -> Plan:
    loaded = _load(study)
    return plan(loaded, _known_budget(loaded, budget), Home.at(home), _search_path(data))


def _known_budget(loaded: LoadedStudy, budget: str) -> str:
    try:
        loaded.study.budget(budget)
    except ValueError as error:
        raise refused(f"{loaded.path}: {error}") from None
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


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False))


def _trial_json(trial: PlannedTrial) -> dict[str, Any]:
    record = trial.record
    told: dict[str, Any] = {"key": trial.key, "variant": trial.variant.name, "seed": trial.seed}
    if record is None:
        return {**told, "status": "not run", "metrics": {}}
    told |= {"status": record.status, "metrics": record.metrics, "selected_epoch": record.selected_epoch}
    told |= {"duration_s": record.duration_s, "attempts": record.attempts}
    if record.failure is not None:
        told["failure"] = f"{record.failure.kind}: {record.failure.message}"
    return told


def _outcome_json(outcome: Any) -> dict[str, Any]:
    planned: Plan = outcome.plan
    return {
        "study": planned.study.study,
        "budget": planned.budget_name,
        "trials": [_trial_json(trial) for trial in planned.trials],
        "executed": len(outcome.executed),
        "cached": outcome.cached,
        "failed": len(outcome.failed),
        "interrupted": outcome.interrupted,
        "report": {name: str(path) for name, path in outcome.files.items()},
        "tracking": {"uri": outcome.tracking, "trouble": outcome.trouble},
    }


def _print_outcome(outcome: Any, home: Home) -> None:
    planned: Plan = outcome.plan
    n_failed = len(outcome.failed)
    if "table.md" in outcome.files:
        lines = outcome.files["table.md"].read_text(encoding="utf-8").splitlines()
        print("\n".join(line for line in lines if line.startswith("|")), end="\n\n")
    print(f"{planned.study.study}: {len(outcome.executed)} executed, {outcome.cached} cached, {n_failed} failed")
    for title, name in (("table", "table.tex"), ("", "table.md"), ("figure", "figure.pdf")):
        if name in outcome.files:
            print(f"{title:<7} {outcome.files[name]}")
    print(f"MLflow  {shlex.join(['orchestrate', 'ui', '--home', str(home.root)])}")


def _print_states(planned: Plan, shown: Any = str) -> None:
    metric = f"test/{planned.study.select.metric}"
    rows = []
    for trial in planned.trials:
        score = trial.record.metrics.get(metric) if trial.record is not None else None
        state = shown(trial.state)
        rows.append([trial.key, trial.variant.name, str(trial.seed), state, "" if score is None else f"{score:.2f}"])
    _print_table(("key", "variant", "seed", "state", metric), rows)


def _print_table(columns: tuple[str, ...], rows: list[list[str]]) -> None:
    console = Console()
    if not console.is_terminal:
        # for pipes: one line a row, nothing wrapped
        print("\t".join(columns))
        for row in rows:
            print("\t".join(row))
        return
    table = Table(box=None)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*map(Text, row))  # a name may hold what would be markup
    console.print(table)


if __name__ == "__main__":
    main()
