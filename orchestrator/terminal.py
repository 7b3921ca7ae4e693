"""Plans, records and outcomes as JSON objects and as lines on a terminal."""

from __future__ import annotations

import json
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.cost import Estimate
from orchestrator.dashboard import note
from orchestrator.plan import PRETRAINING, Plan, PlannedTrial
from orchestrator.schema import FULL
from orchestrator.search import Search
from orchestrator.store import LOG, Home, TrialRecord
from orchestrator.words import counted, size
from reports.settings import word

if TYPE_CHECKING:
    from orchestrator.archive.exporting import Exported
    from orchestrator.archive.importing import Imported, Trial
    from orchestrator.execution import Outcome
    from orchestrator.tracking import Synced


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
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


# --------------------------------------------------------------------------------------------------------------- trials


def trial_json(trial: PlannedTrial, run_ids: Mapping[str, str], shown: Callable[[str], str] = str) -> dict[str, Any]:
    told: dict[str, Any] = {"key": trial.key, "variant": trial.variant.name, "seed": trial.seed, "needs": trial.needs}
    if trial.record is None:
        return {**told, "status": "not run", "attempts": 0, "mlflow_run_id": None, "metrics": {}}
    return {**told, **_outcome_of(trial.record, run_ids, shown)}


def record_json(record: TrialRecord, run_ids: Mapping[str, str], shown: Callable[[str], str] = str) -> dict[str, Any]:
    told = {"key": record.key, "study": record.study, "budget": record.budget}
    told |= {"variant": record.variant, "seed": record.seed}
    return {**told, **_outcome_of(record, run_ids, shown)}


def _outcome_of(record: TrialRecord, run_ids: Mapping[str, str], shown: Callable[[str], str]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "status": shown(record.status),
        "attempts": record.attempts,
        "mlflow_run_id": run_ids.get(record.key),
        "metrics": record.metrics,
        "selected_epoch": record.selected_epoch,
        "started": record.started,
        "ended": record.ended,
        "duration_s": record.duration_s,
    }
    if record.imported_from is not None:
        told["imported_from"] = record.imported_from.model_dump()
    if record.failure is not None:
        told["failure"] = f"{record.failure.kind}: {record.failure.message}"
        told["failure_cause"] = record.failure.cause
    return told


def print_trials(plan: Plan, shown: Callable[[str], str] = str) -> None:
    metric = plan.shown_metric
    if plan.search is not None:
        _print_suggestions(plan, plan.search, shown)
        return
    rows = []
    for trial in (*plan.first_phases, *plan.trials):
        score = trial.record.metrics.get(metric) if trial.record is not None else None
        state = shown(trial.state)
        rows.append([trial.key, trial.variant.name, str(trial.seed), state, "" if score is None else f"{score:.2f}"])
    print_table(("key", "variant", "seed", "state", metric), rows)


def _print_suggestions(plan: Plan, search: Search, shown: Callable[[str], str]) -> None:
    for trial in plan.first_phases:
        print(f"{trial.key} {trial.variant.name}, seed {trial.seed}: {shown(trial.state)}")
    by_key = {trial.key: trial for trial in plan.trials}
    rows = []
    for one in search.suggestions:
        trial = by_key.get(one.key or "")
        score = trial.record.metrics.get(search.metric) if trial is not None and trial.record is not None else None
        state = "failed" if trial is None else shown(trial.state)
        values = [word(value) for value in one.values.values()]
        rows.append([str(one.index), one.key or "-", *values, state, "" if score is None else f"{score:.2f}"])
    print_table(("suggestion", "key", *search.asked.space, "state", search.metric), rows)


def counts_line(plan: Plan, states: Mapping[str, int], shown: Callable[[str], str] = str) -> str:
    if plan.search is not None:
        made = plan.search.suggestions
        told = [f"{n} {state}" for state, n in states.items()]
        keys = [one.key for one in made if one.key is not None]
        more = {
            "as one before": len(keys) - len(set(keys)),
            "of settings that do not go together": len(made) - len(keys),
        }
        told += [f"{n} {what}" for what, n in more.items() if n]
        head = f"{len(made)} of {max(plan.search.asked.trials, len(made))} suggestions"
        return f"{head}: {', '.join([*told, f'{plan.search.n_to_come} to come'])}"
    told = f"{len(plan.trials)} trials: " + ", ".join(f"{n} {state}" for state, n in states.items())
    again = sum(trial.state == "failed" and not trial.has_failed_for_good for trial in plan.trials)
    told += f" ({again} of them by no fault of their own, which the next run takes up again)" if again else ""
    if not plan.first_phases:
        return told
    before = Counter(shown(trial.state) for trial in plan.first_phases)
    return f"{told}; {PRETRAINING} before: " + ", ".join(f"{n} {state}" for state, n in before.items())


