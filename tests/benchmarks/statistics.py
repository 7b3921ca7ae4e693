"""How long tests over documents take: 10,000 resamples of 10 trials on 500 documents."""

from __future__ import annotations

import numpy as np
import scipy.stats

from reports.statistics import micro
from reports.statistics.documents import approximate_randomisation, paired_bootstrap
from tests.benchmarks.measuring import Line, Took, in_a_process, least, timed

N_SEEDS = 5
"""Of each of two systems."""
N_DOCUMENTS = 500
RESAMPLES = 10_000


def measure(
    rounds: int = 5, n_seeds: int = N_SEEDS, n_documents: int = N_DOCUMENTS, resamples: int = RESAMPLES
) -> list[Line]:
    found = in_a_process(
        "statistics:once", rounds=rounds, n_seeds=n_seeds, n_documents=n_documents, resamples=resamples
    )
    # the clock would not tell on how many cores a multiplication runs
    best = {name: least([Took(*one) for one in of]).cpu for name, of in found.items()}
    what = f"{resamples:,} resamples of {2 * n_seeds} trials on {n_documents:,} documents, CPU"
    limit = best["limit"]
    return [
        Line(f"statistics, draws and one multiplication, {what}", limit, "s"),
        Line(f"statistics, paired bootstrap, {what}", best["bootstrap"], "s", "at most 1 s", 1.0),
        Line(f"statistics, approximate randomisation, {what}", best["randomisation"], "s", "at most 1 s", 1.0),
        Line(f"statistics, scipy.stats.bootstrap, {what}", best["scipy"], "s"),
        Line("statistics, bootstrap to draws and one multiplication", best["bootstrap"] / limit, "", "at most 3", 3.0),
        Line("statistics, randomisation to the same", best["randomisation"] / limit, "", "at most 3", 3.0),
        Line("statistics, bootstrap to scipy's", best["bootstrap"] / best["scipy"], "", "at most 0.5", 0.5),
    ]


def once(rounds: int, n_seeds: int, n_documents: int, resamples: int) -> dict[str, list[list[float]]]:
    generator = np.random.default_rng(0)
    counts = generator.integers(0, 20, (2, n_seeds, n_documents, 3))
    together = np.concatenate([micro.terms(of, "f1") for of in counts]).transpose(1, 0, 2).reshape(n_documents, -1)
    matrix = together.astype(np.float32)
    weights = generator.multinomial(n_documents, np.full(n_documents, 1 / n_documents), size=resamples)
    weights = weights.astype(np.float32)

    def difference(drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        # scipy hands over the indices of many resamples at once, in the last axis of each its documents
        summed = together[drawn].sum(axis=-2)
        scores = micro.percent(summed.reshape(*summed.shape[:-1], 2, n_seeds, 2)).mean(axis=-1)
        return scores[..., 0] - scores[..., 1]

    took: dict[str, list[Took]] = {"limit": [], "bootstrap": [], "randomisation": [], "scipy": []}
    for _ in range(rounds):
        with timed(took["limit"]):
            # whoever resamples draws each document, and sums the counts; piece by piece, as a large multiplication
            # leaves threads that spin into what is measured next
            np.random.default_rng(0).integers(n_documents, size=(resamples, n_documents))
            for start in range(0, resamples, 100):
                weights[start : start + 100] @ matrix
        with timed(took["bootstrap"]):
            paired_bootstrap(*counts, np.random.default_rng(0), resamples=resamples)
        with timed(took["randomisation"]):
            approximate_randomisation(*counts, np.random.default_rng(0), resamples=resamples)
        with timed(took["scipy"]):
            scipy.stats.bootstrap(
                (np.arange(n_documents),), difference, n_resamples=resamples, method="percentile", vectorized=True,
                batch=100, rng=np.random.default_rng(0),
            )  # fmt: skip
    return {name: [[one.wall, one.cpu] for one in of] for name, of in took.items()}
