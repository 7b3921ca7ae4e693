"""Systems of which the truth is known: counts of documents that some are harder than others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def drawn(
    generator: np.random.Generator,
    n_seeds: int,
    n_documents: int,
    gains: tuple[float, ...] = (0.0, 0.0),
    by_run: float = 0.0,
    by_document: float = 0.3,
) -> list[NDArray[np.int64]]:
    """Counts (seeds, documents, 3) of a system for each gain.

    The log odds with which a gold item is found are those of its document, the same for all systems; plus the system's
    gain; plus normal deviations by the system and the run (`by_run`), and by the system and the document
    (`by_document`). What is spurious is drawn likewise. With equal gains, all systems are the same method.
    """
    n_gold = generator.poisson(8, n_documents) + 1
    ease = generator.normal(0.0, 0.8, n_documents)
    systems = []
    for gain in gains:
        odds = ease + gain + generator.normal(0.0, by_document, n_documents)
        p = 1 / (1 + np.exp(-(odds + generator.normal(0.0, by_run, (n_seeds, 1)))))
        correct = generator.binomial(np.broadcast_to(n_gold, p.shape), p)
        spurious = generator.poisson(4 * (1 - p))
        systems.append(np.stack([correct, spurious, n_gold - correct], axis=-1))
    return systems
