"""The figures of a report, each in a file of its own here; `of_study` has all that a study's results can show."""

from __future__ import annotations

from reports.figures import scores
from reports.figures.style import written
from reports.records import StudyResults


def of_study(results: StudyResults, origin: str) -> dict[str, bytes]:
    """File name → content. `figure` shows the scores and is always there."""
    return written("figure", lambda: scores.draw(results), origin)
