"""Scores by relation type, from the counts of documents: which types a variant is better at.

A type's F1 is micro-averaged over documents in each trial, and then a mean over seeds. Types are ordered by how often
they stand in gold; beyond the most frequent ones the counts of all others are summed, in a row of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
import pandas as pd

from reports.comparison import TASK_TITLES, full_name, incomplete, label, ordered_variants, origin
from reports.corpora import Corpus, corpora, relation_task
from reports.counts import COUNTED, measured
from reports.records import StudyResults
from reports.statistics import Spread, spread
from reports.statistics.micro import Statistic
from reports.table import Column, Plain, Row, Score, Section, Table, mark_best

MOST = 15
"""Types with a row of their own."""


@dataclass(frozen=True)
class ByType:
    """The counts of each type in each trial of each variant, on one corpus."""

    corpus: Corpus
    types: tuple[str, ...]
    """The most frequent in gold first."""
    gold: tuple[int, ...]
    """Relations of each in gold."""
    counts: dict[str, np.ndarray]
    """Variant → (seeds, types, 3): correct, spurious, missed."""

    @property
    def seeds(self) -> dict[str, list[int]]:
        """Variant → the seeds of its counts, in their order."""
        return {name: self.corpus.seeds[name] for name in self.counts}

    def f1(self, variant: str, at: int) -> Spread:
        """Of a type, over seeds, in percent."""
        return spread(measured(self.counts[variant][:, at], "f1").tolist())

    def pooled(self, most: int = MOST) -> ByType:
        """With the types beyond the most frequent ones as one, unless that would be one alone."""
        if len(self.types) <= most + 1:
            return self
        rest = f"{len(self.types) - most} other types"
        counts = {
            name: np.concatenate([of[:, :most], of[:, most:].sum(axis=1, keepdims=True)], axis=1)
            for name, of in self.counts.items()
        }
        return ByType(self.corpus, (*self.types[:most], rest), (*self.gold[:most], sum(self.gold[most:])), counts)


def by_type(results: StudyResults) -> list[ByType]:
    """Of each corpus, those variants of which all trials have counted relations by type."""
    task = relation_task(results)
    found = []
    for corpus in corpora(results):
        corpus = corpus.of(lambda trial: task in trial.tasks and trial.tasks[task].type is not None)
        counted = {name: [trial.tasks[task].by_type() for trial in of] for name, of in corpus.trials.items()}
        gold: dict[str, int] = {}
        for of_types in (one for trials in counted.values() for one in trials):
            for name, (correct, _, missed) in of_types.items():
                gold[name] = max(gold.get(name, 0), int(correct + missed))
        types = tuple(sorted(gold, key=lambda name: (-gold[name], name)))
        nothing = np.zeros(len(COUNTED), dtype=np.int64)
        counts = {
            variant: np.array([[of.get(name, nothing) for name in types] for of in trials])
            for variant, trials in counted.items()
        }
        if types:
            found.append(ByType(corpus, types, tuple(gold[name] for name in types), counts))
    return found


def frame(results: StudyResults) -> pd.DataFrame:
    """A row per variant, seed and type, of all types."""
    of_variant = {name: found for found in by_type(results) for name in found.counts}
    keys = {(trial.variant, trial.seed): trial.key for trial in results.trials}
    rows = []
    for variant in ordered_variants(results):
        found = of_variant.get(variant.name)
        for seed, of_trial in (
            () if found is None else zip(found.seeds[variant.name], found.counts[variant.name], strict=True)
        ):
            assert found is not None
            scores = {measure: measured(of_trial, measure).tolist() for measure in get_args(Statistic)}
            for at, (name, counts) in enumerate(zip(found.types, of_trial.tolist(), strict=True)):
                told = dict(zip(COUNTED, counts, strict=True)) | {measure: of[at] for measure, of in scores.items()}
                rows.append(
                    {"variant": variant.name, "seed": seed, "key": keys[variant.name, seed], "type": name, **told}
                )
    columns = ["variant", "seed", "key", "type", *COUNTED, *get_args(Statistic)]
    return pd.DataFrame(rows, columns=columns)


def table(results: StudyResults) -> Table | None:
    """A type a row, a variant a column, a part for each corpus; `None` where no trial has left counts by type."""
    every = [found.pooled() for found in by_type(results)]
    if not every:
        return None
    # on each data set a variant is in the same column
    labels = {
        name: full_name(results, results.variant(name), with_dataset=False) for found in every for name in found.counts
    }
    ordered = [labels[variant.name] for variant in ordered_variants(results) if variant.name in labels]
    titles = list(dict.fromkeys(ordered))
    columns = (Column("in gold", better="neither"), *map(Column, titles))
    n = len(results.seeds)
    split = results.report.shown_metrics[0].partition("/")[0]
    over = f"mean ± sample standard deviation over n = {n} seeds" if n > 1 else "one seed"
    sections = []
    for found in every:
        there = {labels[name]: name for name in found.counts}
        rows = []
        for at, (name, gold) in enumerate(zip(found.types, found.gold, strict=True)):
            scores = [found.f1(there[title], at) if title in there else spread([]) for title in titles]
            cells = (Score(of.mean, of.sd, of.n, n) if of.n else Score(None, None, 0, 0) for of in scores)
            row = Row(results.report.name(name), (Plain(float(gold), decimals=0), *cells))
            # across a row the variants are ranked, so rows are columns to the ranking
            rows.append(_ranked(row, columns))
        sections.append(Section(found.corpus.title(results) if len(every) > 1 else None, tuple(rows)))
    task = TASK_TITLES[relation_task(results)]
    return Table(
        label=label(results, "types"),
        caption=f"Relation types: {results.question}",
        warnings=results.warnings,
        explanations=(f"F1 of {task}s on {split} in percent by type, {over}. Bold: best of its row.",),
        stub="Relation type",
        columns=columns,
        sections=tuple(sections),
        notes=incomplete(results),
        origin=origin(results),
    )


def _ranked(row: Row, columns: tuple[Column, ...]) -> Row:
    """The row with its best variant marked."""
    first, *scores = row.cells
    stood = Section(None, tuple(Row("", (cell,)) for cell in scores))
    marked = mark_best(stood, (columns[1],)) if scores else stood
    return Row(row.label, (first, *(one.cells[0] for one in marked.rows)))
