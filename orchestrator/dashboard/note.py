"""What a study says of itself in MLflow: the note of its experiment, and the description of each summary run.

MLflow shows both as Markdown: tables, code and links, but no HTML and no styles. The first line of an experiment's note
is all that is seen of it until it is opened.
"""

from __future__ import annotations

import html
import itertools
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator import provenance
from orchestrator.dashboard.views import (
    SECONDS,
    TRIALS,
    VARIANTS,
    Outline,
    address,
    opening,
    run_address,
    view_id,
    without_view,
)
from orchestrator.errors import StudyError
from orchestrator.schema import FULL, LoadedStudy, load
from orchestrator.store import Home, write_durably
from reports.markdown import escape
from reports.records import StudyResults
from reports.search import SearchResults

log = logging.getLogger("orchestrator.dashboard")

TAG = "mlflow.note.content"
STUDY = "study.yaml"
LONGEST = (20_000, 5_000)
"""Characters of an experiment's tag: what MLflow takes since 3.16, and what it took before. More is refused."""
LEAST = 2_500
"""Characters without which a note is not written."""
LONGEST_OF_RUN = 8_000
"""Characters of a run's tag. More is cut, or refused."""
MARK = "<!-- orchestrate writes all below this line anew with each run; what stands above it stays -->"
_OF_YAML = 200
"""Characters that are kept free for the YAML, so that the place of the whole is told at least."""


@dataclass(frozen=True)
class StudyText:
    """The study file as it was run last."""

    yaml: str
    """Without credentials."""
    description: str | None


def keep(home: Home, loaded: LoadedStudy) -> None:
    """Leave a copy of the study file, without credentials, beside its reports: the tracker shows it, also later. A
    study does not end because that cannot be done."""
    path = path_of(home, loaded.study.study)
    try:
        text = provenance.masked(loaded.path.read_text(encoding="utf-8"))
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, text)
    except (OSError, ValueError) as error:
        log.warning("%s is not copied to %s, so MLflow does not show it: %s", loaded.path, path, error)


def path_of(home: Home, study: str) -> Path:
    return home.report(study, FULL).parent / STUDY


def read(home: Home, study: str) -> StudyText | None:
    """`None` of a study that was run before copies were kept."""
    path = path_of(home, study)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    try:
        description = load(path).study.description
    except StudyError:
        description = None  # written for another version: its text is shown all the same
    return StudyText(text, description)


# --------------------------------------------------------------------------------------------------------- summary run


def of_summary(results: StudyResults | SearchResults, table: str | None) -> str:
    """The description of a summary run: the main table as the report has it, without its details of origin, and the
    command that it comes from."""
    shown = _plain(results.question) if table is None else _table(table)
    commands = results.provenance.get("command")
    told = "" if not commands else f"\n\nFrom {_code(provenance.masked(str(commands)))}"
    cut = "\n\n… the rest is in the report, among the artifacts."
    if len(shown) + len(told) > LONGEST_OF_RUN:
        shown = shown[: LONGEST_OF_RUN - len(told) - len(cut)].rpartition("\n")[0] + cut
    return shown + told


def _table(markdown: str) -> str:
    """MLflow knows no `<details>`, and sets columns without a space between them."""
    kept = re.sub(r"<details>.*?</details>", "", markdown, flags=re.DOTALL).strip()
    lines = [line if set(line) <= set("|:- ") else line.replace(" | ", " | &ensp;") for line in kept.splitlines()]
    return _entities("\n".join(lines))


def _plain(text: str) -> str:
    return _entities(escape(text))


def _entities(markdown: str) -> str:
    """MLflow's notes know no backslash before these."""
    return re.sub(r"\\([<>&$])", lambda found: html.escape(found[1], quote=False), markdown)


