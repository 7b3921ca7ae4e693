"""Asynchronous successive halving: which trial of a search goes on.

A rung is an epoch at which trials are compared: grace, grace · η, grace · η², … A trial that comes to a rung goes on if

    score >= the (1 - 1/η) quantile of the scores that came to this rung before it

and is given up if not, so that about one of η goes on. The first at a rung always goes on. Nobody waits for anybody:
the rule needs only what is known by then, and works for trials one after another as for trials side by side.

Source: Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020 (arXiv 1810.05934), section 3.2.
Where we differ: algorithm 2 pauses each trial at each rung and takes up the best of the paused ones; here, as in Ray
Tune's ASHAScheduler, a trial goes on at once or ends. That keeps more trials than one of η, above all the early ones.
Decisions are those of Ray's scheduler with one bracket, which is asked in a test; they are taken here, and not there,
so that they hold for both backends and can be written down before they are carried out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable


class Rungs:
    """The scores that came to each rung. Greater is better."""

    def __init__(self, grace_epochs: int, reduction_factor: int) -> None:
        self.grace_epochs = grace_epochs
        self.reduction_factor = reduction_factor
        self._scores: dict[int, dict[str, float]] = {}

    def rung(self, trial: str, epoch: int, n_epochs: int | None) -> int | None:
        """The rung that a trial comes to with this epoch, of which it has `n_epochs` if that is known; `None` if it
        comes to none, has been there, or has no epoch after it to be spared."""
        if epoch < self.grace_epochs or (n_epochs is not None and epoch >= n_epochs):
            return None
        rung = self.grace_epochs
        while rung * self.reduction_factor <= epoch:
            rung *= self.reduction_factor
        return None if any(trial in self._scores[known] for known in self._scores if known >= rung) else rung

    def goes_on(self, rung: int, score: float) -> bool:
        """Whether a trial that comes to a rung with this score goes on. Changes nothing."""
        known = self._scores.get(rung)
        return not known or score >= quantile(known.values(), 1 - 1 / self.reduction_factor)

    def put(self, rung: int, trial: str, score: float) -> None:
        """Take in the score with which a trial has come to a rung."""
        self._scores.setdefault(rung, {})[trial] = score


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which a share of the values lies, between two of them by linear interpolation."""
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)
