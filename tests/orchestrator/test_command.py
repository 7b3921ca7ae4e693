"""The command `orchestrate`: exit codes, JSON on standard output, messages without tracebacks."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import orchestrator
from tests.orchestrator.samples import HEAD, SWEEP, write
from tests.orchestrator.standin import DIES, SLOW

ROOT = Path(orchestrator.__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
ENVIRONMENT.pop("MLFLOW_TRACKING_URI", None)


def start(*arguments, **more):
    command = [sys.executable, "-m", "tests.orchestrator.command", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more
    )


def orchestrate(*arguments):
    process = start(*arguments)
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_bad_study_exits_2_with_all_its_faults_and_no_traceback(tmp_path):
    path = write(tmp_path, SWEEP + "sede: 1\nselec: {}\n")
    for command in (["validate"], ["plan"], ["run", "--home", tmp_path / "home"], ["report"], ["status"]):
        code, output, errors = orchestrate(*command, path)
        assert (code, output) == (2, "")
        assert f"{path}:10:1 sede: unknown key" in errors and f"{path}:11:1 selec: unknown key" in errors
        assert "Traceback" not in errors


def test_faults_can_be_had_as_json(tmp_path):
    code, output, _ = orchestrate("validate", "--json", write(tmp_path, SWEEP + "sede: 1\n"))
    told = json.loads(output)
    assert code == 2 and not told["valid"]
    assert (told["problems"][0]["line"], told["problems"][0]["column"]) == (10, 1)


def test_a_study_that_is_not_there_is_named_with_its_nearest(tmp_path):
    write(tmp_path, SWEEP)
    code, _, errors = orchestrate("plan", tmp_path / "studdy.yaml")
    assert code == 2 and f"did you mean '{tmp_path / 'study.yaml'}'?" in errors


def test_an_unknown_budget_is_refused_with_those_that_are_there(tmp_path):
    path = write(tmp_path, SWEEP + "budgets: {cpu: {note: less, seeds: 1}}\n")
    code, _, errors = orchestrate("plan", path, "--budget", "cp")
    assert code == 2 and "wanted one of full, cpu, did you mean 'cpu'?" in errors


def test_a_plan_as_json_names_every_trial(tmp_path):
    code, output, _ = orchestrate("plan", write(tmp_path, SWEEP), "--json", "--home", tmp_path / "home")
    told = json.loads(output)
    assert code == 0 and told["counts"] == {"new": 4}
    assert {"key", "variant", "seed", "state"} <= told["trials"][0].keys()
    assert not (tmp_path / "home").exists()


def test_the_json_schema_has_the_study_and_the_settings():
    code, output, _ = orchestrate("schema")
    schema = json.loads(output)
    assert code == 0 and schema["$schema"].startswith("https://json-schema.org/")
    assert {"study", "settings", "ablate", "grid", "variants", "seeds", "budgets"} <= schema["properties"].keys()
    assert "training" in schema["$defs"]["Overrides"]["properties"]
    assert "warmup_proportion" in schema["$defs"]["MemorySettings"]["properties"]


def test_a_run_prints_one_json_object_and_a_second_run_executes_nothing(tmp_path):
    arguments = ("run", write(tmp_path, SWEEP), "--home", tmp_path / "home", "--backend", "inline", "--json")
    code, output, errors = orchestrate(*arguments)
    told = json.loads(output)
    assert code == 0, errors
    assert (told["study"], told["executed"], told["cached"], told["failed"]) == ("sample", 4, 0, 0)
    assert {"key", "variant", "seed", "status", "metrics"} <= told["trials"][0].keys()
    assert Path(told["report"]["table.tex"]).read_text().count("toprule") == 1
    assert (tmp_path / "home" / "mlflow.db").is_file()
    assert "[4/4] finished" in errors
    again = json.loads(orchestrate(*arguments)[1])
    assert (again["executed"], again["cached"], again["trials"]) == (0, 4, told["trials"])


def test_status_and_report_tell_of_what_was_run(tmp_path):
    path, home = write(tmp_path, SWEEP), tmp_path / "home"
    code, _, errors = orchestrate("report", path, "--home", home)
    assert code == 2 and "run it first" in errors
    orchestrate("run", path, "--home", home, "--backend", "inline")
    counts = json.loads(orchestrate("status", path, "--home", home, "--json")[1])["counts"]
    assert counts == {"cached": 4}
    code, output, _ = orchestrate("report", path, "--home", home, "--out", tmp_path / "out")
    assert code == 0 and str(tmp_path / "out" / "table.tex") in output.splitlines()
    assert len(json.loads(orchestrate("runs", "--home", home, "--json")[1])["trials"]) == 4


def test_a_selection_on_test_is_told_wherever_its_scores_are(tmp_path):
    path = write(tmp_path, SWEEP + "select: {on: test, allow_test: true}\n")
    arguments = ("run", path, "--home", tmp_path / "home", "--backend", "inline")
    code, output, _ = orchestrate(*arguments)
    said = "Epochs are selected on the test set"
    assert code == 0 and said in output
    told = json.loads(orchestrate(*arguments, "--json")[1])
    assert any(said in warning for warning in told["warnings"])
    for name in ("table.md", "table.tex"):
        assert said in Path(told["report"][name]).read_text()
    for name in ("table.csv", "trials.csv"):
        assert "test/relation_strict_f1" in {row["selected_by"] for row in rows(Path(told["report"][name]))}


def test_data_sets_are_listed_and_an_unknown_one_is_refused():
    code, output, _ = orchestrate("data", "list", "--json")
    assert code == 0 and {"cdr", "builtin"} <= {one["name"] for one in json.loads(output)["data"]}
    code, _, errors = orchestrate("data", "check", "cdrr")
    assert code == 2 and "Traceback" not in errors


def test_the_dashboard_of_a_home_without_runs_is_refused(tmp_path):
    code, _, errors = orchestrate("ui", "--home", tmp_path)
    assert code == 2 and "run a study" in errors


# ------------------------------------------------------------------------------------------------------------- on Ray

MIXED = (
    HEAD
    + f"""\
