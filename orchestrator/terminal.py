"""Plans, records and outcomes as JSON objects and as lines on a terminal."""

from __future__ import annotations

import json
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.cost import Estimate
from orchestrator.plan import Plan, PlannedTrial
from orchestrator.store import LOG, Home, TrialRecord

if TYPE_CHECKING:
    from orchestrator.execution import Outcome


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
    told: dict[str, Any] = {"key": trial.key, "variant": trial.variant.name, "seed": trial.seed}
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
    if record.failure is not None:
        told["failure"] = f"{record.failure.kind}: {record.failure.message}"
        told["failure_cause"] = record.failure.cause
    return told


def print_trials(plan: Plan, shown: Callable[[str], str] = str) -> None:
    metric = f"test/{plan.study.select.metric}"
    rows = []
    for trial in plan.trials:
        score = trial.record.metrics.get(metric) if trial.record is not None else None
        state = shown(trial.state)
        rows.append([trial.key, trial.variant.name, str(trial.seed), state, "" if score is None else f"{score:.2f}"])
    print_table(("key", "variant", "seed", "state", metric), rows)


def counts_line(plan: Plan, states: Mapping[str, int]) -> str:
    return f"{len(plan.trials)} trials: " + ", ".join(f"{n} {state}" for state, n in states.items())


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
        return ["cost: none, every trial is there"]
    lines = []
    if expected.hours is None or expected.wall_hours is None:
        n = len(expected.unknown)
        lines.append(
            f"cost: not known for {n} variant{'s' if n > 1 else ''} ({', '.join(expected.unknown[:3])}"
            f"{', …' if n > 3 else ''}); `orchestrate plan --pilot` measures an epoch of each"
        )
    else:
        sources = Counter(expected.sources.values())
        told = [f"{sources['measured']} variants measured"] if sources["measured"] else []
        told += [f"{sources['pilot']} by pilots"] if sources["pilot"] else []
        lines.append(
            f"cost: {expected.hours:.2f} trial hours, {expected.wall_hours:.2f} hours with {expected.slots} "
            f"side by side ({', '.join(told)})"
        )
    if expected.disk_bytes is not None:
        lines.append(f"disk: about {expected.disk_bytes / 2**20:,.0f} MiB")
    return lines


# -------------------------------------------------------------------------------------------------------------- outcome


def outcome_json(outcome: Outcome, run_ids: Mapping[str, str]) -> dict[str, Any]:
    return {
        "study": outcome.plan.study.study,
        "budget": outcome.plan.budget_name,
        "trials": [trial_json(trial, run_ids) for trial in outcome.plan.trials],
        "executed": len(outcome.executed),
        "cached": outcome.cached,
        "failed": len(outcome.failed),
        "interrupted": outcome.interrupted,
        "stopped": outcome.stopped,
        "report": {name: str(path) for name, path in outcome.files.items()},
        "tracking": {"uri": outcome.tracking, "trouble": outcome.trouble},
    }


def print_outcome(outcome: Outcome, home: Home) -> None:
    if "table.md" in outcome.files:
        lines = outcome.files["table.md"].read_text(encoding="utf-8").splitlines()
        print("\n".join(line for line in lines if line.startswith("|")), end="\n\n")
    told = [f"{len(outcome.executed)} executed", f"{outcome.cached} cached", f"{len(outcome.failed)} failed"]
    states = Counter(trial.state for trial in outcome.plan.unfinished)
    told += [f"{states[state]} {state}" for state in ("interrupted", "new") if states[state]]
    print(f"{outcome.plan.study.study}: {', '.join(told)}")
    for title, name in (("table", "table.tex"), ("", "table.md"), ("figure", "figure.pdf")):
        if name in outcome.files:
            print(f"{title:<7} {outcome.files[name]}")
    print(f"MLflow  {shlex.join(['orchestrate', 'ui', '--home', str(home.root)])}")


def complain(outcome: Outcome, home: Home, study: str) -> None:
    """What went wrong, on standard error: for each failure its variant, the end of its traceback, and its log."""
    for trial in outcome.failed:
        assert trial.record is not None and trial.record.failure is not None
        failure, attempts = trial.record.failure, trial.record.attempts
        tried = f" ({failure.cause}, {attempts} attempts)" if attempts > 1 else f" ({failure.cause})"
        print(f"failed: {trial.variant.name}, seed {trial.seed}{tried}", file=sys.stderr)
        print("\n".join(f"  {line}" for line in failure.last_lines.splitlines()), file=sys.stderr)
        print(f"  log: {home.trial(trial.key) / LOG}", file=sys.stderr)
    if any(trial.has_failed_for_good for trial in outcome.failed):
        print(f"run again what failed: orchestrate retry --failed {study}", file=sys.stderr)
    if outcome.trouble is not None:
        print(f"MLflow is not up to date ({outcome.trouble}): orchestrate sync", file=sys.stderr)
    if outcome.stopped is not None:
        print(f"stopped: {outcome.stopped}", file=sys.stderr)
    if outcome.interrupted:
        print("interrupted; the same command goes on from here", file=sys.stderr)