def search_json(plan: Plan) -> dict[str, Any]:
    """What `plan`, `status` and `run` add to their object for a search; the best is of what has finished."""
    search = plan.search
    if search is None:
        return {}
    finished = [trial for trial in plan.trials if trial.record is not None and search.metric in trial.record.metrics]
    best = max(finished, key=lambda trial: search.sign * _score(trial, search), default=None)
    told: dict[str, Any] = {
        "metric": search.metric,
        "better": search.better,
        "asked": search.asked.trials,
        "suggested": len(search.suggestions),
        "to_come": search.n_to_come,
        "pruned": sum(trial.state == "pruned" for trial in plan.trials),
        "best": None,
        "suggestions": [
            {"index": one.index, "key": one.key, "values": one.values, "fault": one.fault} for one in search.suggestions
        ],
        "journal": str(search.journal),
    }
    if best is not None:
        told["best"] = {"key": best.key, "score": _score(best, search), "values": best.variant.factors}
    return {"search": told}


def _score(trial: PlannedTrial, search: Search) -> float:
    assert trial.record is not None
    return trial.record.metrics[search.metric]


# ----------------------------------------------------------------------------------------------------------------- cost


def cost_json(expected: Estimate) -> dict[str, Any]:
    return {
        "trial_hours": expected.hours,
        "wall_hours": expected.wall_hours,
        "trials_side_by_side": expected.slots,
        "disk_bytes": expected.disk_bytes,
        "measured": [name for name, source in expected.sources.items() if source == "measured"],
        "pilots": [name for name, source in expected.sources.items() if source == "pilot"],
        "unknown": list(expected.unknown),
    }


def cost_lines(expected: Estimate, n_trials: int) -> list[str]:
    if not n_trials:
        return ["cost: none, nothing is to be run"]
    lines = []
    if expected.hours is None or expected.wall_hours is None:
        n = len(expected.unknown)
        lines.append(
            f"cost: not known for {n} variant{'s' if n > 1 else ''} ({', '.join(expected.unknown[:3])}"
            f"{', …' if n > 3 else ''}); {expected.remedy}"
        )
    else:
        sources = Counter(expected.sources.values())
        n = sources["measured"]
        told = [f"{n} variant{'s' if n > 1 else ''} measured"] if n else []
        told += [f"{sources['pilot']} by pilots"] if sources["pilot"] else []
        lines.append(
            f"cost: {expected.hours:.2f} trial hours, {expected.wall_hours:.2f} hours with {expected.slots} "
            f"side by side ({', '.join(told)})"
        )
    if expected.disk_bytes is not None:
        lines.append(f"disk: about {size(expected.disk_bytes)}")
    return lines


# -------------------------------------------------------------------------------------------------------------- outcome


def outcome_json(outcome: Outcome, run_ids: Mapping[str, str]) -> dict[str, Any]:
    return {
        "study": outcome.plan.study.study,
        "budget": outcome.plan.budget_name,
        "trials": [trial_json(trial, run_ids) for trial in outcome.plan.trials],
        "first_phases": [trial_json(trial, run_ids) for trial in outcome.plan.first_phases],
        "blocked": [trial.key for trial in outcome.plan.blocked],
        "executed": len(outcome.executed),
        "cached": outcome.cached,
        "failed": len(outcome.failed),
        "interrupted": outcome.interrupted,
        "stopped": outcome.stopped,
        **search_json(outcome.plan),
        "report": {name: str(path) for name, path in outcome.files.items()},
        "warnings": list(outcome.warnings),
        "tracking": {"uri": outcome.tracking, "trouble": outcome.trouble},
        "offline": outcome.tracking is None,
    }