variants:
  good: {{}}
  longer: {{settings: {{training.epochs: 3}}}}
  dies: {{settings: {{training.batch_size: {DIES}}}}}
"""
)


def test_ray_runs_trials_in_warm_processes_and_tells_of_one_that_was_killed(tmp_path):
    home = tmp_path / "home"
    code, output, errors = orchestrate("run", write(tmp_path, MIXED), "--home", home, "--cpus", 2, "--json")
    told = json.loads(output)
    assert code == 1, errors
    assert {trial["variant"]: trial["status"] for trial in told["trials"]} == {
        "good": "finished", "longer": "finished", "dies": "failed",
    }  # fmt: skip
    assert (told["executed"], told["failed"]) == (6, 2)
    assert "failed: dies, seed 1" in errors and "the trial's process died" in errors and "log.txt" in errors
    assert "epoch 2   good, seed 1: dev/relation_strict_f1 45.20" in errors
    assert "raylet" not in errors and "Traceback" not in errors
    assert not list(home.glob(".tune-*"))

    records = [json.loads(path.read_text()) for path in home.glob("trials/*/record.json")]
    finished = [record for record in records if record["status"] == "finished"]
    assert len({record["facts"]["process"] for record in finished}) < len(finished)


@pytest.mark.parametrize("backend", ["ray", "inline"])
def test_one_ctrl_c_ends_a_study_cleanly(tmp_path, backend):
    home = tmp_path / "home"
    text = HEAD + f"variants:\n  slow: {{settings: {{training.batch_size: {SLOW}}}}}\n"
    arguments = ("run", write(tmp_path, text), "--home", home, "--cpus", 2, "--json", "--backend", backend)
    process = start(*arguments, start_new_session=True)
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    assert any("epoch 1   slow, seed 1" in line for line in lines)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the driver and all it started
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    told = json.loads(output)
    assert told["interrupted"] and told["report"] == {}
    assert {trial["status"] for trial in told["trials"]} <= {"interrupted", "not run"}
    assert _mlflow_statuses(home) == {"KILLED"}


def _mlflow_statuses(home):
    import sqlite3

    with sqlite3.connect(home / "mlflow.db") as database:
        return {status for (status,) in database.execute("select status from runs")}


def test_a_folder_of_results_is_checked_and_made_again(tmp_path):
    path, home = write(tmp_path, SWEEP), tmp_path / "home"
    orchestrate("run", path, "--home", home, "--backend", "inline")
    folder = home / "sample" / "report"
    assert orchestrate("report", "--check", folder)[:2] == (0, f"{folder}: every file follows from its record\n")
    table = folder / "table.tex"
    table.write_text(table.read_text().replace("& 2 &", "& 3 &", 1))
    code, output, errors = orchestrate("report", "--check", folder)
    assert (code, output) == (2, "") and f"{table}:" in errors and "the record gives" in errors
    assert json.loads(orchestrate("report", "--check", folder, "--json")[1])["valid"] is False
    assert orchestrate("report", "--rebuild", folder)[0] == 0
    assert orchestrate("report", "--check", folder)[0] == 0
    code, _, errors = orchestrate("report", folder)
    assert code == 2 and "wanted a study file, or --check or --rebuild" in errors


def test_keys_and_all_that_failed_are_not_named_together(tmp_path):
    code, _, errors = orchestrate("retry", write(tmp_path, SWEEP), "01c6", "--failed", "--home", tmp_path / "home")
    assert code == 2 and "wanted one of them" in errors
