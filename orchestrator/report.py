"""From records to the tidy results that reports are made of, and to the report's files."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator import provenance
from orchestrator.errors import refused
from orchestrator.identity import canonical
from orchestrator.plan import PRETRAINING, Plan, PlannedTrial
from orchestrator.schema import FULL, RESERVED
from orchestrator.search import Suggestion
from orchestrator.store import Home, TrialRecord, read_history
from reports import search as search_reports
from reports.counts import SplitCounts, StudyCounts, read_split, timed
from reports.records import EpochScores, StudyResults, TrialResult
from reports.records import Variant as ReportVariant
from reports.search import Parameter, SearchResults, Standing, Tried

log = logging.getLogger("orchestrator.report")


def results(plan: Plan, home: Home, *, force: bool = False) -> StudyResults:
    """The study with the trials that it has so far. The records alone decide, so the same records give the same.

    `force`: where a trial is missing, one of the same settings and seed that read other data or ran other code stands
    in for it, and the caption says so.
    """
    study = plan.study
    selected_on_test = any(plan.trainable.selects_on_test(variant.settings) for variant in plan.variants)
    stand_ins = outdated(plan, home) if force else {}
    there = [replace(one, record=stand_ins.get((one.variant.name, one.seed), one.record)) for one in plan.trials]
    plan = replace(plan, trials=tuple(there))
    select_metric = f"{'test' if selected_on_test else study.select.on}/{study.select.metric}"
    on_dev = {f"dev/{metric.partition('/')[2]}" for metric in study.report.shown_metrics}
    trials = [_trial(trial, home, {select_metric, *on_dev}) for trial in plan.trials if trial.record is not None]
    return StudyResults(
        study=study.study,
        question=study.question,
        budget=plan.budget_name,
        budget_note=None if plan.budget_name == FULL else plan.budget.note,
        select_metric=select_metric,
        seeds=plan.seeds,
        variants=tuple(ReportVariant(v.name, v.label, v.factors) for v in plan.variants),
        baseline=plan.expansion.baseline,
        trials=tuple(trials),
        report=study.report,
        published=study.published,
        provenance=_provenance(plan),
        mixed=_mixed(plan, stand_ins, len(trials)),
        counts=_counts(trials, home, {metric.partition("/")[0] for metric in study.report.shown_metrics}),
    )


def outdated(plan: Plan, home: Home) -> dict[tuple[str, int], TrialRecord]:
    """Variant and seed → the latest finished trial of the same settings that read other data or ran other code, for
    the trials that have not finished."""
    lacking = {(trial.variant.written, trial.seed): trial for trial in plan.trials if not trial.is_finished}
    if not lacking:
        return {}
    found: dict[tuple[str, int], TrialRecord] = {}
    code = plan.trainable.identity()
    for record in home.records().values():
        trial = lacking.get((canonical(record.settings), record.seed))
        if trial is None or record.status != "finished" or record.trainable != code.get("trainable", {}):
            continue
        cell = (trial.variant.name, trial.seed)
        if cell not in found or (found[cell].ended or "") < (record.ended or ""):
            found[cell] = record
    return found


def _mixed(plan: Plan, stand_ins: Mapping[tuple[str, int], TrialRecord], n_trials: int) -> str | None:
    if not stand_ins:
        return None
    digests = {(trial.variant.name, trial.seed): trial.data_digest for trial in plan.trials}
    told = []
    for (variant, seed), record in stand_ins.items():
        data = f", data {record.data_digest[:12]}" if record.data_digest != digests[variant, seed] else ""
        told.append(f"{variant}, seed {seed} (trial {record.key}{data}, code epoch {record.code_epoch})")
    return f"{len(stand_ins)} of {n_trials} trials read other data, or ran other code, than the study has now: " + (
        "; ".join(told)
    )


def _counts(trials: Iterable[TrialResult], home: Home, splits: Iterable[str]) -> StudyCounts | None:
    """What the finished trials have left of their documents' counts."""
    found: dict[tuple[str, str], SplitCounts] = {}
    for trial in trials:
        for split in sorted(splits) if trial.status == "finished" else ():
            path = home.trial(trial.key) / "counts" / f"{split}.json"
            try:
                counts = read_split(path.read_text(encoding="utf-8"))
            except FileNotFoundError:
                continue
            except (ValueError, OSError) as error:
                log.warning("%s is left out of the statistics: %s", path, error)
                continue
            disagreement = counts.disagreement(split, trial.metrics)
            if disagreement is not None:
                log.warning("%s is left out of the statistics: %s", path, disagreement)
                continue
            clock = home.trial(trial.key) / "seconds" / path.name
            try:
                counts = timed(counts, clock.read_text(encoding="utf-8"))
            except FileNotFoundError:
                pass
            except (ValueError, OSError) as error:
                log.warning("%s is left out: %s", clock, error)
            found[trial.key, split] = counts
    return StudyCounts(found) if found else None


