"""The comparisons that a study declares by its report: each variant with its baseline, corrected as one family.

In a comparison or a sweep all variants are compared with the study's baseline. In a report by data set a row is
compared with the row `baseline` of the same group and data set. The family has one metric, the report's main one,
unless `statistics.metrics` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np

from reports.counts import StudyCounts, metric_parts
from reports.records import StudyResults, dataset_place
from reports.settings import ByDatasetSettings
from reports.statistics.family import Comparison, Family, Pair, System, Test, Unit, compare
from reports.statistics.pairs import ENUMERATED

Compared = dict[tuple[str, str], Comparison]
"""Variant and metric → what came of its comparison."""


def comparisons(results: StudyResults) -> Compared:
    """All comparisons of a study; none without a baseline, or where a test over documents was asked for and trials
    have left no counts of them (`unavailable` tells)."""
    if unavailable(results) is not None:
        return {}
    asked = family(results)
    pairs = _pairs(results, asked.unit)
    return compare(asked, pairs) if pairs else {}


def family(results: StudyResults) -> Family:
    """What is tested how. `auto` is over documents where all have left counts of the same ones, else over seeds. A
    study of a single seed is about its trained models alone."""
    asked = results.report.statistics
    test = asked.test
    if test == "auto":
        test = "paired_t" if _without_counts(results) or _on_others(results) else "paired_bootstrap"
    return Family(
        test=cast(Test, test.replace("_", " ") if test != "sign_flip" else "sign-flip"),
        alpha=asked.alpha,
        correction=asked.correction,
        resamples=asked.resamples,
        seed=asked.seed,
        runs=asked.runs if len(results.seeds) > 1 else "fixed",
        dominance=asked.dominance,
    )


def unavailable(results: StudyResults) -> str | None:
    """Why the test that was asked for cannot be made, as a sentence."""
    asked = family(results)
    if asked.unit == "seed":
        return None
    lacking = _without_counts(results)
    if lacking:
        return (
            f"Not tested: a {asked.test} needs counts of documents, which {len(lacking)} of the finished trials have "
            f"not left, as {lacking[0]}"
        )
    others = _on_others(results)
    if others:
        told = ", ".join(others[:3])
        return f"Not tested: a {asked.test} needs counts of the same documents, and trials are on others: {told}"
    return None


def baseline_of(results: StudyResults, variant: str) -> str | None:
    """The variant that another is compared with; `None` of a baseline, and where there is none."""
    report = results.report
    if not isinstance(report, ByDatasetSettings):
        return None if results.baseline in (None, variant) else results.baseline
    if report.baseline is None:
        return None
    row, *place = dataset_place(report, results.variant(variant))
    for other in results.variants:
        of_row, *of_place = dataset_place(report, other)
        if of_row == report.baseline and of_place == place and row != report.baseline:
            return other.name
    return None


def _metrics(results: StudyResults) -> tuple[str, ...]:
    shown = results.report.shown_metrics
    metrics = shown if results.report.statistics.metrics == "shown" else shown[:1]
    return tuple(metric for metric in metrics if results.report.info(metric).better != "neither")


def _pairs(results: StudyResults, unit: Unit) -> dict[tuple[str, str], Pair]:
    pairs = {}
    for variant in results.variants:
        baseline = baseline_of(results, variant.name)
        for metric in _metrics(results) if baseline is not None else ():
            better = results.report.info(metric).better
            assert better != "neither" and baseline is not None
            parts = metric_parts(metric)
            pairs[variant.name, metric] = Pair(
                _system(results, variant.name, metric, unit),
                _system(results, baseline, metric, unit),
                "f1" if parts is None else parts[2],
                better,
            )
    return pairs


def _system(results: StudyResults, variant: str, metric: str, unit: Unit) -> System:
    trials = results.finished(variant)
    keys = [trial.key for trial in trials]
    scores = np.array([trial.metrics[metric] for trial in trials], dtype=np.float64)
    counts: StudyCounts | None = results.counts if unit == "document" else None
    stacked = None if counts is None else counts.stacked(keys, metric)
    documents = None
    if stacked is not None and counts is not None:
        found = counts.documents(keys[0], metric.partition("/")[0])
        documents = None if found is None else found.ids
    return System(tuple(trial.seed for trial in trials), scores, stacked, documents)


def _without_counts(results: StudyResults) -> list[str]:
    """Keys of the finished trials of compared variants that a test over documents lacks."""
    return [trial for variant, metric in _compared(results) for trial in _lacking(results, variant, metric)]


def _compared(results: StudyResults) -> Iterator[tuple[str, str]]:
    """Every variant that has a part in a comparison, with each metric."""
    names: dict[str, None] = {}
    for variant in results.variants:
        baseline = baseline_of(results, variant.name)
        if baseline is not None:
            names |= {variant.name: None, baseline: None}
    for name in names:
        for metric in _metrics(results):
            yield name, metric


def _on_others(results: StudyResults) -> list[str]:
    """Compared variants of which some trials are on other documents than another, or than the baseline's: there are no
    pairs of documents."""
    counts: StudyCounts | None = results.counts
    if counts is None:
        return []
    found: dict[str, None] = {}
    for variant, metric in _compared(results):
        baseline = baseline_of(results, variant) or variant
        trials = (*results.finished(variant), *results.finished(baseline))
        lists = [counts.documents(trial.key, metric.partition("/")[0]) for trial in trials]
        if len({None if of is None else of.ids for of in lists}) > 1:
            found[variant] = None
    return list(found)


def _lacking(results: StudyResults, variant: str, metric: str) -> list[str]:
    keys = [trial.key for trial in results.finished(variant)]
    counts: StudyCounts | None = results.counts
    return [key for key in keys if counts is None or not counts.has(key, metric)]


# ------------------------------------------------------------------------------------------------------- what is said


def differs(results: StudyResults, variant: str, metric: str) -> bool:
    """Whether the variant is shown to be better or worse than its baseline."""
    found = results.comparisons.get((variant, metric))
    return found is not None and found.verdict in ("better", "worse")


def explanation(results: StudyResults) -> list[str]:
    """What a star is: test, units, correction and level, for the caption."""
    compared: list[Comparison] = list(results.comparisons.values())
    if not compared:
        return []
    said = f"{how(results)}."
    if any(one.verdict in ("better", "worse") for one in compared):
        return [f"*: differs from {baseline_title(results)} ({said[:-1]})."]
    if all(one.verdict == "cannot reach alpha" for one in compared):
        return [f"Differences to {baseline_title(results)} cannot be told from chance here ({said[:-1]})."]
    return [f"No difference to {baseline_title(results)} is shown ({said[:-1]})."]


def how(results: StudyResults) -> str:
    """Test, units, correction and level, as part of a sentence."""
    compared: list[Comparison] = list(results.comparisons.values())
    asked = family(results)
    told = [one for one in compared if one.p is not None] or compared
    seeds = _counted([one.n_seeds for one in told], "seed")
    documents = _counted([one.n_documents for one in told if one.n_documents is not None], "document")
    units = f"over {documents} and {seeds}" if documents else f"over {seeds}"
    is_exact = asked.test == "sign-flip" and max(one.n_seeds for one in told) <= ENUMERATED
    resamples = f", {asked.resamples:,} resamples" if asked.test != "paired t" and not is_exact else ""
    n = compared[0].n_comparisons
    corrected = f"Holm over {n} comparisons" if asked.correction == "holm" and n > 1 else "not corrected"
    corrected = "one comparison" if n == 1 else corrected
    runs = {"fixed": ", of these trained models alone", "resampled": ", seeds resampled", "student": ""}[asked.runs]
    of_runs = runs if asked.unit == "document" else ""
    return f"{asked.test} {units}{resamples}{of_runs}; {corrected}; α = {asked.alpha:g}"


def notes(results: StudyResults) -> tuple[str, ...]:
    """What could not be tested, and why; n that is too small is said, never called not significant."""
    missing = unavailable(results)
    if missing is not None:
        return (f"{missing}.",)
    reasons: dict[str, list[str]] = {}
    for (variant, _), one in results.comparisons.items():
        if one.verdict == "cannot reach alpha" and one.why is not None:
            reasons.setdefault(one.why, []).append(results.variant(variant).name)
    return tuple(
        f"Cannot reach α: {why}."
        if set(names) == {variant for variant, _ in results.comparisons}
        else f"Cannot reach α ({', '.join(dict.fromkeys(names))}): {why}."
        for why, names in reasons.items()
    )


def baseline_title(results: StudyResults) -> str:
    """What others are compared with, as part of a sentence."""
    report = results.report
    if isinstance(report, ByDatasetSettings):
        return report.name(report.baseline)
    return "the baseline"


def _counted(numbers: Sequence[int], what: str) -> str:
    """`3 seeds`, `1 seed`, `2 to 5 seeds`; nothing of none."""
    if not numbers:
        return ""
    least, most = min(numbers), max(numbers)
    return f"{least:,} {what}{'' if most == 1 else 's'}" if least == most else f"{least:,} to {most:,} {what}s"
