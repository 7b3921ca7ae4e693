"""The command line of a list of benchmarks: `[--json FILE] [NAME ...]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator import provenance
from tests.benchmarks.measuring import Line


def run(benchmarks: Mapping[str, Callable[[], Iterable[Line]]], module: str, about: str, arguments: list[str]) -> int:
    """Print each number as it is known; with `--json` also write them, and on what machine they were measured."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(benchmarks)}; without, all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers here")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in benchmarks]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}, wanted some of {', '.join(benchmarks)}")
    if given.json is not None:
        check_folder(parser, given.json, "--json")
    print(f"load before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores", file=sys.stderr)
    lines: list[Line] = []
    for name in given.names or benchmarks:
        for line in benchmarks[name]():
            print(line, flush=True)
            lines.append(line)
    if given.json is not None:
        write(given.json, lines)
    return 0


def check_folder(parser: argparse.ArgumentParser, file: Path, option: str) -> None:
    """Refuse a file that could not be written in the end, before anything is measured."""
    if not file.absolute().parent.is_dir():
        parser.error(f"there is no folder {file.absolute().parent} for {option}")


def write(path: Path, lines: list[Line], **more: Any) -> None:
    told = {"machine": machine(), **more, "lines": [{**asdict(line), "met": line.is_met} for line in lines]}
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    found = provenance.hardware()
    return {
        "cpu": found["cpu"],
        "cores": found["cores"],
        "memory_gib": found["memory_gib"],
        "gpus": found["gpus"],
        "system": found["system"],
        "python": platform.python_version(),
        "packages": provenance.packages(),
        "code": provenance.code(),
        "load": os.getloadavg(),
    }
