"""How long a report over 1,000 finished trials takes: records, counts and histories read, tests, tables, figures."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, get_args

import numpy as np

from tests.benchmarks.measuring import Line, Took, in_a_process, least, timed

N_VARIANTS = 40
N_SEEDS = 25
N_DOCUMENTS = 500
N_EPOCHS = 20


def measure(
    rounds: int = 2,
    n_variants: int = N_VARIANTS,
    n_seeds: int = N_SEEDS,
    n_documents: int = N_DOCUMENTS,
    n_epochs: int = N_EPOCHS,
) -> list[Line]:
    found = in_a_process(
        "reporting:once",
        rounds=rounds,
        n_variants=n_variants,
        n_seeds=n_seeds,
        n_documents=n_documents,
        n_epochs=n_epochs,
    )
    best = {name: least([Took(*one) for one in of]).cpu for name, of in found.items()}
    what = f"{n_variants * n_seeds:,} trials on {n_documents:,} documents, CPU"
    whole = best["results"] + best["tests"] + best["files"]
    return [
        Line(f"report, parsing what the trials left, {what}", best["parsing"], "s"),
        Line(f"report, results with counts, {what}", best["results"], "s"),
        Line(f"report, {n_variants - 1} paired bootstraps, {what}", best["tests"], "s"),
        Line(f"report, tables, five figures and the page, {what}", best["files"], "s"),
        Line(f"report, all of it, {what}", whole, "s", "at most 10 s", 10.0),
        Line("report, results to parsing alone", best["results"] / best["parsing"], "", "at most 3", 3.0),
    ]


def once(rounds: int, n_variants: int, n_seeds: int, n_documents: int, n_epochs: int) -> dict[str, list[list[float]]]:
    from orchestrator import report
    from orchestrator.plan import plan
    from orchestrator.schema import load
    from orchestrator.store import Home
    from reports import build

    took: dict[str, list[Took]] = {"parsing": [], "results": [], "tests": [], "files": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.yaml"
        path.write_text(_study(n_variants, n_seeds), encoding="utf-8")
        loaded, home = load(path), Home.at(Path(folder) / "home")
        home.refuse_if_not_writable()
        draw = np.random.default_rng(0)
        gold = draw.poisson(6, n_documents) + 1
        for trial in plan(loaded, "full", home, ()).trials:
            _put(home, trial, draw, gold, n_epochs)
        planned = plan(loaded, "full", home, ())
        assert all(trial.is_finished for trial in planned.trials)
        for _ in range(rounds):
            with timed(took["parsing"]):
                for trial in planned.trials:
                    of = home.trial(trial.key)
                    json.loads((of / "record.json").read_text())
                    json.loads((of / "counts" / "test.json").read_text())
                    [json.loads(line) for line in (of / "history.jsonl").read_text().splitlines()]
            with timed(took["results"]):
                results = report.results(planned, home)
            with timed(took["tests"]):
                assert len(results.comparisons) == n_variants - 1
            with timed(took["files"]):
                build.render(results)
    return {name: [[one.wall, one.cpu] for one in of] for name, of in took.items()}


def _study(n_variants: int, n_seeds: int) -> str:
    rates = ", ".join(f"{(n + 1) * 1e-5:.5f}" for n in range(n_variants))
    return (
        "study: sample\nquestion: Does it help?\nsettings: {data: {name: builtin}}\n"
        f"grid: {{training.learning_rate: [{rates}]}}\nseeds: {n_seeds}\nbaseline: learning_rate=1e-05\n"
        "report: {kind: comparison, tables: [differences, sub_tasks, types], "
        "figures: [learning, differences, types, scale]}\n"
    )


def _put(home: Any, trial: Any, draw: np.random.Generator, gold: np.ndarray, n_epochs: int) -> None:
    """A trial as our model leaves it, whose scores are those of its counts."""
    from model.metrics.matching import SUBTASKS, TYPED
    from reports.counts import COUNTED, measured
    from reports.settings import METRICS
    from reports.statistics.micro import Statistic
    from tests.benchmarks.samples import finished, put

    found: dict[str, Any] = {
        "documents": {"id": [f"d{n}" for n in range(len(gold))], "words": (40 * gold).tolist()},
    }
    metrics = {name: 50.0 for name in METRICS}
    for task in SUBTASKS:
        correct = draw.binomial(gold, 0.6)
        columns = np.stack([correct, draw.poisson(2, len(gold)), gold - correct], axis=-1)
        found[task] = {"document": list(range(len(gold)))}
        if task in TYPED:
            found[task]["type"] = [f"type {n % 6}" for n in range(len(gold))]
        found[task] |= {name: columns[:, n].tolist() for n, name in enumerate(COUNTED)}
        for measure in get_args(Statistic):
            metrics[f"test/{task}_{measure}"] = float(measured(columns.sum(axis=0), measure))
    record = finished(trial.key, trial.variant.name, trial.seed, trial.variant.settings)
    put(home, record.model_copy(update={"metrics": metrics, "data_digest": trial.data_digest}))
    folder = home.trial(trial.key)
    (folder / "counts").mkdir()
    (folder / "counts" / "test.json").write_text(json.dumps(found), encoding="utf-8")
    on_dev = {name: value for name, value in metrics.items() if name.startswith("dev/")}
    lines = [json.dumps({"epoch": n, "step": n, "metrics": on_dev}) + "\n" for n in range(1, n_epochs + 1)]
    (folder / "history.jsonl").write_text("".join(lines), encoding="utf-8")
