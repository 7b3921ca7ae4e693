"""A table as Markdown, for a README or a pull request: the same cells, warnings and notes as in LaTeX."""

from __future__ import annotations

import re

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


def escape(text: str) -> str:
    """`text` as it is, also between the bars of a table."""
    return re.sub(r"([\\`*_\[\]<>|~#&$])", r"\\\1", " ".join(text.split()))


def render(table: Table) -> str:
    """Caption, table, notes, origin."""
    lines = [" ".join([escape(table.caption), *(f"**{escape(warning)}**" for warning in table.warnings)]), ""]
    titles = [column.title if column.over is None else f"{column.over}: {column.title}" for column in table.columns]
    lines.append(_line([table.stub, *titles]))
    lines.append("|:--|" + "".join(":--|" if column.words else "--:|" for column in table.columns))
    for section in table.sections:
        if section.title is not None:
            lines.append("| " + " | ".join([f"*{escape(section.title)}*", *([""] * len(table.columns))]) + " |")
        for row in section.rows:
            cells = [
                _cell(cell, decimals_in(cell, column)) for cell, column in zip(row.cells, table.columns, strict=True)
            ]
            lines.append("| " + " | ".join([escape(row.label), *cells]) + " |")
    lines += ["", escape(" ".join(table.explanations))]
    for note in table.notes:
        lines += ["", escape(note)]
    lines += ["", "<details><summary>Origin</summary>", "", *(f"- {escape(line)}" for line in table.origin)]
    lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def _line(texts: list[str]) -> str:
    return "| " + " | ".join(map(escape, texts)) + " |"


def _cell(cell: Cell, decimals: int) -> str:
    mark = "".join(f" {escape(mark)}" for mark in marks(cell))
    match cell:
        case Score(mean=None) | Single(value=None) | Difference(value=None) | Quoted(value=None):
            return f"–{mark}"
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
            return escape(f"[{', '.join(signed(end, decimals) for end in (low, high))}]")
        case Probability(value=float(value)):
            return escape(probability(value))
        case Plain(value=float(value), decimals=own, sign=sign):
            return number(value, own, sign=sign).replace("-", "−")
        case Interval() | Probability() | Plain():
            return "–"
        case Said(text=text):
            return escape(text)
    raise AssertionError(cell)


def _bold(text: str, best: bool) -> str:
    return f"**{text}**" if best else text
