"""All sub-tasks of a study of our models: precision, recall and F1 of mention, coreference, entity, relation and strict
relation, a variant a row."""

from __future__ import annotations

from collections.abc import Iterator

from reports.comparison import TASK_TITLES, incomplete, label, origin, selection, side_by_side
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

    sections = tuple(
        mark_best(Section(title, tuple(Row(name, tuple(cells(variant.name))) for name, variant in variants)), columns)
        for title, variants in side_by_side(results)
    )
    n = len(results.seeds)
    complete = ", among the variants with all seeds" if incomplete(results) else ""
    over = f"mean over n = {n} seeds" if n > 1 else "one seed"
    return Table(
        label=label(results, "sub-tasks"),
        caption=f"Sub-tasks: {results.question}",
        warnings=results.warnings,
        explanations=(
            f"Precision, recall and F1 on {split} in percent, {over}{selection(results)}.",
            f"Bold: best of its column{' and group' if len(sections) > 1 else ''}{complete}.",
        ),
        stub="Variant",
        columns=columns,
        sections=sections,
        notes=incomplete(results),
        origin=origin(results),
    )


def _all(split: str) -> set[str]:
    return {name for name in METRICS if name.startswith(f"{split}/")}
