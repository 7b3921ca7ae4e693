"""python -m tests.golden DIR: the greatest relative error of every file of recorded numbers."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.golden.check import check_folder, tolerance


def main(arguments: list[str]) -> int:
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        print("usage: python -m tests.golden [DIR]", file=sys.stderr)
        return 2
    folder = Path(arguments[0]) if arguments else Path(__file__).parent / "data"
    if not (folder / "index.json").is_file():
        print(f"{folder}: expected a folder of recorded numbers with an index.json", file=sys.stderr)
        return 2
    failed = 0
    for case, errors in check_folder(folder):
        worst = max(errors, key=lambda name: errors[name])
        bad = [name for name, value in errors.items() if not value <= tolerance(case, name)]
        failed += bool(bad)
        verdict = f"FAIL {', '.join(bad)}" if bad else "ok"
        print(f"{case:32} {len(errors):4} compared  greatest error {errors[worst]:8.1e}  {verdict}")
    print(f"{'FAIL' if failed else 'ok'}: {failed} files differ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
