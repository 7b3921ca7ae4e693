"""What a test of one difference says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scope = Literal["documents", "documents and training runs", "training runs"]


@dataclass(frozen=True)
class Tested:
    """A difference, variant - baseline, in the unit of the scores. `None` is undefined."""

    difference: float
    low: float | None
    """Ends of the interval of the difference, at the level that was asked for."""
    high: float | None
    p: float | None
    """Two-sided, not corrected for other comparisons."""
    least_p: float
    """No data of this size can have a smaller p by this test; 1 where the test has nothing to go by."""
    scope: Scope
    """Of what the difference is shown, if it is: of other documents with these trained models, of other documents and
    other seeds, or of other seeds on these documents."""
    undefined: str | None = None
    """Why there is no p."""
