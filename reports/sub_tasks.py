"""All sub-tasks of a study of our models: precision, recall and F1 of mention, coreference, entity, relation and strict
relation, a variant a row."""

from __future__ import annotations

from collections.abc import Iterator

from reports.comparison import TASK_TITLES, full_name, incomplete, ordered_variants, origin, selection
from reports.records import StudyResults
from reports.settings import MEASURES, METRICS, TASKS
from reports.statistics import spread
from reports.table import Column, Row, Score, Section, Table, mark_best

SHORT = {"precision": "P", "recall": "R", "f1": "F1"}


def table(results: StudyResults) -> Table | None:
    """Scores on test (on dev where nothing was tested); `None` where no trial has them all."""
    finished = [trial for trial in results.trials if trial.status == "finished"]
    split = next((name for name in ("test", "dev") if any(_all(name) <= set(one.metrics) for one in finished)), None)
    if split is None:
        return None
    columns = tuple(Column(SHORT[measure], TASK_TITLES[task].capitalize()) for task in TASKS for measure in MEASURES)

    def cells(variant: str) -> Iterator[Score]:
        trials = [trial for trial in results.finished(variant) if _all(split) <= set(trial.metrics)]
        for task in TASKS:
            for measure in MEASURES:
                scores = spread([trial.metrics[f"{split}/{task}_{measure}"] for trial in trials])
                # fifteen spreads beside each other are more than a page holds: they are in trials.csv
                yield Score(scores.mean, scores.sd, scores.n, len(results.seeds), bare=True)

    rows = tuple(Row(full_name(results, variant), tuple(cells(variant.name))) for variant in ordered_variants(results))
    n = len(results.seeds)
    over = f"mean over n = {n} seeds" if n > 1 else "one seed"
    return Table(
        label=f"tab:{results.study}-sub-tasks",
        caption=f"Sub-tasks: {results.question}",
        warnings=results.warnings,
        explanations=(
            f"Precision, recall and F1 on {split} in percent, {over}{selection(results)}.",
            "Bold: best of its column.",
        ),
        stub="Variant",
        columns=columns,
        sections=(mark_best(Section(None, rows), columns),),
        notes=incomplete(results),
        origin=origin(results),
    )


def _all(split: str) -> set[str]:
    return {name for name in METRICS if name.startswith(f"{split}/")}
