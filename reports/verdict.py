"""What a study has found, in plain sentences: never more than its comparisons carry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reports import significance
from reports.comparison import decimals_of, full_name, is_number, metric_title, ordered_comparisons, ordered_variants
from reports.records import StudyResults
from reports.settings import ByDatasetSettings, SweepSettings
from reports.statistics import spread
from reports.statistics.family import Comparison
from reports.table import number, probability, signed


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
    printed = {name: _points(results, metric, scores.mean) for name, scores in means.items()}
    best = pick(means, key=lambda name: means[name].mean)
    tied = [name for name in means if printed[name] == printed[best]]
    title = metric_title(results.report, metric)
    over = f" over {n} seeds" if n > 1 else " (one seed)"
    if len(tied) == len(means):
        yield f"All variants had the same mean {title}: {printed[best]}{over}."
        return
    extreme = "highest" if better == "higher" else "lowest"
    sd = means[best].sd if len(tied) == 1 else None
    spread_told = "" if sd is None else f" ± {_points(results, metric, sd)}"
    names = " and ".join(_named(results, name) for name in tied)
    yield f"{names} had the {extreme} mean {title}: {printed[best]}{spread_told}{over}."


TOGETHER = 4
"""So many differences that are not shown are told in one sentence."""


def _differences(results: StudyResults) -> Iterator[str]:
    ordered = ordered_comparisons(results)
    not_shown = [told for told in ordered if told[2].verdict == "no difference shown"]
    together = not_shown if len(not_shown) >= TOGETHER else []
    for told in ordered:
        if told not in together:
            yield _difference(results, *told)
    for metric in dict.fromkeys(metric for _, metric, _ in together):
        yield _none_shown(results, metric, [(name, one) for name, of, one in together if of == metric])


def _none_shown(results: StudyResults, metric: str, compared: Sequence[tuple[str, Comparison]]) -> str:
    """Of several variants together: each with its difference and the interval of that."""
    title, baseline = metric_title(results.report, metric), significance.baseline_title(results)
    sizes = []
    for name, one in compared:
        told = (
            []
            if one.difference is None
            else [_signed(results, metric, one.difference), _interval(results, metric, one)]
        )
        sizes.append(f"{_named(results, name)} ({', '.join(filter(None, told))})")
    return (
        f"Of {len(compared)} variants no difference to {baseline} in {title} is shown, and none of the sizes in their "
        f"intervals is ruled out: {'; '.join(sizes)}."
    )


def _interval(results: StudyResults, metric: str, one: Comparison) -> str:
    """Of a difference; nothing where there is none."""
    if one.low is None or one.high is None:
        return ""
    return " to ".join(_signed(results, metric, end) for end in (one.low, one.high))


def _signed(results: StudyResults, metric: str, value: float) -> str:
    return signed(value, decimals_of(results, metric))


def _difference(results: StudyResults, variant: str, metric: str, one: Comparison) -> str:
    baseline = significance.baseline_of(results, variant)
    assert baseline is not None
    title = metric_title(results.report, metric)
    pair = f"{_named(results, variant)} and {_named(results, baseline)}"
    if one.difference is None:
        return f"{pair} have no finished seed in common, so they were not compared."
    percent = results.report.info(metric).percent
    size = f"by {_points(results, metric, abs(one.difference))} {'points of' if percent else 'in'} {title}"
    ends = _interval(results, metric, one)
    interval = f"{100 * (1 - one.alpha):g} % interval {ends}" if ends else ""
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


def _points(results: StudyResults, metric: str, value: float | None) -> str:
    return "–" if value is None else number(value, decimals_of(results, metric))


def _p(value: float) -> str:
    text = probability(value)
    return text if text.startswith("<") else f"= {text}"
