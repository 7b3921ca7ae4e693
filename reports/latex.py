"""A table as LaTeX, for pdflatex; narrow tables fill one column, wide ones both, and what is wider still is made as
small as that. It needs booktabs, and graphicx where it may have to be made smaller.

All text that comes from a study is escaped. Origins stand in the comment on top, warnings in the caption itself, so
that a table which is copied into a paper brings both along.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby

from reports.table import (
    Cell,
    Count,
    Difference,
    Interval,
    Plain,
    Probability,
    Quoted,
    Row,
    Said,
    Score,
    Single,
    Table,
    decimals_in,
    marks,
    number,
    probability,
)

ONE_COLUMN = 54
PAGE = 98
"""Characters of a row that fit into one column, and into both, of a two-column paper in small type."""
SURE = 104
"""Characters that fit into both in the type that is used for more."""
LABEL = 34
WORD = 20
"""Characters of a row's label, after which it is broken into lines, and of a word in it."""

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': "''",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
    "\u00a0": "~",
    "±": r"$\pm$",
    "†": r"$^{\dagger}$",
    "−": "$-$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "→": r"$\to$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≠": r"$\neq$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "°": r"$^{\circ}$",
    "¹": "$^{1}$",
    "²": "$^{2}$",
    "³": "$^{3}$",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
    "§": r"\S{}",
    "µ": r"$\mu$",
    "\t": " ",
    "\n": " ",
    "\r": " ",
}
_GREEK = {
    "αβγδεζηθικλμ": r"\alpha \beta \gamma \delta \varepsilon \zeta \eta \theta \iota \kappa \lambda \mu",
    "νξπρστυφχψω": r"\nu \xi \pi \rho \sigma \tau \upsilon \varphi \chi \psi \omega",
    "ΓΔΘΛΞΠΣΦΨΩ": r"\Gamma \Delta \Theta \Lambda \Xi \Pi \Sigma \Phi \Psi \Omega",
}
for letters, commands in _GREEK.items():
    _SPECIAL |= {letter: f"${command}$" for letter, command in zip(letters, commands.split(), strict=True)}
_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0327": "c",
}


def escape(text: str) -> str:
    """`text` so that pdflatex prints it. A letter beyond its reach is printed by its code, as in [U+4E2D]."""
    parts = re.split(r"(?<=-)(?=-)", unicodedata.normalize("NFC", text))  # two hyphens in a row would become a dash
    return "{}".join("".join(map(_escaped, part)) for part in parts)


def _escaped(letter: str) -> str:
    if letter in _SPECIAL:
        return _SPECIAL[letter]
    if " " <= letter <= "~":
        return letter
    base, *accents = unicodedata.normalize("NFD", letter)
    if len(accents) == 1 and accents[0] in _ACCENTS and base.isascii() and base.isalpha():
        return f"\\{_ACCENTS[accents[0]]}{{{base.replace('i', chr(92) + 'i')}}}"
    return f"[U+{ord(letter):04X}]"