def search_results(plan: Plan, home: Home) -> SearchResults:
    """What a search has tried so far. The journal and the records alone decide."""
    study, found = plan.study, plan.search
    assert found is not None
    by_key = {trial.key: trial for trial in plan.trials}
    asha = found.asked.pruning
    rule = None
    if asha is not None:
        rungs = [asha.grace_epochs * asha.reduction_factor**n for n in range(3)]
        rule = (
            f"asynchronous successive halving (Li et al., 2020): after epoch {', '.join(map(str, rungs))}, … a trial "
            f"ends unless it is among the best 1/{asha.reduction_factor} of those that came there so far"
        )
    space = tuple(Parameter(path=path, **one.model_dump(mode="python")) for path, one in found.asked.space.items())
    return SearchResults(
        study=study.study,
        question=study.question,
        budget=plan.budget_name,
        budget_note=None if plan.budget_name == FULL else plan.budget.note,
        metric=found.metric,
        report=study.report,
        algorithm=found.asked.algorithm,
        search_seed=found.asked.seed,
        seed=found.seed,
        n_declared=found.asked.trials,
        space=space,
        tried=tuple(_tried(one, by_key.get(one.key or ""), found.metric, home) for one in found.suggestions),
        pruning=rule,
        provenance=_provenance(plan),
    )


def _tried(suggestion: Suggestion, trial: PlannedTrial | None, metric: str, home: Home) -> Tried:
    record = trial.record if trial is not None else None
    history = read_history(home.trial(trial.key)) if trial is not None else []
    at_epochs = [scores[metric] for _, scores in history if metric in scores]
    score = at_epochs[-1] if at_epochs else None
    standing: Standing = "waiting"
    reason = suggestion.fault
    if reason is not None:
        standing = "failed"
    elif trial is not None and trial.is_given_up and not trial.is_finished:
        standing = "pruned"
    elif record is not None:
        standing = record.status if record.status in ("finished", "failed") else "interrupted"
        reason = f"{record.failure.kind}: {record.failure.message}" if record.failure is not None else None
        if standing == "finished":
            score = record.metrics.get(metric)
            standing = "finished" if score is not None else "failed"
    return Tried(
        index=suggestion.index,
        values=suggestion.values,
        standing=standing,
        key=suggestion.key,
        score=score,
        epochs=max((epoch for epoch, _ in history), default=0),
        duration_s=None if record is None else record.duration_s,
        reason=reason,
    )


def write(
    plan: Plan, home: Home, search: Sequence[Path] | None, folder: Path | None = None, *, force: bool = False
) -> tuple[StudyResults | SearchResults, dict[str, Path]]:
    """What the report is made of, and its files: name → path.

    `search`: the data search path, for the texts of documents that are shown; `None` shows none. `force`: see
    `results`.
    """
    from orchestrator.shown import shown_documents
    from reports.build import build  # here, as it loads pandas and matplotlib

    if plan.search is not None:
        made: StudyResults | SearchResults = search_results(plan, home)
    else:
        made = results(plan, home, force=force)
        if search is not None:
            made = replace(made, documents=shown_documents(made, home, search))
    return made, build(made, folder or home.report(plan.study.study, plan.budget_name))


