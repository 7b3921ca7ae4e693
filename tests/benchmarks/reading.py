"""How long the records of a home take to be read, with the index and without, and a plan over them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.benchmarks.expansion import DROPOUT, RATES, text
from tests.benchmarks.measuring import Line, Took, in_a_process, least, timed

LEVELS = (10, 10)
N_SEEDS = 10


def measure(rounds: int = 5, levels: tuple[int, int] = LEVELS, n_seeds: int = N_SEEDS) -> list[Line]:
    found = in_a_process("reading:once", rounds=rounds, levels=list(levels), seeds=n_seeds)
    best = {name: least([Took(*one) for one in of]).cpu for name, of in found.items()}
    n = f"{levels[0] * levels[1] * n_seeds:,}"
    return [
        Line(f"store, {n} records from their files, CPU", best["files"], "s"),
        Line(f"store, {n} records from the index, CPU", best["index"], "s"),
        Line("store, index to files that are in memory already", best["index"] / best["files"], ""),
        Line(f"store, plan of {n} trials, none there, CPU", best["plan of new"], "s"),
        Line(f"store, plan of {n} trials, all finished, CPU", best["plan of finished"], "s"),
    ]


def once(rounds: int, levels: list[int], seeds: int) -> dict[str, list[list[float]]]:
    from orchestrator import index
    from orchestrator.plan import plan
    from orchestrator.schema import load
    from orchestrator.store import Home
    from tests.benchmarks.samples import finished, put

    took: dict[str, list[Took]] = {"files": [], "index": [], "plan of new": [], "plan of finished": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.yaml"
        path.write_text(text([RATES, DROPOUT], levels, seeds), encoding="utf-8")
        loaded, home = load(path), Home.at(Path(folder) / "home")
        home.refuse_if_not_writable()
        for _ in range(rounds):
            with timed(took["plan of new"]):
                plan(loaded, "full", home, ())
        for trial in plan(loaded, "full", home, ()).trials:
            put(home, finished(trial.key, trial.variant.name, trial.seed, trial.variant.settings))
        for _ in range(rounds):
            with timed(took["files"]):
                home.records()
        records = home.records()
        with index.opened(home.index) as books:
            home.refresh(books)
        for _ in range(rounds):
            with timed(took["index"]):
                assert home.records() == records
            with timed(took["plan of finished"]):
                plan(loaded, "full", home, ())
        assert all(trial.is_finished for trial in plan(loaded, "full", home, ()).trials)
    return {name: [[one.wall, one.cpu] for one in of] for name, of in took.items()}
