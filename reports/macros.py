"""A LaTeX command for every number of a study, for running text: a number in a sentence that follows the results.

    \\input{numbers}
    … reaches \\WarmupWarmupProportionIsZeroPointFourTestRelationStrictFOneMean{} F1 …

A name is made of the study, the variant, the metric and what it is of it; digits become words, as commands have letters
only. The list in the file says which is which.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections import Counter
from collections.abc import Iterator

from reports.by_type import by_type
from reports.comparison import decimals_of, delta, ordered_variants, origin
from reports.latex import escape
from reports.records import StudyResults
from reports.settings import METRICS
from reports.statistics import best_seed, spread
from reports.statistics.family import Comparison
from reports.table import PERCENT_DECIMALS, number, probability

DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
SIGNS = {".": "Point", "+": "Plus", "\N{MINUS SIGN}": "Minus", "=": "Is", "%": "Percent"}


def render(results: StudyResults) -> str:
    """One `\\newcommand` a number. Names that would be the same end in letters that the variant and the metric alone
    decide, so that no name ever passes to another number when a study grows."""
    lines = [*(f"% {line}" for line in origin(results)), "% needs nothing; \\input it before its commands are used"]
    lines += [f"% {warning}" for warning in results.warnings]
    numbers = [
        (camel(results.study) + camel(variant) + camel(metric) + what, variant, metric, what, text)
        for variant, metric, what, text in _numbers(results)
    ]
    n_named = Counter(name for name, *_ in numbers)
    for name, variant, metric, what, text in numbers:
        if n_named[name] > 1:
            name += _letters(f"{variant}\n{metric}")
        told = " ".join(f"{variant}, {metric}, {what}".split())
        lines.append(f"\\newcommand{{\\{name}}}{{{text}}}% {told}")
    return "\n".join(lines) + "\n"


def _letters(text: str) -> str:
    """Six small letters, of 300 million: the digest of a text."""
    digest = int(hashlib.sha256(text.encode()).hexdigest(), 16)
    return "".join(string.ascii_lowercase[digest // 26**n % 26] for n in range(6))


def camel(text: str) -> str:
    """`warmup_proportion=0.4` → `WarmupProportionIsZeroPointFour`: letters only, and what a digit or sign is called."""
    # a hyphen between words, or in a range, is no sign
    signed = re.sub(r"(?:(?<![A-Za-z\d])|(?<=\de))-(?=[.\d])", "\N{MINUS SIGN}", text)
    parts = re.findall(r"[A-Za-z]+|\d|[.+=%](?=\d)|\S", signed)
    words = (
        DIGITS[int(part)] if part.isascii() and part.isdigit()
        else part[0].upper() + part[1:] if part.isascii() and part.isalpha()
        else SIGNS.get(part, "")
        for part in parts
    )  # fmt: skip
    return "".join(words)


def _numbers(results: StudyResults) -> Iterator[tuple[str, str, str, str]]:
    """Variant, metric, what it is of it, and the number as it is printed."""
    for variant in ordered_variants(results):
        finished = results.finished(variant.name)
        select = results.select_metric
        better = None if select is None else results.report.info(select).better
        best = best_seed(finished, select, better) if select is not None and better in ("higher", "lower") else None
        for metric in results.report.shown_metrics:
            scores = spread([trial.metrics[metric] for trial in finished])
            decimals = decimals_of(results, metric)
            told: dict[str, float | None] = {
                "Mean": scores.mean,
                "Sd": scores.sd,
                "Low": scores.low,
                "High": scores.high,
                "Best": None if best is None else best.metrics[metric],
            }
            for what, value in told.items():
                if value is not None:
                    yield variant.name, metric, what, number(value, decimals)
            yield variant.name, metric, "N", str(scores.n)
            compared = results.comparisons.get((variant.name, metric))
            change = delta(results, variant.name, metric) if compared is None else compared.difference
            if change is not None:
                yield variant.name, metric, "Delta", f"\\ensuremath{{{number(change, decimals, sign=True)}}}"
            if compared is not None:
                for what, text in _compared(compared, decimals).items():
                    yield variant.name, metric, what, text
        for metric in _beside(results):
            scores = spread([trial.metrics[metric] for trial in finished if metric in trial.metrics])
            for what, value in (("Mean", scores.mean), ("Sd", scores.sd)):
                if value is not None:
                    yield variant.name, metric, what, number(value, decimals_of(results, metric))
    for published in results.published:
        who = published.variant or ", ".join(filter(None, (published.system, published.group, published.dataset)))
        yield who, published.metric, "Published", number(published.value, decimals_of(results, published.metric))
    yield from _of_types(results)


def _beside(results: StudyResults) -> list[str]:
    """Scores of our models that the main table does not show, and that of the sub-tasks does."""
    shown = results.report.shown_metrics
    split = shown[0].partition("/")[0]
    known = {name for trial in results.trials for name in trial.metrics}
    return [name for name in METRICS if name.startswith(f"{split}/") and name in known and name not in shown]


def _compared(one: Comparison, decimals: int) -> dict[str, str]:
    """Of a difference: its interval, p as it is and corrected, effect sizes, verdict."""
    effects = one.effects
    numbers = {
        "DeltaLow": None if one.low is None else number(one.low, decimals, sign=True),
        "DeltaHigh": None if one.high is None else number(one.high, decimals, sign=True),
        "P": None if one.p_adjusted is None else probability(one.p_adjusted),
        "PAlone": None if one.p is None else probability(one.p),
        "HedgesG": None if effects is None or effects.hedges_g is None else number(effects.hedges_g, 2, sign=True),
        "Superiority": None if effects is None or effects.superiority is None else number(effects.superiority, 2),
    }
    told = {what: f"\\ensuremath{{{text}}}" for what, text in numbers.items() if text is not None}
    return told | {"Verdict": escape(one.verdict)}


def _of_types(results: StudyResults) -> Iterator[tuple[str, str, str, str]]:
    """F1 of each type that the table of types has, if the study asks for that."""
    for found in (one.pooled() for one in by_type(results)) if "types" in results.report.tables else ():
        for variant in found.counts:
            for at, name in enumerate(found.types):
                f1 = found.f1(variant, at)
                for what, value in (("Mean", f1.mean), ("Sd", f1.sd)):
                    if value is not None:
                        yield variant, f"type {name}", what, number(value, PERCENT_DECIMALS)
