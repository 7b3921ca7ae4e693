"""How fast the orchestrator is: `python -m tests.benchmarks.orchestrator [--json FILE] [NAME ...]`.

Prints a line for each number, `name: value (goal)`. `README.md` beside this file says what is measured and how.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.benchmarks import command, expansion, mirroring, overhead, reading, reporting, startup, statistics
from tests.benchmarks.measuring import Line

BENCHMARKS: dict[str, Callable[[], list[Line]]] = {
    "startup": startup.measure,
    "expansion": expansion.measure,
    "store": reading.measure,
    "mlflow": mirroring.measure,
    "overhead": overhead.measure,
    "statistics": statistics.measure,
    "report": reporting.measure,
}


def main(arguments: list[str]) -> int:
    return command.run(BENCHMARKS, "tests.benchmarks.orchestrator", __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
