"""`orchestrate` with the stand-in model: `python -m tests.orchestrator.command run …`."""

from __future__ import annotations

import dataclasses

from orchestrator import cli, execution
from tests.orchestrator.standin import STANDIN


def main() -> None:
    real = execution.run

    def with_the_standin(loaded, home, options):
        return real(loaded, home, dataclasses.replace(options, trainable=STANDIN))

    execution.run = with_the_standin
    cli.main()


if __name__ == "__main__":
    main()