def render(table: Table) -> str:
    """The table as a float, behind comment lines that tell its origin."""
    width = _width(table)
    wide, may_be_wider = width > ONE_COLUMN, width > SURE
    environment = "table*" if wide else "table"
    caption = " ".join(
        [
            escape(_sentence(table.caption)),
            *(rf"\textbf{{{escape(warning)}}}" for warning in table.warnings),
            *map(escape, table.explanations),
        ]
    )
    n_columns = len(table.columns) + 1
    broken = _label_width(table) > LABEL
    stub = r"p{0.21\textwidth}" if broken else "l"
    columns = "".join("l" if column.words else "r" for column in table.columns)
    lines = [
        *(f"% {line}" for line in table.origin),
        f"% needs: \\usepackage{{booktabs{',graphicx' if may_be_wider else ''}}}",
        rf"\begin{{{environment}}}[t]",
        r"\centering",
        r"\small" if width <= PAGE else r"\footnotesize",
        rf"\setlength{{\tabcolsep}}{{{4 if width <= PAGE else 3}pt}}",
        r"\setlength{\belowcaptionskip}{4pt}",
        rf"\caption{{{caption}}}",
        rf"\label{{{table.label}}}",
        *([r"\sbox0{%"] if may_be_wider else []),
        rf"\begin{{tabular}}{{@{{}}{stub}{columns}@{{}}}}",
        r"\toprule",
        *_over(table),
        " & ".join([escape(table.stub), *(escape(column.title) for column in table.columns)]) + r" \\",
    ]
    for section in table.sections:
        lines.append(r"\midrule")
        if section.title is not None:
            lines.append(rf"\multicolumn{{{n_columns}}}{{@{{}}l@{{}}}}{{\textit{{{escape(section.title)}}}}} \\")
        for row in section.rows:
            cells = [
                _cell(cell, decimals_in(cell, column)) for cell, column in zip(row.cells, table.columns, strict=True)
            ]
            lines.append(" & ".join([_label(row, broken), *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if may_be_wider:
        lines[-1] += "}%"
        lines.append(r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi")
    if table.notes:
        notes = " ".join(map(escape, table.notes))
        lines += ["", r"\smallskip", rf"\parbox{{\linewidth}}{{\footnotesize\raggedright {notes}}}"]
    lines.append(rf"\end{{{environment}}}")
    return "\n".join(lines) + "\n"


def _label(row: Row, broken: bool) -> str:
    """The label of a row, of which a broken one may be broken inside of long words too.

    The empty group: after the end of the row before, a bracket or a star would be read as its argument.
    """
    if not broken:
        return ("{}" if row.label.startswith(("[", "*")) else "") + escape(row.label)
    words = (re.findall(f".{{1,{WORD}}}", word) for word in row.label.split())
    return r"\raggedright " + " ".join(r"\allowbreak{}".join(map(escape, parts)) for parts in words)


def _over(table: Table) -> list[str]:
    """Titles that columns share, with a rule below each."""
    if all(column.over is None for column in table.columns):
        return []
    titles, rules, at = [""], [], 2
    for over, columns in groupby(table.columns, key=lambda column: column.over):
        n = len(list(columns))
        titles.append(rf"\multicolumn{{{n}}}{{c}}{{{escape(over or '')}}}")
        rules += [rf"\cmidrule(lr){{{at}-{at + n - 1}}}"] if over is not None else []
        at += n
    return [" & ".join(titles) + r" \\", "".join(rules)]


def _cell(cell: Cell, decimals: int) -> str:
    # A mark takes no width, so that the digits of a column stay below each other.
    raised = marks(cell).replace("†", r"\dagger")
    mark = rf"\rlap{{$^{{{raised}}}$}}" if raised else ""
    match cell:
        case Score(mean=None) | Single(value=None) | Difference(value=None) | Quoted(value=None):
            return f"--{mark}"
        case Score(mean=float(mean), sd=sd):
            sd_text = number(sd, decimals) if sd is not None else r"\mbox{--}"
            spread = rf" \pm {sd_text}" if cell.has_spread else ""
            return f"${_bold(number(mean, decimals), cell.best)}{spread}${mark}"
        case Single(value=float(value)):
            return f"${_bold(number(value, decimals), cell.best)}${mark}"
        case Difference(value=float(value)):
            return f"${number(value, decimals, sign=True)}${mark}"
        case Quoted(value=float(value)):
            return f"${number(value, decimals)}$"
        case Count(n=n, n_declared=n_declared):
            return f"{n}{mark}" if n_declared else "--"
        case Interval(low=float(low), high=float(high)):
            return f"$[{number(low, decimals, sign=True)}, {number(high, decimals, sign=True)}]$"
        case Probability(value=float(value)):
            return f"${probability(value)}$"
        case Plain(value=float(value), decimals=own, sign=sign):
            return f"${number(value, own, sign=sign)}$"
        case Interval() | Probability() | Plain():
            return "--"
        case Said(text=text):
            return escape(text)
    raise AssertionError(cell)


def _bold(text: str, best: bool) -> str:
    return rf"\mathbf{{{text}}}" if best else text


def _label_width(table: Table) -> int:
    labels = [row.label for section in table.sections for row in section.rows]
    return max(_printed(text) for text in (table.stub, *labels))


def _printed(text: str) -> int:
    """Characters that are printed of a text: one that pdflatex has not got takes as many as its code."""
    return sum(8 if _escaped(letter).startswith("[U+") else 1 for letter in unicodedata.normalize("NFC", text))


def _width(table: Table) -> int:
    """Characters of the widest row, nearly."""
    rows = [row for section in table.sections for row in section.rows]
    widths = [min(LABEL, _label_width(table))]
    for at, column in enumerate(table.columns):
        cells = [_cell_width(row.cells[at], decimals_in(row.cells[at], column)) for row in rows]
        widths.append(max(_printed(column.title), *cells) + 2)
    return sum(widths)


def _cell_width(cell: Cell, decimals: int) -> int:
    if isinstance(cell, Count):
        return 2
    if isinstance(cell, Said):
        return _printed(cell.text)
    if isinstance(cell, Interval):
        return 16
    if isinstance(cell, Probability):
        return 6
    of_several = isinstance(cell, Score) and cell.has_spread
    values = (cell.mean, cell.sd if of_several else None) if isinstance(cell, Score) else (cell.value,)
    # the least is what F1 takes, so that columns that are still empty have their room
    return max(13 if of_several else 5, sum(len(number(value, decimals)) + 1 for value in values if value is not None))


def _sentence(text: str) -> str:
    return text if text.rstrip().endswith((".", "?", "!")) else f"{text.rstrip()}."