def reports_in(home: Home) -> Iterator[tuple[StudyResults | SearchResults, dict[str, Path]]]:
    """The reports that a home has, each with its files. Raises StudyError for one that cannot be read."""
    found = [*home.root.glob("*/report/record.json"), *home.root.glob("*/*/report/record.json")]
    for path in sorted(path for path in found if path.relative_to(home.root).parts[0] not in RESERVED):
        try:
            results = search_reports.read(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            raise refused(
                f"{path} cannot be read ({str(error).splitlines()[0]}), so what it reports on is not known; write it "
                f"again by `orchestrate report`, or move its folder away"
            ) from None
        yield results, {file.name: file for file in sorted(path.parent.iterdir()) if file.is_file()}


def _trial(trial: PlannedTrial, home: Home, curves: Set[str]) -> TrialResult:
    """`curves`: metrics that are kept of each epoch, beside the F1 of all sub-tasks on dev."""
    record = trial.record
    assert record is not None
    history = tuple(
        EpochScores(epoch, {name: value for name, value in metrics.items() if name in curves or _is_ours(name)})
        for epoch, metrics in read_history(home.trial(record.key))
    )
    failure = record.failure if record.status == "failed" else None
    return TrialResult(
        key=record.key,
        variant=trial.variant.name,
        seed=trial.seed,
        # a driver that was killed could not say so in the record
        status=record.status if record.status in ("finished", "failed") else "interrupted",
        metrics=record.metrics if record.status == "finished" else {},
        selected_epoch=record.selected_epoch,
        history=history,
        reading=record.facts.get("reading_at_selected_epoch"),
        duration_s=record.duration_s,
        settings=record.settings,
        data_digest=record.data_digest,
        code_epoch=record.code_epoch,
        attempts=record.attempts,
        failure=None if failure is None else f"{failure.kind}: {failure.message}",
    )


def _is_ours(metric: str) -> bool:
    return metric.startswith("dev/") and metric.endswith("_f1")


def _provenance(plan: Plan) -> dict[str, Any]:
    """Of the trials that the report rests on, which may come from several commits and machines: all are named."""
    finished = [trial for trial in (*plan.first_phases, *plan.trials) if trial.is_finished]
    origins = [trial.record.provenance for trial in finished if trial.record is not None]
    seconds = sum(trial.record.duration_s for trial in finished if trial.record is not None)
    n_finished = f"{_n_finished(plan.trials)} finished of {len(plan.trials)}"
    before = f", {_n_finished(plan.first_phases)} of {PRETRAINING}" if plan.first_phases else ""
    return {
        "commit": _all(provenance.version_of_code(origin) for origin in origins),
        "data": {name: _all(digests) for name, digests in _data(plan).items()},
        "command": _all(" ".join(provenance.without_places(origin.get("command", ()))) for origin in origins),
        "hardware": _all(_hardware(origin.get("hardware", {})) for origin in origins),
        "packages": _all(
            ", ".join(f"{name} {version}" for name, version in origin.get("packages", {}).items()) for origin in origins
        ),
        "trials": f"{n_finished}{before}, {seconds / 3600:.2f} trial hours",
    }


def _n_finished(trials: Iterable[PlannedTrial]) -> int:
    return sum(trial.is_finished for trial in trials)


def _data(plan: Plan) -> dict[str, list[str]]:
    """Name of each data set → the digests that trials read of it."""
    digests: dict[str, list[str]] = {}
    for trial in (*plan.first_phases, *plan.trials):
        for name in plan.trainable.data_names(trial.variant.settings):
            digests.setdefault(name, []).append(trial.data_digest)
    return digests


def _all(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(value for value in values if value)) or "not recorded"


def _hardware(given: dict[str, Any]) -> str:
    gpus = given.get("gpus") or []
    parts = [given.get("cpu"), f"{given.get('cores', '?')} cores", f"{given.get('memory_gib', '?')} GiB", *gpus]
    return ", ".join(str(part) for part in parts if part)