def _code(text: str) -> str:
    fence = "`" * (1 + max((len(found) for found in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if len(fence) > 1 else f"`{text}`"


# ------------------------------------------------------------------------------------------------------ experiment's


@dataclass(frozen=True)
class Summary:
    """A summary run, as far as the note shows it."""

    budget: str
    run: str
    description: str


def of_experiment(
    experiment: str,
    outline: Outline,
    study: StudyText | None,
    summaries: Sequence[Summary],
    places: Mapping[str, str],
    longest: int = LONGEST[0],
) -> str:
    """The note, in at most `longest` characters: question, description, where to look, tables, how to read the
    columns, and the study file, cut if there is no room for it.

    `places`: study → experiment, of those that have some of the runs.
    """
    # the full budget first, then by name
    summaries = sorted(summaries, key=lambda one: (one.budget != FULL, one.budget))
    head = [f"**{_plain(outline.question)}**"]
    if study is not None and study.description:
        head.append(_plain(study.description))
    head += [_links(experiment, outline, summaries)]
    head += [_elsewhere(name, places[name], n) for name, n in outline.elsewhere.items() if name in places]
    tables = [_of_budget(one, len(summaries) > 1) for one in summaries]
    tail = [_how_to_read(outline)]
    while tables and _length(head, tables, tail) > longest - _OF_YAML:
        # of a long table only the place of it
        longest_one = max(range(len(tables)), key=lambda at: len(tables[at]))
        if "\n" not in tables[longest_one]:
            break
        one = summaries[longest_one]
        where = run_address(experiment, one.run)
        tables[longest_one] = f"The table of the budget {one.budget} stands [with its summary run]({where})."
    text = "\n\n".join([*head, *tables, *tail])
    if study is not None:
        text += "\n\n" + _yaml(study.yaml, longest - len(text) - 2)
    return text[:longest]


def kept(known: str | None) -> str:
    """How a new note begins: with what somebody has written above ours, or in place of it, and the mark."""
    above = (known or "").partition(MARK)[0].rstrip()
    return f"{above}\n\n{MARK}\n\n" if above else f"{MARK}\n\n"


def _length(*blocks: Sequence[str]) -> int:
    return sum(len(text) + 2 for block in blocks for text in block)


def _links(experiment: str, outline: Outline, summaries: Sequence[Summary]) -> str:
    kinds = {"Variants": VARIANTS, "Trials": TRIALS} if outline.variants else {"Trials": TRIALS}
    budgets = dict.fromkeys([*(one.budget for one in summaries), outline.budget])
    told = []
    for budget in budgets:
        views = {name: opening(view_id(kind, budget)) for name, kind in kinds.items()}
        places = {name: address(experiment, parameters) for name, parameters in views.items()}
        first = next(iter(views.values()))
        places["Charts"] = address(experiment, first, charts=True)
        for one in summaries:
            if one.budget == budget:
                places["Summary"] = run_address(experiment, one.run)
                places["Report"] = run_address(experiment, one.run, "report/report.html")
        links = " · ".join(f"[{name}]({place})" for name, place in places.items())
        told.append(links if len(budgets) == 1 else f"{budget}: {links}")
    return "\n\n".join(told)


def _elsewhere(study: str, experiment: str, n: int) -> str:
    told = f"{n} of its trials ran first for the study" if n > 1 else "One of its trials ran first for the study"
    where = address(experiment, without_view())
    are = "their runs are" if n > 1 else "its run is"
    return f"{told} {_plain(study)}, so {are} [there]({where}), and not in the means that the views show."


def _of_budget(summary: Summary, named: bool) -> str:
    return f"**Budget {_plain(summary.budget)}**\n\n{summary.description}" if named else summary.description


def _how_to_read(outline: Outline) -> str:
    by = f", chosen by `{outline.selected_by}`" if outline.selected_by else ""
    lines = [
        "**How to read the runs**",
        f"- A run is a trial: one variant with one seed. *Created* shows how it ended; `dev/…` and `test/…` are its "
        f"scores at the selected epoch (`selected_epoch`{by}), `{SECONDS}` how long it took.",
    ]
    if outline.variants:
        lines.append(
            "- *Variants* shows means over seeds, of the runs that are loaded: with more than 100, load all of them "
            "first. In charts a line is the mean over seeds, the band goes from the lowest to the highest of them."
        )
        lines.append(
            "- Spread, intervals and tests are with the summary run: `…_mean`, `…_sd`, `…_n` over seeds, `…_low` and "
            "`…_high`, the ends of the 95 % interval of the mean; `…_difference` to the baseline with its ends and "
            "`…_p_adjusted`. The report says which test that is."
        )
    else:
        lines.append("- Each trial has other settings and one seed: the best score is better than it would be again.")
    return "\n".join([lines[0], "", *lines[1:]])


def _yaml(text: str, room: int) -> str:
    """The study file in a block, whole or cut at a line's end to so many characters, with what is left out told."""
    fence = "`" * max(3, 1 + max((len(found) for found in re.findall("`+", text)), default=0))
    head, lines = f"**{STUDY}**\n\n{fence}yaml\n", text.rstrip().splitlines()
    whole = head + "\n".join(lines) + f"\n{fence}"
    if len(whole) <= room:
        return whole

    def told(n: int) -> str:
        return f"… {n} lines; the whole file is `{STUDY}` among the artifacts of the summary run"

    left = room - len(head) - len(f"{fence}\n\n{told(len(lines))}")
    fitting = sum(length <= left for length in itertools.accumulate(len(line) + 1 for line in lines))
    if not fitting:
        return told(len(lines))[: max(room, 0)]
    return head + "\n".join(lines[:fitting]) + f"\n{fence}\n\n{told(len(lines) - fitting)}"
