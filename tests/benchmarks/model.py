"""How near the model is to its encoder: `python -m tests.benchmarks.model [--json FILE] [NAME ...]`.

Prints a line for each number, `name: value (goal)`. `README.md` beside this file says what is measured and how.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from tests.benchmarks import command, frozen, lengths, memory, ratios, waits
from tests.benchmarks.measuring import Line

BENCHMARKS: dict[str, Callable[[], Iterable[Line]]] = {
    "ratios": ratios.measure,
    "lengths": lengths.measure,
    "memory": memory.measure,
    "frozen": frozen.measure,
    "waits": waits.measure,
}


def main(arguments: list[str]) -> int:
    return command.run(BENCHMARKS, "tests.benchmarks.model", __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
