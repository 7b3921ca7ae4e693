"""Studies that figures may have trouble with: many variants, long names, few seeds, several data sets, 96 types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reports.counts import Documents, Rows, SplitCounts, StudyCounts, measured
from reports.records import EpochScores, StudyResults
from reports.settings import ByDatasetSettings, ComparisonSettings, ReportSettings
from tests.reports import samples

LONG = "a variant of which the name is far too long for the margin of a column"


def many(n_variants: int, n_seeds: int = 3, **more: Any) -> StudyResults:
    """Each variant is a tenth better than the one before, and none differs from another by the same on all seeds."""
    scores = {
        f"v{n}": [40.0 + n / 10 + seed * (1 + (n > 0) * (n % 6 + 1) / 50) for seed in range(n_seeds)]
        for n in range(n_variants)
    }
    labels = {name: f"variant number {n} of a grid" for n, name in enumerate(scores)}
    return samples.study(scores, seeds=tuple(range(1, n_seeds + 1)), labels=labels, **more)


def with_curves(
    results: StudyResults, epochs: int = 10, warm_up: Callable[[int], float | None] = lambda n: 0.4
) -> StudyResults:
    """Scores on dev rise by 1 an epoch and the number of the variant, until the last epoch but one, which is selected;
    trials that have not finished come to the third. `warm_up`: number of the variant → its warm-up proportion, `None`
    without reads."""
    names = [variant.name for variant in results.variants]
    trials = []
    for trial in results.trials:
        n, finished = names.index(trial.variant), trial.status == "finished"
        proportion = warm_up(n)
        read = None if proportion is None else {"kind": "inverse"}
        history = [
            EpochScores(epoch, {samples.ON_DEV: float(epoch + n + trial.seed) - 2.0 * (epoch == epochs)})
            for epoch in range(1, (epochs if finished else 3) + 1)
        ]
        memory = {"read": read, "warmup_proportion": 0.4 if proportion is None else proportion}
        never = proportion is None or proportion == 1
        trials.append(
            replace(
                trial,
                history=tuple(history),
                selected_epoch=epochs - 1 if finished else None,
                reading=None if never or not finished else epochs - 1 > proportion * epochs,
                settings={"training": {"epochs": epochs}, "model": {"memory": memory}},
            )
        )
    return replace(results, trials=tuple(trials))


def counted(
    gains: Sequence[float],
    types: Sequence[str] = ("CID",),
    n_seeds: int = 3,
    n_documents: int = 200,
    labels: Sequence[str] | None = None,
    report: ReportSettings | None = None,
    **more: Any,
) -> StudyResults:
    """A study with counts of strict relations by type. The first types are the most frequent, long documents the
    hardest; the log odds of a relation to be found rise by the gain of the variant."""
    draw, noise = np.random.default_rng(3), np.random.default_rng(4)
    words = draw.lognormal(5.2, 0.4, n_documents).astype(np.int64)
    share = 1 / np.arange(1, len(types) + 1)
    gold = draw.poisson(np.outer(words / 25, share / share.sum()))
    n_mentions = draw.poisson(words / 8) + 1
    documents = Documents(tuple(f"d{n}" for n in range(n_documents)), words)
    names = [f"v{n}" for n in range(len(gains))]
    trials: dict[tuple[str, str], SplitCounts] = {}
    scores: dict[str, list[float]] = {name: [] for name in names}
    for name, gain in zip(names, gains, strict=True):
        for seed in range(1, n_seeds + 1):
            p = 1 / (1 + np.exp((words[:, None] - 200) / 200 - gain - draw.normal(0, 0.1)))
            correct = draw.binomial(gold, np.broadcast_to(p, gold.shape))
            counts = np.stack([correct, draw.poisson(0.4 * gold * (1 - p)), gold - correct], axis=-1)
            at, of = np.nonzero(counts.sum(axis=-1))
            none = np.zeros_like(n_mentions)
            tasks = {
                "mention": Rows(np.arange(n_documents), None, np.stack([n_mentions, none, none], axis=-1)),
                "relation_strict": Rows(at, tuple(types[n] for n in of), counts[at, of]),
            }
            # long documents take longest, whatever the variant
            seconds = 0.01 + words / 5000 * noise.lognormal(0.0, 0.1, n_documents)
            trials[f"{name}-{seed}", "test"] = SplitCounts(documents, tasks, seconds)
            scores[name].append(float(measured(counts.sum(axis=(0, 1)), "f1")))
    made = samples.study(
        scores,
        report or ComparisonSettings(metrics=(samples.MAIN,)),
        seeds=tuple(range(1, n_seeds + 1)),
        labels=dict(zip(names, labels or names, strict=True)),
        **more,
    )
    kept = (samples.MAIN, samples.ON_DEV)
    only = tuple(replace(trial, metrics={name: trial.metrics[name] for name in kept}) for trial in made.trials)
    return replace(made, trials=only, counts=StudyCounts(trials))


def on_two_data_sets() -> StudyResults:
    """The paper's table 2 with counts: CDR has one type, Re-DocRED 96. JEREX is what others are compared with."""
    gains = (0.0, 0.3, 0.5, 0.1, 0.4, 0.6)
    types = {"cdr": ("CID",), "redocred": tuple(f"P{n}" for n in range(96))}
    given = samples.by_dataset()
    assert isinstance(given.report, ByDatasetSettings)
    trials = []
    counts: dict[tuple[str, str], SplitCounts] = {}
    for data, of_data in types.items():
        made = counted(gains, of_data)
        variants = [variant.name for variant in given.variants if variant.name.endswith(f" {data}")]
        for trial in made.trials:
            key = f"{data}-{trial.key}"
            trials.append(replace(trial, key=key, variant=variants[int(trial.variant[1:])]))
            one = made.counts.trials[trial.key, "test"]
            ids = tuple(f"{data}-{name}" for name in one.documents.ids)
            counts[key, "test"] = replace(one, documents=replace(one.documents, ids=ids))
    report = given.report.model_copy(update={"baseline": "JEREX"})
    return replace(given, trials=tuple(trials), counts=StudyCounts(counts), report=report)
