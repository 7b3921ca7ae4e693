"""A table as HTML, to be put into a page: the same cells, warnings and notes as in LaTeX and Markdown.

It has no style of its own beside classes, so that the page decides how it looks; rows and columns are told to a screen
reader by `scope`.
"""

from __future__ import annotations

from html import escape
from itertools import groupby

from reports.table import (
    Cell,
    Count,
    Difference,
    Interval,
    Plain,
    Probability,
    Quoted,
    Said,
    Score,
    Single,
    Table,
    decimals_in,
    marks,
    number,
    probability,
    signed,
)


def render(table: Table) -> str:
    """A `figure` with the table, its caption, notes and origin."""
    warned = "".join(f' <strong class="warning">{escape(warning)}</strong>' for warning in table.warnings)
    explained = escape(" ".join(table.explanations))
    lines = [
        f'<figure class="table" id="{escape(table.label, quote=True)}">',
        "<table>",
        f'<caption>{escape(table.caption)}{warned} <span class="explanation">{explained}</span></caption>',
        "<thead>",
        *_heads(table),
        "</thead>",
    ]
    for section in table.sections:
        lines.append("<tbody>")
        if section.title is not None:
            lines.append(
                f'<tr class="section"><th scope="rowgroup" colspan="{len(table.columns) + 1}">'
                f"{escape(section.title)}</th></tr>"
            )
        for row in section.rows:
            cells = [
                f'<td class="{"words" if column.words else "number"}">{_cell(cell, decimals_in(cell, column))}</td>'
                for cell, column in zip(row.cells, table.columns, strict=True)
            ]
            lines.append(f'<tr><th scope="row">{escape(row.label)}</th>{"".join(cells)}</tr>')
        lines.append("</tbody>")
    lines.append("</table>")
    lines += [f'<p class="note">{escape(note)}</p>' for note in table.notes]
    lines += ["<details><summary>Origin</summary>", "<ul>", *(f"<li>{escape(one)}</li>" for one in table.origin)]
    return "\n".join([*lines, "</ul>", "</details>", "</figure>"]) + "\n"


def _heads(table: Table) -> list[str]:
    """One row of titles, with another above for those that columns share."""
    titles = "".join(
        f'<th scope="col"{" class=words" if column.words else ""}>{escape(column.title)}</th>'
        for column in table.columns
    )
    stub = f'<th scope="col" class="words">{escape(table.stub)}</th>'
    if all(column.over is None for column in table.columns):
        return [f"<tr>{stub}{titles}</tr>"]
    shared = []
    for over, columns in groupby(table.columns, key=lambda column: column.over):
        n = len(list(columns))
        shared.append(f'<th scope="colgroup" colspan="{n}">{escape(over or "")}</th>')
    return [f"<tr><td></td>{''.join(shared)}</tr>", f"<tr>{stub}{titles}</tr>"]


def _cell(cell: Cell, decimals: int) -> str:
    raised = marks(cell)
    mark = f"<sup>{raised}</sup>" if raised else ""
    match cell:
        case Score(mean=float(mean), sd=sd):
            spread = f" ± {number(sd, decimals) if sd is not None else '–'}" if cell.has_spread else ""
            return f"{_bold(number(mean, decimals), cell.best)}{spread}{mark}"
        case Single(value=float(value)):
            return f"{_bold(number(value, decimals), cell.best)}{mark}"
        case Difference(value=float(value)):
            return signed(value, decimals) + mark
        case Quoted(value=float(value)):
            return number(value, decimals)
        case Count(n=n, n_declared=n_declared):
            return f"{n}{mark}" if n_declared else "–"
        case Interval(low=float(low), high=float(high)):
            return f"[{', '.join(signed(end, decimals) for end in (low, high))}]"
        case Probability(value=float(value)):
            return escape(probability(value))
        case Plain(value=float(value), decimals=own, sign=sign):
            return number(value, own, sign=sign).replace("-", "−")
        case Said(text=text):
            return escape(text)
        case _:
            return f"–{mark}"


def _bold(text: str, best: bool) -> str:
    return f"<strong>{text}</strong>" if best else text
