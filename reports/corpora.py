"""The counts of a study by the documents that they are of: variants on other documents are not to be compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from reports.counts import Documents, SplitCounts, StudyCounts, metric_parts
from reports.records import StudyResults, dataset_place
from reports.settings import ByDatasetSettings


@dataclass(frozen=True, eq=False)
class Corpus:
    """Documents, and what each finished trial counted on them."""

    documents: Documents
    trials: dict[str, list[SplitCounts]] = field(default_factory=dict)
    """Variant → its finished trials with counts, in the order of the seeds."""
    seeds: dict[str, list[int]] = field(default_factory=dict)
    """Variant → their seeds."""

    def of(self, has: Callable[[SplitCounts], bool]) -> Corpus:
        """With those variants only all trials of which have it."""
        trials = {name: of for name, of in self.trials.items() if all(map(has, of))}
        return Corpus(self.documents, trials, {name: self.seeds[name] for name in trials})

    def title(self, results: StudyResults) -> str:
        """What tells it from the others of a report: its data set, where the report is by that, else its size."""
        if isinstance(results.report, ByDatasetSettings):
            columns = {dataset_place(results.report, results.variant(name))[2] for name in self.trials}
            return ", ".join(results.report.name(column) for column in sorted(columns))
        return f"{len(self.documents)} documents"


def corpora(results: StudyResults) -> list[Corpus]:
    """On the split of the main metric, in the order of the variants; none without counts."""
    counts: StudyCounts | None = results.counts
    split = results.report.shown_metrics[0].partition("/")[0]
    found: dict[tuple[str, ...], Corpus] = {}
    for variant in results.variants if counts is not None else ():
        for trial in results.finished(variant.name):
            one = counts.trials.get((trial.key, split)) if counts is not None else None
            if one is not None:
                corpus = found.setdefault(one.documents.ids, Corpus(one.documents))
                corpus.trials.setdefault(variant.name, []).append(one)
                corpus.seeds.setdefault(variant.name, []).append(trial.seed)
    return list(found.values())


def relation_task(results: StudyResults) -> str:
    """The sub-task whose items a figure is about: that of the main metric if it is about relations, else the strict."""
    parts = metric_parts(results.report.shown_metrics[0])
    return parts[1] if parts is not None and parts[1] in ("relation", "relation_strict") else "relation_strict"
