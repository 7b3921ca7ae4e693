"""What figures show of seeds: the bar around a mean, the same in each.

The interval of a mean over two seeds is some twelve times their standard deviation, and would dwarf all else, so a
study of two shows that deviation. In a study of more, a variant of which fewer than three have finished has no bar.
"""

from __future__ import annotations

from reports.records import StudyResults
from reports.statistics import LEVEL, Spread

FEWEST = 3
"""Seeds from which on an interval is shown."""


def half_width(results: StudyResults, of: Spread) -> float | None:
    """Of the bar around a mean: of its interval, or, in a study of two seeds, the standard deviation."""
    if len(results.seeds) < FEWEST:
        return of.sd
    return None if of.n < FEWEST or of.mean is None or of.low is None else of.mean - of.low


def mean_title(results: StudyResults) -> str:
    """What a mean with such a bar is called in a legend."""
    return f"mean, {100 * LEVEL:.0f} % interval" if len(results.seeds) >= FEWEST else "mean ± sd"
