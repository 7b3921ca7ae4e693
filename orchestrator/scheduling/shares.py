"""How much of a GPU a trial needs: what the first trial of its variant took at most.

Trials of one variant differ in their seed only, so they take about the same memory. Until one of them has told its
peak, each has a GPU to itself.
"""

from __future__ import annotations

from orchestrator.store import TrialRecord

MOST_PER_GPU = 8
"""More trials side by side make none of them faster."""
_RESERVE = 0.08
"""Share of a GPU's memory that is left free: peaks differ a little between seeds."""


class GpuShares:
    """Peaks of the variants that have one. A variant is told by its settings in canonical JSON."""

    def __init__(self) -> None:
        self._shares: dict[str, float] = {}

    def learn(self, settings: str, record: TrialRecord) -> None:
        """Take in what a finished trial of a variant says of its memory; the greatest peak counts."""
        share = share_of(record)
        if share is not None:
            self._shares[settings] = max(share, self._shares.get(settings, 0.0))

    def has(self, settings: str) -> bool:
        return settings in self._shares

    def of(self, settings: str) -> float:
        """The share of a GPU to ask for: one of 1, 1/2, 1/3, …, so that as many fit as there is memory for."""
        return self._shares.get(settings, 1.0)


def share_of(record: TrialRecord) -> float | None:
    """By the facts `peak_memory_bytes` and `device_memory_bytes` of a finished trial."""
    peak, whole = (record.facts.get(name) for name in ("peak_memory_bytes", "device_memory_bytes"))
    if record.status != "finished" or not isinstance(peak, int) or not isinstance(whole, int) or peak <= 0:
        return None
    fit = int(whole * (1 - _RESERVE) / peak)
    # Ray counts GPUs in steps of 1/10,000, and n shares must not be more than one GPU
    return int(10_000 / max(1, min(fit, MOST_PER_GPU))) / 10_000
