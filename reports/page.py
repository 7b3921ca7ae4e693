"""A report as one HTML file: question, verdict, tables, figures, failures, costs, origin, and documents with what was
found in them.

It needs nothing but itself, so that it opens from a folder or a mail; nothing in it is a script. Figures are pictures
inside, with what they show in words beside them. What is right and wrong is told by signs and lines as well as colours.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from reports import html_table, verdict
from reports.comparison import full_name, metric_title, ordered_variants, origin
from reports.documents import Annotation, ShownDocument, Span
from reports.figures.style import DOTS_PER_INCH
from reports.records import StudyResults
from reports.statistics import spread
from reports.table import Column, Plain, Row, Section, Table

STYLE = """
:root { color-scheme: light; --ink: #1a1a1a; --soft: #595959; --line: #c8c8c8; --right: #0b6b3a; --wrong: #a3210f;
  --missed: #6b4e00; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1.25rem 4rem; color: var(--ink); background: #fff;
  font: 16px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
a { color: #0b4f9e; }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; list-style: none; margin: .8rem 0 0; padding: 0; }
.study, .explanation, .note, figcaption { color: var(--soft); }
.verdict li { margin: .35rem 0; }
.warning { color: var(--wrong); }
p.warning, li.warning { border-left: 4px solid var(--wrong); padding-left: .7rem; }
figure { margin: 1rem 0; overflow-x: auto; container-type: inline-size; }
figure img { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-size: .86rem; }
caption { caption-side: top; text-align: left; max-width: 100cqw; padding-bottom: .5rem; }
th, td { padding: .22rem .6rem; text-align: right; vertical-align: baseline; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
th[scope=row], th.words, td.words, tr.section th { text-align: left; }
th[scope=row] { font-weight: normal; white-space: normal; min-width: 9rem; }
thead tr:last-child > * { border-bottom: 1.5px solid var(--ink); }
thead tr:first-child > * { border-top: 2px solid var(--ink); }
th[scope=colgroup] { text-align: center; }
tbody:last-of-type tr:last-child > * { border-bottom: 2px solid var(--ink); }
tr.section th { font-style: italic; border-top: 1px solid var(--line); }
sup { line-height: 0; }
details { margin: .5rem 0; font-size: .86rem; }
details ul, pre { overflow-x: auto; overflow-wrap: anywhere; }
.text { line-height: 2.1; }
.text p { margin: .3rem 0; }
.m { border-bottom: 2.5px solid; padding: 0 .1rem; }
.m.right { border-color: var(--right); }
.m.wrong { border-color: var(--wrong); border-bottom-style: dashed; }
.m.missed { border-color: var(--missed); border-bottom-style: dotted; }
.m small { font-size: .66rem; margin-left: .15rem; }
.right > small, td.right { color: var(--right); }
.wrong > small, td.wrong { color: var(--wrong); }
.missed > small, td.missed { color: var(--missed); }
@media print { body { max-width: none; } nav { display: none; } h2 { break-after: avoid; }
  figure { break-inside: avoid; } }
"""
SIGNS = {"right": "✓", "wrong": "✗", "missed": "○"}
WORDS = {"right": "right", "wrong": "found, not in gold", "missed": "in gold, not found"}
SHOWN_FIGURES = {
    "figure": "Scores",
    "differences": "Differences to the baseline",
    "learning": "Learning curves",
    "types": "Scores by relation type",
    "scale": "Scores by size of documents",
    "cost": "Time by size of documents",
}
"""Figures in their order on the page, by file name."""


def render(
    results: StudyResults, tables: Sequence[Table], figures: Mapping[str, bytes], shown: Sequence[ShownDocument] = ()
) -> str:
    """The page. `figures`: file name → content; the PNG of each is shown."""
    parts = {
        "verdict": ("Verdict", list(_verdict(results))),
        "tables": ("Tables", [html_table.render(one) for one in tables]),
        "figures": ("Figures", list(_figures(results, figures))),
        "failures": ("What did not finish", list(_failures(results))),
        "costs": ("Costs", [html_table.render(_costs(results))]),
        "documents": ("Documents", list(_documents(results, shown))),
        "origin": ("Origin", list(_origin(results))),
    }
    there = {name: part for name, part in parts.items() if part[1]}
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, (title, _) in there.items())
    body = [
        f'<p class="study">Study {escape(results.study)}, budget {escape(results.budget)}</p>',
        f"<h1>{escape(results.question)}</h1>",
        *(f'<p class="warning">{escape(warning)}</p>' for warning in results.warnings),
        f'<nav aria-label="Parts of this report"><ul>{links}</ul></nav>',
        "<main>",
    ]
    for name, (title, lines) in there.items():
        body += [f'<section id="{name}" aria-labelledby="{name}-title">', f'<h2 id="{name}-title">{title}</h2>']
        body += [*lines, "</section>"]
    body.append("</main>")
    head = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        # it holds texts of others: none of them is to load or run anything
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; style-src '
        "'unsafe-inline'\">",
        f"<title>{escape(results.study)}: {escape(results.question)}</title>",
        f"<style>{STYLE}</style>",
        "</head>",
        "<body>",
    ]
    return "\n".join([*head, *body, "</body>", "</html>"]) + "\n"


def _verdict(results: StudyResults) -> Iterator[str]:
    said = [one for one in verdict.sentences(results) if one not in results.warnings]
    yield '<ul class="verdict">' + "".join(f"<li>{escape(one)}</li>" for one in said) + "</ul>"


def _figures(results: StudyResults, figures: Mapping[str, bytes]) -> Iterator[str]:
    names = [name.removesuffix(".png") for name in figures if name.endswith(".png")]
    for name in sorted(names, key=lambda name: (list(SHOWN_FIGURES) + [name]).index(name)):
        title = SHOWN_FIGURES.get(name, name)
        content = figures[f"{name}.png"]
        data = base64.b64encode(content).decode()
        # the first chunk of a PNG has its size; letters are then about as large as those around
        width = round(int.from_bytes(content[16:20]) / DOTS_PER_INCH * 96 * 1.6)
        alt = f"{title} of the study {results.study}. The numbers are in the tables above."
        if name == "figure":
            alt = f"{title}: {_in_words(results)}"
        yield (
            f'<figure><img src="data:image/png;base64,{data}" width="{width}" alt="{escape(alt, quote=True)}">'
            f"<figcaption>{escape(title)} ({escape(name)}.pdf)</figcaption></figure>"
        )


def _in_words(results: StudyResults) -> str:
    """The main metric of each variant, for whoever does not see the figure."""
    metric = results.report.shown_metrics[0]
    told = []
    for variant in ordered_variants(results):
        scores = spread([trial.metrics[metric] for trial in results.finished(variant.name)])
        mean = "no score" if scores.mean is None else f"{scores.mean:.4g}"
        told.append(f"{full_name(results, variant)} {mean}")
    return f"mean {metric_title(results.report, metric)} of " + "; ".join(told) + "."


def _failures(results: StudyResults) -> Iterator[str]:
    rows = []
    for variant in ordered_variants(results):
        for seed in results.seeds:
            trial = results.trial(variant.name, seed)
            if trial is None or trial.status == "finished":
                continue
            why = trial.failure or ""
            attempts = f"{trial.attempts} attempts" if trial.attempts > 1 else "1 attempt"
            rows.append(
                f"<li>{escape(full_name(results, variant))}, seed {seed}: {trial.status} after {attempts} "
                f"(trial {escape(trial.key)})" + (f"<pre>{escape(why)}</pre>" if why else "") + "</li>"
            )
    if rows:
        yield "<ul>" + "".join(rows) + "</ul>"


def _costs(results: StudyResults) -> Table:
    """Hours of each variant's trials."""
    rows = []
    for variant in ordered_variants(results):
        durations = [
            trial.duration_s
            for seed in results.seeds
            if (trial := results.trial(variant.name, seed)) is not None and trial.duration_s is not None
        ]
        minutes = spread([one / 60 for one in durations])
        rows.append(
            Row(
                full_name(results, variant),
                (Plain(float(len(durations)), 0), Plain(minutes.mean), Plain(sum(durations) / 3600)),
            )
        )
    total = sum(trial.duration_s or 0.0 for trial in results.trials) / 3600
    return Table(
        label="tab:costs",
        caption=f"Time of trials: {total:.2f} hours together.",
        warnings=(),
        explanations=("Minutes: mean of a trial, all its attempts. Trials ran side by side where there was room.",),
        stub="Variant",
        columns=(Column("trials"), Column("minutes"), Column("hours together")),
        sections=(Section(None, tuple(rows)),),
        notes=(),
        origin=(),
    )


def _origin(results: StudyResults) -> Iterator[str]:
    yield (
        "<p>Every number of this page follows from <code>record.json</code> beside it and the counts of documents "
        "there; <code>orchestrate report --check</code> tells whether it still does.</p>"
    )
    yield "<details open><summary>Settings, data, code and trials</summary><ul>"
    yield from (f"<li>{escape(line)}</li>" for line in origin(results))
    yield "</ul></details>"


# ----------------------------------------------------------------------------------------------------------- documents


def _documents(results: StudyResults, shown: Sequence[ShownDocument]) -> Iterator[str]:
    if not shown:
        return
    legend = ", ".join(
        f'<span class="m {status}">word<small>{SIGNS[status]}</small></span> {WORDS[status]}' for status in SIGNS
    )
    yield f"<p>Mentions of entities, by span and type: {legend}. Relations are right if both entities, their types and "
    yield "the relation's type are.</p>"
    for document in shown:
        yield f"<h3>Document {escape(document.id)} ({escape(document.split)})</h3>"
        yield f'<p class="note">Shown because {escape(document.why)}.</p>'
        for name, predicted in document.predicted.items():
            title = full_name(results, results.variant(name))
            yield f"<h4>{escape(title)}, trial {escape(document.trials[name])}</h4>"
            yield from _text(document, predicted)
            yield from _relations(document, predicted)


def _text(document: ShownDocument, predicted: Annotation) -> Iterator[str]:
    gold, found = (_mentions(one) for one in (document.gold, predicted))
    marked = [(span, name, "right" if (span, name) in gold else "wrong") for span, name in found]
    marked += [(span, name, "missed") for span, name in gold if (span, name) not in found]
    opened, closed, beside = _nested(sorted(marked, key=lambda one: (one[0][0], -one[0][1], one[2], one[1])))
    yield '<div class="text">'
    at = 0
    for sentence in document.sentences:
        words = []
        for word in sentence:
            before = "".join(f'<span class="m {status}">' for _, _, status in opened.get(at, ()))
            after = "".join(
                f'<small title="{WORDS[status]}">{escape(name)} {SIGNS[status]}</small></span>'
                for _, name, status in closed.get(at + 1, ())
            )
            words.append(f"{before}{escape(word)}{after}")
            at += 1
        yield f"<p>{' '.join(words)}</p>"
    yield "</div>"
    if beside:
        told = ", ".join(f"{_words(document, span)} ({name} {SIGNS[status]})" for span, name, status in beside)
        yield f'<p class="note">Overlapping others: {escape(told)}.</p>'


Marked = tuple[Span, str, str]


def _nested(marked: Sequence[Marked]) -> tuple[dict[int, list[Marked]], dict[int, list[Marked]], list[Marked]]:
    """Marks by the word before which they open, by the word before which they have closed, and those that cross one
    that is open."""
    opened: dict[int, list[Marked]] = {}
    closed: dict[int, list[Marked]] = {}
    beside: list[Marked] = []
    stack: list[Marked] = []
    for one in marked:
        (start, end), _, _ = one
        while stack and stack[-1][0][1] <= start:
            stack.pop()
        if stack and end > stack[-1][0][1]:
            beside.append(one)
            continue
        stack.append(one)
        opened.setdefault(start, []).append(one)
        # what opens last closes first
        closed.setdefault(end, []).insert(0, one)
    return opened, closed, beside


def _mentions(annotation: Annotation) -> set[tuple[Span, str]]:
    return {(span, name) for name, spans in annotation.entities for span in spans}


def _relations(document: ShownDocument, predicted: Annotation) -> Iterator[str]:
    gold, found = document.gold.strict(), predicted.strict()
    rows = [(one, "right") for one in gold & found] + [(one, "wrong") for one in found - gold]
    rows += [(one, "missed") for one in gold - found]
    if not rows:
        yield '<p class="note">No relations, neither in gold nor found.</p>'
        return
    order = list(SIGNS)
    yield '<table><thead><tr><th scope="col" class="words">Head</th><th scope="col" class="words">Relation</th>'
    yield '<th scope="col" class="words">Tail</th><th scope="col" class="words">Found</th></tr></thead><tbody>'
    for (head, tail, name), status in sorted(rows, key=lambda row: (order.index(row[1]), row[0])):
        cells = (_entity(document, head), escape(name), _entity(document, tail))
        yield "<tr>" + "".join(f'<td class="words">{cell}</td>' for cell in cells)
        yield f'<td class="words {status}">{SIGNS[status]} {WORDS[status]}</td></tr>'
    yield "</tbody></table>"


def _entity(document: ShownDocument, entity: tuple[str, tuple[Span, ...]]) -> str:
    name, spans = entity
    first, *others = spans
    more = f" +{len(others)}" if others else ""
    return f"{escape(_words(document, first))}{more} <small>{escape(name)}</small>"


def _words(document: ShownDocument, span: Span) -> str:
    words = [word for sentence in document.sentences for word in sentence]
    return " ".join(words[slice(*span)])
