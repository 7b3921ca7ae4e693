"""`python -m tests.orchestrator.corpus [--write] [NAME...]`: golden files that differ, shown or written anew."""

from __future__ import annotations

import argparse

from tests.orchestrator.corpus import BAD, difference, golden, stale, validated

parser = argparse.ArgumentParser(prog="python -m tests.orchestrator.corpus", description=__doc__)
parser.add_argument("names", nargs="*", metavar="NAME", help="bad studies, without `.yaml`; all if none is named")
parser.add_argument("--write", action="store_true", help="write what is told now")
arguments = parser.parse_args()

n_different = 0
for path in BAD:
    if arguments.names and path.stem not in arguments.names:
        continue
    _, _, told = validated(path)
    if shown := difference(path, told):
        n_different += 1
        print(shown)
        if arguments.write:
            golden(path).write_text(told, encoding="utf-8")
for file in stale():
    print(f"{file.name} belongs to no study")
    if arguments.write:
        file.unlink()
print(f"{n_different} of {len(BAD)} golden files {'written' if arguments.write else 'differ'}")