def print_outcome(outcome: Outcome, home: Home) -> None:
    for name in ("table.md", "search.md"):
        if name in outcome.files:
            lines = outcome.files[name].read_text(encoding="utf-8").splitlines()
            print("\n".join(line for line in lines if line.startswith("|")), end="\n\n")
    for warning in outcome.warnings:
        print(warning, end="\n\n")
    if "best.yaml" in outcome.files:
        print(outcome.files["best.yaml"].read_text(encoding="utf-8"))
    told = [f"{len(outcome.executed)} executed", f"{outcome.cached} cached", f"{len(outcome.failed)} failed"]
    states = Counter(trial.state for trial in outcome.plan.unfinished)
    told += [f"{states[state]} {state}" for state in ("interrupted", "pruned", "new") if states[state]]
    told += [f"{len(outcome.plan.to_come)} to come"] if outcome.plan.to_come else []
    print(f"{outcome.plan.study.study}: {', '.join(told)}")
    if outcome.plan.search is not None:
        print(counts_line(outcome.plan, Counter(trial.state for trial in outcome.plan.trials)))
    titles = {"report": "report.html", "table": "table.tex", "": "table.md", "figure": "figure.pdf"}
    if outcome.plan.search is not None:
        titles = {"best": "best.yaml", "table": "search.md", "": "search.csv", "figure": "search.pdf"}
    for title, name in titles.items():
        if name in outcome.files:
            print(f"{title:<7} {outcome.files[name]}")
    if outcome.tracking is None:
        print(f"offline: no report, and nothing in MLflow; to bring this home: {export_command(outcome, home)}")
        return
    in_home = outcome.tracking.startswith("sqlite:") and str(home.database) in outcome.tracking
    print(f"MLflow  {shlex.join(['orchestrate', 'ui', '--home', str(home.root)]) if in_home else outcome.tracking}")


def export_command(outcome: Outcome, home: Home) -> str:
    name = outcome.plan.study.study
    return shlex.join(["orchestrate", "export", name, "--home", str(home.root), "--out", f"{name}.tar.gz"])


def _retry_command(study: str, outcome: Outcome) -> str:
    """The command that was typed, for what failed; without the keys of trials that it may have named."""
    words = sys.argv[2:] if sys.argv[1:2] in (["run"], ["retry"]) else [study]
    keys = [trial.key for trial in outcome.plan.trials]
    kept = [word for word in words if word != "--failed" and not any(key.startswith(word) for key in keys)]
    return shlex.join(["orchestrate", "retry", "--failed", *kept])


def _sync_command(home: Home) -> str:
    return shlex.join(["orchestrate", "sync", "--home", str(home.root)])


def complain(outcome: Outcome, home: Home, study: str) -> None:
    """What went wrong, on standard error: for each failure its variant, the end of its traceback, and its log."""
    for trial in outcome.failed:
        assert trial.record is not None and trial.record.failure is not None
        failure, attempts = trial.record.failure, trial.record.attempts
        tried = f" ({failure.cause}, {attempts} attempts)" if attempts > 1 else f" ({failure.cause})"
        print(f"failed: {trial.variant.name}, seed {trial.seed}{tried}", file=sys.stderr)
        print("\n".join(f"  {line}" for line in failure.last_lines.splitlines()), file=sys.stderr)
        print(f"  log: {home.trial(trial.key) / LOG}", file=sys.stderr)
    for first in outcome.plan.open_first_phases if outcome.plan.blocked else ():
        waiting = [trial for trial in outcome.plan.blocked if trial.needs == first.key]
        names = list(dict.fromkeys(trial.variant.name for trial in waiting))
        if waiting:
            told = f"{', '.join(names[:3])}{', …' if len(names) > 3 else ''}"
            n = f"{len(waiting)} trial{'s' if len(waiting) > 1 else ''}"
            print(f"not started: {n} of {told}, as {first.variant.name} ({first.key}) has failed", file=sys.stderr)
    if any(trial.has_failed_for_good for trial in outcome.failed):
        print(f"run again what failed: {_retry_command(study, outcome)}", file=sys.stderr)
    if outcome.trouble is not None:
        print(f"MLflow is not up to date ({outcome.trouble}): {_sync_command(home)}", file=sys.stderr)
    if outcome.stopped is not None:
        print(f"stopped: {outcome.stopped}", file=sys.stderr)
    if outcome.interrupted:
        print("interrupted; the same command goes on from here", file=sys.stderr)


# ------------------------------------------------------------------------------------------------------------- archives


