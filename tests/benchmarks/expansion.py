"""How long a study of 100,000 trials takes to be read, expanded and given keys, beside the checks that nothing can
leave out: pydantic's validation and dump of the settings of every variant. And how long the estimate of its cost takes,
beside the plan that it is made of."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import Line, Took, in_a_process, least, timed

STUDY = """\
study: large
question: How long does it take?
seeds: {seeds}
settings:
  data: {{name: builtin, train: 4, dev: 2, test: 2}}
grid:
  {first}: [{first_values}]
  {second}: [{second_values}]
"""
RATES, DROPOUT, WARMUP = "training.learning_rate", "model.dropout", "model.memory.warmup_proportion"
SIZES = (
    (RATES, DROPOUT, 100, 100, 10),
    (RATES, DROPOUT, 200, 100, 5),
    (DROPOUT, WARMUP, 100, 100, 10),
)
"""Two factors, the numbers of their levels, and seeds. The last two factors lie in one part of the settings, so that
no variant has that part in common with another."""


ESTIMATED = (RATES, DROPOUT, 40, 25, 10)
MOST_ESTIMATED = 1000
"""Variants. Of more, an estimate that grows with their square would take minutes."""


def measure(
    rounds: int = 5,
    sizes: tuple[tuple[str, str, int, int, int], ...] = SIZES,
    estimated: tuple[str, str, int, int, int] = ESTIMATED,
) -> list[Line]:
    lines = []
    for first, second, n_first, n_second, n_seeds in (*sizes, estimated):
        found = []
        for _ in range(rounds):
            found.append(
                in_a_process("expansion:once", factors=[first, second], levels=[n_first, n_second], seeds=n_seeds)
            )
        planned, limit, cost = (
            least([Took(*one[name]) for one in found]) for name in ("planned", "limit", "estimated")
        )
        n_variants = n_first * n_second
        name = f"expansion, {n_variants:,} variants x {n_seeds} seeds ({first} x {second})"
        goal = ("at most 2 s on 2 idle cores", 2.0) if n_variants * n_seeds == 100_000 else ("", None)
        lines.append(Line(f"{name}, CPU", planned.cpu, "s", *goal))
        lines.append(Line(f"{name}, wall", planned.wall, "s"))
        lines.append(Line(f"{name}, validation and dump of each variant alone, CPU", limit.cpu, "s"))
        lines.append(Line(f"{name}, to validation and dump alone", planned.cpu / limit.cpu, ""))
        if n_variants <= MOST_ESTIMATED:
            lines.append(
                Line(f"{name}, estimate of its cost to its plan", cost.cpu / planned.cpu, "", "at most 1", 1.0)
            )
    return lines


def once(factors: list[str], levels: list[int], seeds: int) -> dict[str, Any]:
    """One study, from its file to its keys; what pydantic alone takes for the same settings; the estimate."""
    from model.settings import ExperimentSettings
    from orchestrator import cost
    from orchestrator.plan import plan
    from orchestrator.schema import load
    from orchestrator.store import Home

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.yaml"
        path.write_text(text(factors, levels, seeds), encoding="utf-8")
        planned_in, limit_in, estimated_in = list[Took](), list[Took](), list[Took]()
        home = Home.at(Path(folder) / "home")
        with timed(planned_in):
            planned = plan(load(path), "full", home, ())
        assert len({trial.key for trial in planned.trials}) == levels[0] * levels[1] * seeds
        values = [variant.resolved.values for variant in planned.variants]
        with timed(limit_in):
            for one in values:
                ExperimentSettings.model_validate(one).model_dump(mode="json")
        with timed(estimated_in):
            if len(values) <= MOST_ESTIMATED:
                cost.estimate(planned, planned.missing, home)
    found = {"planned": planned_in[0], "limit": limit_in[0], "estimated": estimated_in[0]}
    return {name: [took.wall, took.cpu] for name, took in found.items()}


def text(factors: list[str], levels: list[int], seeds: int) -> str:
    first, second = (", ".join(repr((n + 1) / (10 * n_levels)) for n in range(n_levels)) for n_levels in levels)
    return STUDY.format(seeds=seeds, first=factors[0], second=factors[1], first_values=first, second_values=second)
