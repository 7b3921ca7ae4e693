"""Each variant's difference to its baseline: interval, p, adjusted p, effect sizes and a verdict."""

from __future__ import annotations

import dataclasses

import pandas as pd

from reports import significance
from reports.comparison import decimals_of, incomplete, label, metric_title, ordered_comparisons, origin, side_by_side
from reports.records import StudyResults
from reports.statistics.family import Comparison
from reports.table import Column, Difference, Interval, Plain, Probability, Row, Said, Section, Table

FRAME = (
    "variant",
    "label",
    "baseline",
    "metric",
    "difference",
    "low",
    "high",
    "p",
    "p_adjusted",
    "least_p_adjusted",
    "verdict",
    "why",
    "d_z",
    "hedges_g",
    "superiority",
    "dominance",
    "test",
    "unit",
    "scope",
    "n_seeds",
    "n_documents",
    "n_comparisons",
    "correction",
    "alpha",
)


def frame(results: StudyResults) -> pd.DataFrame:
    """A row per comparison, with all that `reports.statistics.family.Comparison` tells."""
    rows = []
    for variant, metric, one in ordered_comparisons(results):
        told = {field.name: getattr(one, field.name) for field in dataclasses.fields(one) if field.name not in _APART}
        effects = {} if one.effects is None else dataclasses.asdict(one.effects)
        label = results.variant(variant).label
        baseline = significance.baseline_of(results, variant)
        rows.append(
            {"variant": variant, "label": label, "baseline": baseline, "metric": metric, "n_seeds": one.n_seeds}
            | told
            | effects
        )
    return pd.DataFrame(rows, columns=list(FRAME))


_APART = ("seeds", "effects")


def table(results: StudyResults) -> Table | None:
    """`None` where nothing is compared."""
    compared = ordered_comparisons(results)
    if not compared:
        return None
    several = len({metric for _, metric, _ in compared}) > 1
    with_dominance = any(one.dominance is not None for _, _, one in compared)
    level = f"{100 * (1 - results.report.statistics.alpha):g} %"
    columns = (
        Column("Δ"),
        Column(f"{level} interval"),
        Column("p"),
        Column("adjusted p"),
        Column("g"),
        Column("A"),
        *([Column("ε", better="neither")] if with_dominance else []),
        Column("Verdict", words=True),
    )

    def row(name: str, metric: str, one: Comparison) -> Row:
        effects, decimals = one.effects, decimals_of(results, metric)
        cells = (
            Difference(one.difference, starred=one.verdict in ("better", "worse"), decimals=decimals),
            Interval(one.low, one.high, decimals),
            Probability(one.p),
            Probability(one.p_adjusted),
            Plain(None if effects is None else effects.hedges_g, sign=True),
            Plain(None if effects is None else effects.superiority),
            *([Plain(one.dominance)] if with_dominance else []),
            Said(one.verdict.replace("alpha", "α")),
        )
        return Row(f"{name}, {metric_title(results.report, metric)}" if several else name, cells)

    sections = [
        (
            title,
            [row(called, metric, one) for called, of in variants for name, metric, one in compared if name == of.name],
        )
        for title, variants in side_by_side(results)
    ]
    metric = compared[0][1]
    what = "" if several else f" of {metric_title(results.report, metric)}"
    return Table(
        label=label(results, "differences"),
        caption=f"Differences{what} to {significance.baseline_title(results)}: {results.question}",
        warnings=results.warnings,
        explanations=(
            f"Δ: variant minus baseline over the seeds that both have, with its {level} interval, each for itself. "
            f"p: {significance.how(results)}. *: adjusted p is at most α. g: Hedges' g of the paired differences over "
            "seeds. A: probability that a run of the variant is better than one of the baseline, 0.5 where neither is.",
            *(
                ["The interval is that of the paired bootstrap."]
                if significance.family(results).test == "approximate randomisation"
                else []
            ),
            *(
                ["ε: almost stochastic order; below 0.5 the variant is the better one, the less the surer."]
                if with_dominance
                else []
            ),
            "“No difference shown” does not say that there is none: the interval says how large it may be.",
        ),
        stub="Variant",
        columns=columns,
        sections=tuple(Section(title, tuple(rows)) for title, rows in sections if rows),
        notes=(*significance.notes(results), *incomplete(results)),
        origin=origin(results),
    )
