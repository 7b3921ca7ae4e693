"""`python -m tests.chaos`: kills, full disks, two drivers and Ctrl-C, with figures; exit 1 if anything was lost."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.suite import PARTS, Counts, Suite, show


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="decides which moments are drawn")
    parser.add_argument("--points", type=int, default=24, help="kills of the stand-in study")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--real", action="store_true", help="only kills of studies of the real model")
    parser.add_argument("--number", type=int, help="only this case of a part, from 1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures once more")
    parser.add_argument("--keep", action="store_true", help="leave the homes there")
    given = parser.parse_args(arguments)
    parts = ["real"] if given.real else given.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}")
    if "disk" in parts and os.geteuid() != 0:
        # a small disk can be mounted by the root of a namespace of its own
        os.execvp("unshare", ["unshare", "-rm", sys.executable, "-m", "tests.chaos", *(arguments or sys.argv[1:])])
    with Suite(given.seed, Counts(points=given.points), keep=given.keep, number=given.number) as suite:
        for part in parts:
            suite.run(part)
    show(suite)
    if given.json:
        given.json.write_text(json.dumps(suite.as_json(), indent=1))
    return 1 if suite.bad else 0


if __name__ == "__main__":
    sys.exit(main())
