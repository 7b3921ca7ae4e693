"""What a study has found, in plain sentences: never more than its comparisons carry."""

from __future__ import annotations

from collections.abc import Iterator

from reports import significance
from reports.comparison import full_name, is_number, metric_title, ordered_variants
from reports.records import StudyResults
from reports.settings import ByDatasetSettings, SweepSettings
from reports.statistics import spread
from reports.statistics.family import Comparison
from reports.table import PERCENT_DECIMALS, four_digits, number, probability


def sentences(results: StudyResults) -> tuple[str, ...]:
    """The verdict, the most important first: which variant scored highest, each difference, and how far that goes."""
    finished = [trial for trial in results.trials if trial.status == "finished"]
    if not finished:
        return ("No trial has finished, so there is nothing to say yet.",)
    return (*_highest(results), *_differences(results), *_limits(results))


def _highest(results: StudyResults) -> Iterator[str]:
    metric = results.report.shown_metrics[0]
    better = results.report.info(metric).better
    if isinstance(results.report, ByDatasetSettings) or better == "neither":
        return
    n = len(results.seeds)
    means = {}
    for variant in ordered_variants(results):
        trials = results.finished(variant.name)
        if len(trials) == n:
            means[variant.name] = spread([trial.metrics[metric] for trial in trials])
    if len(means) < 2:
        return
    pick = max if better == "higher" else min
    best = pick(means, key=lambda name: means[name].mean)
    scores = means[best]
    extreme = "highest" if better == "higher" else "lowest"
    sd = f" ± {_points(results, scores.sd)}" if scores.sd is not None else ""
    title = metric_title(results.report, metric)
    name = _named(results, best)
    over = f" over {n} seeds" if n > 1 else " (one seed)"
    yield f"{name} had the {extreme} mean {title}: {_points(results, scores.mean)}{sd}{over}."


def _differences(results: StudyResults) -> Iterator[str]:
    for variant in ordered_variants(results):
        for (name, metric), one in results.comparisons.items():
            if name == variant.name:
                yield _difference(results, name, metric, one)


def _difference(results: StudyResults, variant: str, metric: str, one: Comparison) -> str:
    baseline = significance.baseline_of(results, variant)
    assert baseline is not None
    title = metric_title(results.report, metric)
    pair = f"{_named(results, variant)} and {_named(results, baseline)}"
    if one.difference is None:
        return f"{pair} have no finished seed in common, so they were not compared."
    size = f"by {_points(results, abs(one.difference))} points of {title}"
    interval = ""
    if one.low is not None and one.high is not None:
        ends = " to ".join(number(end, PERCENT_DECIMALS, sign=True).replace("-", "−") for end in (one.low, one.high))
        interval = f"{100 * (1 - one.alpha):g} % interval {ends}"
    p = "" if one.p_adjusted is None else f"adjusted p {_p(one.p_adjusted)}"
    told = "; ".join(part for part in (interval, p) if part)
    if one.verdict in ("better", "worse"):
        return (
            f"{_named(results, variant)} was {one.verdict} than {_named(results, baseline)} {size} ({told}): more than "
            "chance explains at this level."
        )
    if one.verdict == "cannot reach alpha":
        return (
            f"{pair} differed {size} ({interval}), which says nothing: {one.why}."
            if interval
            else (f"{pair} differed {size}, which says nothing: {one.why}.")
        )
    return (
        f"{pair} differed {size} ({told}): no difference is shown, and none of the sizes in the interval is ruled out."
    )


def _limits(results: StudyResults) -> Iterator[str]:
    compared: list[Comparison] = list(results.comparisons.values())
    if compared:
        scopes = {one.scope for one in compared if one.scope is not None}
        carried = {
            "documents": "other documents of this kind with these very models",
            "documents and training runs": "other documents of this kind and other training runs",
            "training runs": "other training runs on these documents",
        }
        for scope in sorted(scopes):
            yield f"The comparisons speak of {carried[scope]} ({significance.how(results)})."
    elif results.baseline is not None or isinstance(results.report, SweepSettings):
        yield "Nothing was tested, so differences of means are not told from chance."
    n_missing = len(results.variants) * len(results.seeds) - sum(t.status == "finished" for t in results.trials)
    if n_missing:
        yield f"{n_missing} of {len(results.variants) * len(results.seeds)} trials are missing."
    yield from results.warnings


def _named(results: StudyResults, variant: str) -> str:
    """A variant in a sentence; a value of a sweep with its factor."""
    report = results.report
    one = results.variant(variant)
    name = full_name(results, one)
    return f"{report.x_title} {name}" if isinstance(report, SweepSettings) and _is_value(name) else name


def _is_value(name: str) -> bool:
    try:
        return is_number(float(name))
    except ValueError:
        return False


def _points(results: StudyResults, value: float | None) -> str:
    if value is None:
        return "–"
    metric = results.report.shown_metrics[0]
    if results.report.info(metric).percent:
        return number(value, PERCENT_DECIMALS)
    return number(value, four_digits([trial.metrics[metric] for trial in results.trials if metric in trial.metrics]))


def _p(value: float) -> str:
    text = probability(value)
    return text if text.startswith("<") else f"= {text}"
