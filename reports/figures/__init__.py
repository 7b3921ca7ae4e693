"""The figures of a report, each in a file of its own here; `of_study` has all that a study's results can show.

    scores      `figure`: the main metric of each variant                    always
    learning    `learning`: the metric on dev over the epochs                where trials tell of their epochs
    forest      `differences`: to the baseline, with interval and p          where something is compared
    types       `types`: F1 by relation type                                 if asked for, where there are counts
    scale       `scale`: F1 over the size of documents                       if asked for, where there are counts
                `cost`: time over the size of documents                      if asked for, where it was taken
    search      `search`: what a search has tried
    attention   `attention`: what the memories of a trained model attend to in a document; no part of a report

`style` says how all of them look, `lines`, `labels`, `seeds` and `shown` hold what several have in common. They are
made from the record and its counts alone, so that `reports.check` can draw them again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from matplotlib.figure import Figure

from reports import comparison
from reports.figures import forest, learning, scale, scores, types
from reports.figures.style import written
from reports.records import StudyResults

log = logging.getLogger("reports.figures")

_DRAWN: dict[str, tuple[Callable[[StudyResults], Figure | None], str | None]] = {
    "learning": (learning.draw, None),
    "differences": (lambda results: forest.draw(results, results.comparisons), None),
    "types": (types.draw, "no finished trial has left counts by relation type"),
    "scale": (scale.draw, "no finished trial has left counts of enough documents"),
    "cost": (scale.draw_cost, "no finished trial has left the seconds of enough documents"),
}
"""Name → how it is drawn, and what is lacking if it is asked for and not drawn; `None` where that need not be said."""

OPTIONAL = frozenset(f"{name}.{kind}" for name in _DRAWN for kind in ("pdf", "png"))
"""Files that not every report has."""


def of_study(results: StudyResults, origin: str) -> dict[str, bytes]:
    """File name → content. `figure` shows the scores and is always there; the others as far as `report.figures` asks
    for them and there is something to show."""
    traces = comparison.origin(results)
    files = written("figure", lambda: scores.draw(results), origin, traces)
    for name in results.report.figures:
        draw, lacking = _DRAWN[name]
        made = written(name, lambda draw=draw: draw(results), origin, traces)
        if not made and lacking is not None and any(trial.status == "finished" for trial in results.trials):
            log.warning("%s: the figure '%s' is left out: %s", results.study, name, lacking)
        files |= made
    return files
