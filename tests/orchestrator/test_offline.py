"""A machine without a network, with torch, transformers and the light dependencies alone: a study is run there,
interrupted, gone on with, and brought home."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from orchestrator import execution, report
from orchestrator.archive.importing import import_archives
from orchestrator.errors import Exit
from orchestrator.execution import Options
from orchestrator.plan import plan
from orchestrator.schema import load
from orchestrator.store import Home, read_history
from orchestrator.tracking import sync
from tests.orchestrator import isolated
from tests.orchestrator.isolated import LEFT_OUT, orchestrate, python
from tests.orchestrator.samples import HEAD, SWEEP, write
from tests.orchestrator.test_command import orchestrate as typed
from tests.orchestrator.test_running import mlflow_runs

pytestmark = pytest.mark.filterwarnings("default")  # mlflow and its parts warn of each other

STUDY = """\
study: sample
question: Does it help?
seeds: 1
settings:
  data: {name: builtin, train: 12, dev: 4, test: 4}
  model.encoder.name: random
  training: {epochs: 4, learning_rate: 1.0e-3}
baseline: {name: ours}
ablate: {model.memory.read: [null]}
resources: {cpus: 1, gpus: 0}
"""
OPTIONS = Options(budget="full", data=(), backend="inline", offline=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return isolated.make(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def away(tmp_path_factory, site):
    """A folder with a study that was run to its end without a network, after a Ctrl-C in its first trial, and with
    what was exported after each."""
    folder = tmp_path_factory.mktemp("away")
    path, home = write(folder, STUDY), folder / "home"
    run = ("-m", "orchestrator.cli", "run", path, "--backend", "inline", "--offline", "--home", home)
    process = python(site, *run)
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if "epoch 1 " in line:
            process.send_signal(signal.SIGINT)
            break
    output, rest = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED, (output, rest)
    (folder / "interrupted.txt").write_text("".join(seen) + rest)
    told = [orchestrate(site, "export", path, "--home", home, "--out", folder / "interrupted.tar.gz", "--json")]
    told += [orchestrate(site, *run[2:], "--json")]
    told += [orchestrate(site, "export", "sample", "--home", home, "--out", folder / "finished.tar.gz", "--json")]
    for name, (code, output, errors) in zip(("first", "run", "last"), told, strict=True):
        assert code == 0, errors
        (folder / f"{name}.json").write_text(output)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    outcome = execution.run(load(write(folder, STUDY)), Home.at(folder / "home"), OPTIONS)
    assert outcome.exit_code == Exit.DONE
    return Home.at(folder / "home")


def told(folder: Path, name: str):
    return json.loads((folder / f"{name}.json").read_text())


def scores(home: Home):
    """All that a trial has computed, to the last bit; how long it took is left out."""
    found = {}
    for key, record in home.records().items():
        history = [
            (epoch, {name: value for name, value in metrics.items() if not name.startswith(("seconds", "memory"))})
            for epoch, metrics in read_history(home.trial(key))
        ]
        predictions = {path.name: path.read_text() for path in sorted((home.trial(key) / "predictions").iterdir())}
        found[key] = record.metrics, record.selected_epoch, history, predictions
    return found


def test_the_environment_of_these_tests_has_what_the_readme_names_and_nothing_else(site):
    names = "','".join(LEFT_OUT)
    code = f"from importlib.util import find_spec; print([name for name in ('{names}') if find_spec(name)])"
    assert python(site, "-c", code).communicate() == ("[]\n", "")


def test_a_study_runs_with_torch_transformers_and_the_light_dependencies_alone(away):
    run, home = told(away, "run"), Home.at(away / "home")
    assert (run["executed"], run["failed"], run["interrupted"]) == (2, 0, False)
    assert run["offline"] and run["report"] == {} and run["tracking"] == {"uri": None, "trouble": None}
    records = home.records()
    assert {record.status for record in records.values()} == {"finished"}
    assert all("test/relation_strict_f1" in record.metrics for record in records.values())
    assert not (home.root / "mlflow.db").exists() and not (home.root / "sample" / "report").exists()
    assert records.keys() == {trial["key"] for trial in run["trials"]}


def test_ctrl_c_is_answered_at_once_and_the_trial_is_recorded(away):
    lines = (away / "interrupted.txt").read_text().splitlines()
    (answered,) = [n for n, line in enumerate(lines) if "a second Ctrl-C ends at once" in line]
    (ended,) = [n for n, line in enumerate(lines) if "] interrupted ours, seed 1" in line]
    assert answered < ended and lines[-1] == "interrupted; the same command goes on from here"
    assert not any("Traceback" in line for line in lines)
    assert told(away, "first")["trials"] == {"interrupted": 1}
    assert [record.attempts for record in Home.at(away / "home").records().values() if record.variant == "ours"] == [2]


def test_what_was_interrupted_and_gone_on_with_there_is_what_would_have_come_of_it(away, uninterrupted):
    assert scores(Home.at(away / "home")) == scores(uninterrupted)


def test_a_trial_that_was_interrupted_there_goes_on_at_home_to_the_same_bits(away, uninterrupted, tmp_path):
    home = Home.at(tmp_path / "home")
    (imported,) = import_archives(home, [away / "interrupted.tar.gz"])
    (trial,) = imported.trials
    assert (trial.what, home.trial(trial.record.key).joinpath("last").is_dir()) == ("taken", True)
    outcome = execution.run(load(write(tmp_path, STUDY)), home, OPTIONS)
    assert outcome.exit_code == Exit.DONE and len(outcome.executed) == 2
    assert "resuming" in (home.trial(trial.record.key) / "log.txt").read_text()
    assert scores(home) == scores(uninterrupted)
    record = home.record(trial.record.key)
    assert record is not None and record.attempts == 2
    # its first epochs are from there
    assert record.imported_from is not None and record.imported_from.archive == "interrupted.tar.gz"


def test_at_home_every_trial_has_one_run_and_the_report_is_that_of_a_run_at_home(away, uninterrupted, tmp_path):
    home = Home.at(tmp_path / "home")
    study = write(tmp_path, STUDY)
    code, output, errors = typed("import", away / "finished.tar.gz", "--home", home.root, "--study", study, "--json")
    assert code == 0, errors
    imported = json.loads(output)
    assert imported["archives"][0]["counts"] == {"taken": 2} and imported["tracking"]["trouble"] is None
    files = {name: Path(path) for name, path in imported["report"]["sample/full"].items()}
    for _ in range(2):
        _, runs = mlflow_runs(tmp_path)
        assert sorted(run.data.tags["trial_key"] for run in runs) == sorted(home.keys())
        assert {run.info.status for run in runs} == {"FINISHED"}
        assert all(run.data.tags["imported_from"].startswith("finished.tar.gz (sha256 ") for run in runs)
        assert sync(home, "2026-01-01T00:00:00+00:00").trouble is None
    (summary,) = mlflow_runs(tmp_path, "summary")[1]
    assert summary.data.metrics["ours/test/relation_strict_f1_n"] == 1
    _, own = report.write(plan(load(study), "full", uninterrupted, ()), uninterrupted, None, tmp_path / "own")
    assert files["table.csv"].read_text() == own["table.csv"].read_text()


def test_looking_at_a_study_needs_no_more(site, away):
    home = away / "home"
    for command in (["validate"], ["plan", "--home", home], ["status", "--home", home]):
        code, _, errors = orchestrate(site, *command, away / "study.yaml")
        assert (code, errors) == (0, "")
    code, output, _ = orchestrate(site, "runs", "--home", home, "--json")
    assert code == 0 and [trial["status"] for trial in json.loads(output)["trials"]] == ["finished", "finished"]


SEARCH = HEAD.replace("seeds: 2", "seeds: 1") + (
    "search:\n  trials: 2\n  space:\n    model.dropout: {kind: uniform, low: 0.0, high: 0.4}\n"
)
CDR = HEAD.replace("{name: builtin, train: 4, dev: 2, test: 2}", "{name: cdr}")


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (SWEEP, ["run"], "pip install 'ray[tune]' mlflow pandas matplotlib, or say --backend inline --offline to go"),
        (
            SWEEP,
            ["run", "--backend", "inline"],
            "mlflow, pandas and matplotlib are not installed, which this run needs",
        ),
        (SWEEP, ["run", "--offline"], "ray is not installed, which this run needs; pip install 'ray[tune]', or say"),
        (SWEEP, ["report"], "pandas and matplotlib are not installed, which a report is made with; pip install pandas"),
        (SEARCH, ["run", "--backend", "inline", "--offline"], "search: optuna is not installed, which a search"),
        (CDR, ["plan"], "settings.data: the sentences of cdr are found by the package syntok, which is not installed"),
        (
            SWEEP.replace("training.epochs: 2", "model.encoder.name: allenai/scibert_scivocab_uncased"),
            ["run", "--backend", "inline", "--offline"],
            "settings.model.encoder.name: 'allenai/scibert_scivocab_uncased' is neither an embedded encoder",
        ),
    ],
    ids=["run", "inline", "ray offline", "report", "search", "cdr", "hub"],
)
def test_what_is_missing_is_named_with_what_to_type(tmp_path, site, text, arguments, message):
    code, output, errors = orchestrate(site, *arguments, write(tmp_path, text), "--home", tmp_path / "home")
    assert (code, output) == (Exit.INVALID, "")
    assert message in errors and "Traceback" not in errors
    assert not list((tmp_path / "home").glob("trials/*"))


@pytest.mark.parametrize("command", [["sync"], ["import", "finished.tar.gz"]], ids=["sync", "import"])
def test_without_mlflow_nothing_is_begun_that_would_end_without_it(away, site, tmp_path, command):
    (tmp_path / "trials").mkdir()
    command = [str(away / word) if word.endswith(".gz") else word for word in command]
    code, _, errors = orchestrate(site, *command, "--home", tmp_path)
    assert code == Exit.INVALID and errors.startswith("mlflow is not installed, which runs are tracked with")
    assert not list((tmp_path / "trials").iterdir())
    if command[0] == "import":
        assert orchestrate(site, *command, "--home", tmp_path, "--offline")[0] == 0
        assert len(Home.at(tmp_path).records()) == 2
