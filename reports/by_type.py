"""Scores by relation type, from the counts of documents: which types a variant is better at.

A type's F1 is micro-averaged over documents in each trial, and then a mean over seeds. Types are ordered by how often
they stand in gold; beyond the most frequent ones the counts of all others are summed, in a row of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
import pandas as pd

from reports.comparison import full_name, ordered_variants, origin
from reports.counts import COUNTED, StudyCounts, measured
from reports.records import StudyResults, Variant
from reports.statistics import spread
from reports.statistics.micro import Statistic
from reports.table import Column, Plain, Row, Score, Section, Table, mark_best

TASK = "relation_strict"
MOST = 15
"""Types with a row of their own."""


@dataclass(frozen=True)
class ByType:
    """The counts of each type in each trial of each variant, on one split."""

    split: str
    types: tuple[str, ...]
    """The most frequent in gold first."""
    gold: tuple[int, ...]
    """Relations of each in gold, of the variant with the most documents."""
    counts: dict[str, np.ndarray]
    """Variant → (seeds, types, 3): correct, spurious, missed."""

    def scores(self, variant: str, measure: Statistic = "f1") -> np.ndarray:
        """(seeds, types), in percent."""
        return measured(self.counts[variant], measure)

    def pooled(self, most: int = MOST) -> ByType:
        """With the types beyond the most frequent ones as one."""
        if len(self.types) <= most + 1:
            return self
        rest = f"{len(self.types) - most} other types"
        counts = {
            name: np.concatenate([of[:, :most], of[:, most:].sum(axis=1, keepdims=True)], axis=1)
            for name, of in self.counts.items()
        }
        return ByType(self.split, (*self.types[:most], rest), (*self.gold[:most], sum(self.gold[most:])), counts)


def of_study(results: StudyResults) -> ByType | None:
    """`None` where no trial has left counts by type."""
    counts: StudyCounts | None = results.counts
    split = results.report.shown_metrics[0].partition("/")[0]
    if counts is None:
        return None
    found: dict[str, list[dict[str, np.ndarray]]] = {}
    for variant in results.variants:
        for trial in results.finished(variant.name):
            of_trial = counts.trials.get((trial.key, split))
            if of_trial is not None and TASK in of_trial.tasks and of_trial.tasks[TASK].type is not None:
                found.setdefault(variant.name, []).append(of_trial.tasks[TASK].by_type())
    gold: dict[str, int] = {}
    for trials in found.values():
        for of_types in trials:
            for name, (correct, _, missed) in of_types.items():
                gold[name] = max(gold.get(name, 0), int(correct + missed))
    if not gold:
        return None
    types = tuple(sorted(gold, key=lambda name: (-gold[name], name)))
    nothing = np.zeros(3, dtype=np.int64)
    stacked = {
        variant: np.array([[of.get(name, nothing) for name in types] for of in trials])
        for variant, trials in found.items()
    }
    return ByType(split, types, tuple(gold[name] for name in types), stacked)


def frame(results: StudyResults) -> pd.DataFrame:
    """A row per variant, seed and type, of all types."""
    found = of_study(results)
    rows = []
    for variant in ordered_variants(results) if found is not None else ():
        assert found is not None
        for n_trial, of_trial in enumerate(found.counts.get(variant.name, ())):
            for name, counts in zip(found.types, of_trial, strict=True):
                told = dict(zip(COUNTED, map(int, counts), strict=True))
                scores = {measure: float(measured(counts, measure)) for measure in get_args(Statistic)}
                rows.append({"variant": variant.name, "trial": n_trial + 1, "type": name, **told, **scores})
    columns = ["variant", "trial", "type", *COUNTED, *get_args(Statistic)]
    return pd.DataFrame(rows, columns=columns)


def table(results: StudyResults) -> Table | None:
    """A type a row, a variant a column; `None` where no trial has left counts by type."""
    found = of_study(results)
    if found is None:
        return None
    found = found.pooled()
    variants: list[Variant] = [one for one in ordered_variants(results) if one.name in found.counts]
    columns = (Column("in gold", better="neither"), *(Column(full_name(results, one)) for one in variants))
    n = len(results.seeds)
    rows = []
    for at, (name, gold) in enumerate(zip(found.types, found.gold, strict=True)):
        scores = [spread(found.scores(one.name)[:, at].tolist()) for one in variants]
        cells = (Score(of.mean, of.sd, of.n, n) for of in scores)
        rows.append(Row(results.report.name(name), (Plain(float(gold), decimals=0), *cells)))
    # across a row the variants are ranked, so rows are columns to the ranking
    ranked = [_ranked(row, columns) for row in rows]
    over = f"mean ± sample standard deviation over n = {n} seeds" if n > 1 else "one seed"
    return Table(
        label=f"tab:{results.study}-types",
        caption=f"Relation types: {results.question}",
        warnings=results.warnings,
        explanations=(f"F1 of strict relations on {found.split} in percent by type, {over}. Bold: best of its row.",),
        stub="Relation type",
        columns=columns,
        sections=(Section(None, tuple(ranked)),),
        notes=(),
        origin=origin(results),
    )


def _ranked(row: Row, columns: tuple[Column, ...]) -> Row:
    """The row with its best variant marked."""
    first, *scores = row.cells
    stood = Section(None, tuple(Row("", (cell,)) for cell in scores))
    marked = mark_best(stood, (columns[1],)) if scores else stood
    return Row(row.label, (first, *(one.cells[0] for one in marked.rows)))
