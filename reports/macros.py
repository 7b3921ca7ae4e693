"""A LaTeX command for every number of a study, for running text: a number in a sentence that follows the results.

    \\input{numbers}
    … reaches \\WarmupZeroPointFourTestRelationStrictFoneMean{} F1 …

A name is made of the study, the variant, the metric and what it is of it; digits become words, as commands have letters
only. The list in the file says which is which.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from reports import significance
from reports.comparison import delta, ordered_variants, origin
from reports.latex import escape
from reports.records import StudyResults
from reports.settings import METRICS
from reports.statistics import best_seed, spread
from reports.table import PERCENT_DECIMALS, four_digits, number, probability

DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
SIGNS = {".": "Point", "+": "Plus", "-": "", "=": "Is", "%": "Percent"}


def render(results: StudyResults) -> str:
    """One `\\newcommand` a number. Names that would be the same are told apart by a letter at their end."""
    lines = [*(f"% {line}" for line in origin(results)), "% needs nothing; \\input it before its commands are used"]
    lines += [f"% {warning}" for warning in results.warnings]
    taken: set[str] = set()
    for variant, metric, what, text in _numbers(results):
        name = base = camel(results.study) + camel(variant) + camel(metric) + what
        for letter in "bcdefghijklmnopqrstuvwxyz":
            if name not in taken:
                break
            name = base + letter
        taken.add(name)
        told = " ".join(f"{variant}, {metric}, {what}".split())
        lines.append(f"\\newcommand{{\\{name}}}{{{text}}}% {told}")
    return "\n".join(lines) + "\n"


def camel(text: str) -> str:
    """`warmup_proportion=0.4` → `WarmupProportionIsZeroPointFour`: letters only, and what a digit or sign is called."""
    parts = re.findall(r"[A-Za-z]+|\d|[.+=%](?=\d)|\S", text)
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
            values = [trial.metrics[metric] for trial in results.trials if metric in trial.metrics]
            decimals = PERCENT_DECIMALS if metric in METRICS else four_digits(values)
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
            change = delta(results, variant.name, metric)
            if change is not None:
                yield variant.name, metric, "Delta", f"\\ensuremath{{{number(change, decimals, sign=True)}}}"
            compared = results.comparisons.get((variant.name, metric))
            if compared is not None and compared.p_adjusted is not None:
                yield variant.name, metric, "P", f"\\ensuremath{{{probability(compared.p_adjusted)}}}"
            if compared is not None and significance.baseline_of(results, variant.name) is not None:
                yield variant.name, metric, "Verdict", escape(compared.verdict)