_Reports = Mapping[tuple[str, str], Mapping[str, Path]]
"""Study and budget → the files of its report."""


def export_json(done: Exported) -> dict[str, Any]:
    return {
        "file": str(done.file),
        "sha256": done.sha256,
        "bytes": done.bytes,
        "unpacked_bytes": done.unpacked_bytes,
        "trials": done.trials,
        "studies": done.studies,
        "left_out": list(done.left_out),
    }


def print_export(done: Exported) -> None:
    n = sum(done.trials.values())
    told = ", ".join(f"{n} {status}" for status, n in sorted(done.trials.items()))
    print(f"{done.file}: {counted(n, 'trial')} ({told}), {size(done.bytes)}")
    print(f"at home: {shlex.join(['orchestrate', 'import', done.file.name])}")


def import_json(imported: Sequence[Imported], reports: _Reports, synced: Synced | None, home: Home) -> dict[str, Any]:
    tracking = None if synced is None else {"uri": synced.uri, "trouble": synced.trouble}
    return {
        "home": str(home.root),
        "archives": [
            {
                "file": str(one.archive),
                "sha256": one.sha256,
                "trials": [_imported_json(trial) for trial in one.trials],
                "counts": dict(Counter(trial.what for trial in one.trials)),
                "kept": list(one.kept),
            }
            for one in imported
        ],
        "report": {
            f"{study}/{budget}": {name: str(path) for name, path in files.items()}
            for (study, budget), files in reports.items()
        },
        "to_report": _report_commands(imported, reports, home),
        "tracking": tracking,
    }


def _imported_json(trial: Trial) -> dict[str, Any]:
    record = trial.record
    names = ("key", "study", "budget", "variant", "seed", "status")
    return {**{name: getattr(record, name) for name in names}, "what": trial.what, "told": trial.told}


def print_import(imported: Sequence[Imported], reports: _Reports, synced: Synced | None, home: Home) -> None:
    titles = {
        "taken": "taken over",
        "there": "there already",
        "conflict": "with other scores here, left as they are",
        "running": "running here, left as they are",
    }
    for one in imported:
        found = Counter(trial.what for trial in one.trials)
        told = ", ".join(f"{found[what]} {title}" for what, title in titles.items() if found[what])
        print(f"{one.archive}: {counted(len(one.trials), 'trial')}, {told}")
    if synced is not None and synced.trouble is None:
        print(f"MLflow  {synced.uri}: {counted(synced.trials, 'trial')} up to date")
    for files in reports.values():
        for name in ("report.html", "table.md"):
            if name in files:
                print(f"report  {files[name]}")
                break
    for command in _report_commands(imported, reports, home):
        print(f"report: {command}")
    if synced is None:
        print(f"MLflow: {_sync_command(home)}")


def complain_of_import(imported: Sequence[Imported], synced: Synced | None, home: Home) -> None:
    """What was not taken over as it is, on standard error."""
    for one in imported:
        for trial in (*one.of("conflict"), *one.of("running")):
            record = trial.record
            who = f"{record.key} {record.variant}, seed {record.seed}"
            print(f"{trial.what}: {who}: {trial.told}", file=sys.stderr)
        for path in one.kept:
            print(f"kept: {home.root / path} is other than that of {one.archive}", file=sys.stderr)
    if synced is not None and synced.trouble is not None:
        print(f"MLflow is not up to date ({synced.trouble}): {_sync_command(home)}", file=sys.stderr)


def _report_commands(imported: Sequence[Imported], reports: _Reports, home: Home) -> list[str]:
    """What to type for the reports that were not written."""
    wanted = {(study, budget) for one in imported for study, some in one.studies.items() for budget in some}
    commands = []
    for study, budget in sorted(wanted - set(reports)):
        words = ["orchestrate", "report", _study_file(study, imported, home), "--home", str(home.root)]
        commands.append(shlex.join([*words, *([] if budget == FULL else ["--budget", budget])]))
    return commands


def _study_file(study: str, imported: Sequence[Imported], home: Home) -> str:
    """The file that was typed where the study ran, if it is here too; else the copy that came with its trials."""
    for record in (trial.record for one in imported for trial in one.trials):
        for typed in record.provenance.get("command") or () if record.study == study else ():
            if str(typed).endswith((".yaml", ".yml")) and Path(typed).is_file():
                return typed
    return str(note.path_of(home, study))
