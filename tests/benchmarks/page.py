"""The tables in README.md, from the numbers in results/: `python -m tests.benchmarks.page` writes them anew.

Each stands between `<!-- NAME -->` and `<!-- end of NAME -->`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks import frozen, lengths, memory, workload
from tests.benchmarks.workload import Case

PAGE = Path(__file__).with_name("README.md")
RESULTS = Path(__file__).with_name("results")

Numbers = Mapping[str, float]
"""By the names of the benchmarks' lines."""


class Column(NamedTuple):
    title: str
    line: str
    """Name of the line with the number; {row} stands for the row."""
    form: str


def _table(corner: str, columns: Sequence[Column], rows: Sequence[object], numbers: Numbers) -> Iterator[str]:
    yield f"| {corner} | " + " | ".join(column.title for column in columns) + " |"
    yield "|--|" + "--:|" * len(columns)
    for row in rows:
        cells = [column.form.format(numbers[column.line.format(row=row)]) for column in columns]
        yield f"| {row} | " + " | ".join(cells) + " |"


def _ratios(numbers: Numbers) -> Iterator[str]:
    share = "{row}: sampling and collation, of a training step"
    columns = [
        Column("training", "{row}: training to the encoder's", "{:.2f}"),
        Column("without padding", "{row}: training to the encoder's without padding", "{:.2f}"),
        Column("inference", "{row}: inference to the encoder's", "{:.2f}"),
        Column("without padding", "{row}: inference to the encoder's without padding", "{:.2f}"),
        Column("training step, 2 documents", "{row}: training step of 2 documents, CPU", "{:.2f} s"),
        Column("making a batch, of a step", share, "{:.2%}"),
    ]
    return _table("case", columns, workload.CASES, numbers)


def _lengths(numbers: Numbers) -> Iterator[str]:
    case = Case("small", "MRC", True)
    what = f"{case}, a document of {{row}} words: {{kind}} to the encoder's"
    columns = [
        Column(f"{kind} to the encoder's", what.replace("{kind}", kind), "{:.2f}") for kind in ("training", "inference")
    ]
    yield from _table("words of a document (small MRC, memory on)", columns, lengths.WORDS, numbers)
    shortest, longest = min(lengths.WORDS), max(lengths.WORDS)
    what = f"{case}: growth of {{kind}} from {shortest} to {longest} words, to the encoder's growth"
    cells = [f"{numbers[what.replace('{kind}', kind)]:.2f}" for kind in ("training", "inference")]
    yield f"| growth from {shortest} to {longest}, to the encoder's (goal: 1) | " + " | ".join(cells) + " |"


def _memory(numbers: Numbers) -> Iterator[str]:
    columns = [
        Column("training", "{row}: memory of a training step, beyond", "{:.0f}"),
        Column("inference", "{row}: memory of inference, beyond weights", "{:.0f}"),
        Column("those", "{row}: weights, gradients and optimiser", "{:,.0f}"),
    ]
    yield from _table("peak memory in MiB, beyond weights, gradients, optimiser", columns, memory.CASES, numbers)
    for size in dict.fromkeys(case.size for case in memory.CASES):
        alone = numbers[f"{size}: memory of a training step of the encoder alone"]
        yield f"| {size}, encoder alone | {alone:.0f} | | |"


def _frozen(numbers: Numbers) -> Iterator[str]:
    of_study = f"a study of {frozen.TRIALS} trials of {frozen.EPOCHS} epochs"
    reckoned = f"{of_study}, reckoned (goal: 10)"
    columns = [
        Column("training, times faster", "{row}: frozen encoder, training with the encoder to without", "{:.1f}"),
        Column("inference", "{row}: frozen encoder, inference with the encoder to without", "{:.1f}"),
        Column(reckoned, f"{{row}}: frozen encoder, {of_study}, times faster", "{:.1f}"),
        Column(
            "were it matrix products alone",
            f"{{row}}: frozen encoder, {of_study}, were it matrix products alone",
            "{:.1f}",
        ),
    ]
    return _table("frozen encoder", columns, frozen.CASES, numbers)


def _study(numbers: Numbers) -> Iterator[str]:
    yield "| study | |"
    yield "|--|--:|"
    for name, value in numbers.items():
        yield f"| {name} | {value:.2f} |"


TABLES: dict[str, tuple[str, Callable[[Numbers], Iterator[str]]]] = {
    "ratios": ("model.json", _ratios),
    "lengths": ("model.json", _lengths),
    "memory": ("model.json", _memory),
    "frozen": ("model.json", _frozen),
    "study": ("study.json", _study),
}
"""Name → file of results, and what makes the table."""


def filled(page: str) -> str:
    """The page with all its tables made anew. Raises ValueError where it has no place for one."""
    for name, (file, table) in TABLES.items():
        lines = json.loads((RESULTS / file).read_text(encoding="utf-8"))["lines"]
        text = "\n".join(table({line["name"]: line["value"] for line in lines}))
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        page, n = place.subn(lambda found, text=text: f"{found[1]}\n{text}\n\n{found[2]}", page)
        if n != 1:
            raise ValueError(f"{PAGE} has {n} places for the table {name!r}, wanted 1")
    return page


def main(arguments: list[str]) -> int:
    argparse.ArgumentParser(prog="python -m tests.benchmarks.page", description=__doc__).parse_args(arguments)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
