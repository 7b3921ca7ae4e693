"""How fast the orchestrator is: `python -m tests.benchmarks.orchestrator [--json FILE] [NAME ...]`.

Prints a line for each number, `name: value (goal)`. `README.md` beside this file says what is measured and how.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator import provenance
from tests.benchmarks import expansion, mirroring, overhead, reading, reporting, startup, statistics
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
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.orchestrator", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; without, all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers here")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}, wanted some of {', '.join(BENCHMARKS)}")
    print(f"load before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores", file=sys.stderr)
    lines: list[Line] = []
    for name in given.names or BENCHMARKS:
        for line in BENCHMARKS[name]():
            print(line, flush=True)
            lines.append(line)
    if given.json is not None:
        told = {"machine": machine(), "lines": [{**asdict(line), "met": line.is_met} for line in lines]}
        given.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 0


def machine() -> dict[str, Any]:
    found = provenance.hardware()
    return {
        "cpu": found["cpu"],
        "cores": found["cores"],
        "memory_gib": found["memory_gib"],
        "system": found["system"],
        "python": platform.python_version(),
        "packages": provenance.packages(),
        "code": provenance.code(),
        "load": os.getloadavg(),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
