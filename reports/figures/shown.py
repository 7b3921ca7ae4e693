"""Which variants a figure has room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reports.figures.labels import variant_title
from reports.records import StudyResults
from reports.significance import baseline_of
from reports.statistics import spread


@dataclass(frozen=True)
class Shown:
    """The variants that a figure has room for."""

    labels: tuple[str, ...]
    """What they are called, baselines first; a variant has the same on every data set, and so the same look."""
    names: tuple[tuple[str, ...], ...]
    """Of each corpus, in the order of the labels."""
    n_left_out: int

    def told(self, results: StudyResults) -> list[str]:
        """What a legend says of those that are left out."""
        if not self.n_left_out:
            return []
        return [f"the best on dev, with baselines; {self.n_left_out} further variants are not drawn"]


def shown(results: StudyResults, able: Sequence[Sequence[str]], all_up_to: int, most: int) -> Shown:
    """Of the variants of each corpus all, if they are not too many; else those that are best by the metric that
    selects, so on dev, each with its baseline. What was chosen of one data set is shown of the next ones, too."""
    labels: dict[str, None] = {}
    for names in able:
        if not any(label_of(results, name) in labels for name in names):
            fitting = list(names) if len(names) <= all_up_to else _best_with_baselines(results, names, most)
            labels |= dict.fromkeys(label_of(results, name) for name in fitting)
    every = [name for names in able for name in names]
    of_others = {baseline_of(results, name) for name in every}
    baselines = {label_of(results, name) for name in every if name in of_others}
    ordered = sorted(labels, key=lambda label: label not in baselines)[:all_up_to]
    kept = tuple(
        tuple(sorted((name for name in names if label_of(results, name) in ordered), key=_place(results, ordered)))
        for names in able
    )
    return Shown(tuple(ordered), kept, len(every) - sum(map(len, kept)))


def label_of(results: StudyResults, variant: str) -> str:
    return variant_title(results, results.variant(variant), with_dataset=False)


def _place(results: StudyResults, labels: Sequence[str]) -> Callable[[str], int]:
    return lambda name: labels.index(label_of(results, name))


def _best_with_baselines(results: StudyResults, variants: Sequence[str], most: int) -> list[str]:
    baselines = {baseline_of(results, name) for name in variants}
    chosen: list[str] = []
    for name in sorted((name for name in variants if name not in baselines), key=lambda name: -_score(results, name)):
        baseline = baseline_of(results, name)
        wanted = [one for one in variants if one in (baseline, name) and one not in chosen]
        chosen += wanted if len(chosen) + len(wanted) <= most else []
    return chosen


def _score(results: StudyResults, variant: str) -> float:
    """Higher is better, whatever the metric."""
    metric = results.select_metric or results.report.shown_metrics[0]
    mean = spread([trial.metrics[metric] for trial in results.finished(variant)]).mean
    if mean is None:
        return float("-inf")
    return -mean if results.report.info(metric).better == "lower" else mean
