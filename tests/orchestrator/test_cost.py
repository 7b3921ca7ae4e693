"""What a study will cost is told from what was measured, and refused where it is too much."""

from __future__ import annotations

import json

import pytest

from orchestrator import cost, execution
from orchestrator.errors import StudyError
from orchestrator.execution import Options
from orchestrator.preflight import Machine
from orchestrator.schema import Resources, load
from orchestrator.store import Home, write_record
from tests.orchestrator.samples import HEAD, SWEEP, write
from tests.orchestrator.standin import STANDIN
from tests.orchestrator.test_command import orchestrate
from tests.orchestrator.test_plan import planned, record

TWO = HEAD.replace("seeds: 2", "seeds: 4") + "variants:\n  a: {}\n  b: {settings: {training.epochs: 3}}\n"


def finished(tmp_path, text, seconds):
    """Record trials as finished: variant → durations of its first seeds."""
    home = Home.at(tmp_path / "home")
    plan = planned(tmp_path, text)
    for trial in plan.trials:
        durations = seconds.get(trial.variant.name, [])
        if trial.seed <= len(durations):
            home.trial(trial.key).mkdir(parents=True, exist_ok=True)
            changes = {"duration_s": durations[trial.seed - 1]}
            write_record(home.trial(trial.key), record(trial, "finished").model_copy(update=changes))
    return planned(tmp_path, text), home


def test_a_trial_takes_as_long_as_the_other_seeds_of_its_variant_did(tmp_path):
    plan, home = finished(tmp_path, TWO, {"a": [3000.0, 4200.0], "b": [7200.0]})
    expected = cost.estimate(plan, plan.missing, home, slots=2)
    # two more of a at 3,600 s each, three more of b at 7,200 s each
    assert expected.hours == pytest.approx(2 * 1 + 3 * 2)
    # b 2 h | then, seed by seed, each where there is room first
    assert expected.wall_hours == pytest.approx(5.0)
    assert expected.sources == {"a": "measured", "b": "measured"} and expected.unknown == ()


def test_what_was_never_measured_is_not_guessed(tmp_path):
    plan, home = finished(tmp_path, TWO, {"a": [3600.0]})
    expected = cost.estimate(plan, plan.missing, home)
    assert (expected.hours, expected.wall_hours, expected.unknown) == (None, None, ("b",))
    (problem,) = cost.problems(expected, len(plan.missing), home, max_hours=1.0)
    assert "nothing tells yet how long a trial of b takes" in problem.message and "--pilot" in problem.message


def test_more_hours_than_allowed_are_refused(tmp_path):
    plan, home = finished(tmp_path, TWO, {"a": [3600.0], "b": [3600.0]})
    expected = cost.estimate(plan, plan.missing, home)
    assert cost.problems(expected, len(plan.missing), home, max_hours=6.0) == []
    (problem,) = cost.problems(expected, len(plan.missing), home, max_hours=5.9)
    assert problem.message == "about 6.00 trial hours are expected, more than --max-hours 5.9"


def test_a_run_that_would_take_too_long_is_refused_before_it_starts(tmp_path):
    options = Options(budget="full", data=(), backend="inline", trainable=STANDIN, max_hours=1.0)
    with pytest.raises(StudyError, match="nothing tells yet"):
        execution.run(load(write(tmp_path, SWEEP)), Home.at(tmp_path / "home"), options)
    assert not list((tmp_path / "home" / "trials").iterdir())


def test_a_disk_that_is_too_small_is_refused_with_what_helps(tmp_path, monkeypatch):
    plan, home = finished(tmp_path, TWO, {"a": [1.0]})
    expected = cost.estimate(plan, plan.missing, home)
    # seven trials leave the weights of their encoder each, and the one that runs has seven times as much beside
    weights = STANDIN.disk_bytes(plan.variants[0].settings)
    assert expected.disk_bytes == (7 + 7) * weights and weights > 10**7
    free = cost.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(cost.shutil, "disk_usage", lambda folder: free._replace(free=10**8))
    (problem,) = cost.problems(expected, 7, home, None)
    assert "7 trials will leave about" in problem.message and "orchestrate gc" in problem.message


def test_a_pilot_is_one_epoch_of_each_variant_that_was_not_measured(tmp_path):
    path, home = write(tmp_path, TWO), Home.at(tmp_path / "home")
    options = Options(budget="full", data=(), backend="inline", trainable=STANDIN)
    execution.run_pilots(load(path), home, options)
    pilots = home.records().values()
    # both variants have the same pilot, as they differ in their epochs only
    assert [(r.budget, r.settings["training"]["epochs"], r.status) for r in pilots] == [("pilot", 1, "finished")]
    assert not home.database.exists()
    (pilot,) = pilots
    history = [{"epoch": 1, "metrics": {"seconds/training": 80.0, "seconds/evaluation": 20.0}}]
    (home.trial(pilot.key) / "history.jsonl").write_text("".join(json.dumps(line) for line in history))
    write_record(home.trial(pilot.key), pilot.model_copy(update={"duration_s": 130.0}))
    plan = planned(tmp_path, TWO)
    expected = cost.estimate(plan, plan.missing, home)
    # 30 s once, and 100 s an epoch: four trials of two epochs, four of three
    assert expected.hours == pytest.approx((4 * 230 + 4 * 330) / 3600)
    assert set(expected.sources.values()) == {"pilot"}


@pytest.mark.parametrize(
    ("resources", "machine", "at_most", "slots"),
    [
        (Resources(), Machine(8, 0), None, 8),
        (Resources(cpus=3), Machine(8, 0), None, 2),
        (Resources(gpus=0.25), Machine(8, 1), None, 4),
        (Resources(gpus=0.3333), Machine(8, 1), None, 3),
        (Resources(gpus="measured"), Machine(8, 2), None, 2),
        (Resources(), Machine(8, 0), 3, 3),
        (Resources(cpus=16), Machine(8, 0), None, 1),
    ],
)
def test_as_many_trials_run_side_by_side_as_there_is_room_for(resources, machine, at_most, slots):
    assert cost.slots(resources, machine, at_most) == slots


def test_what_an_interrupted_trial_takes_up_already_is_not_asked_for_again(tmp_path, monkeypatch):
    text = HEAD.replace("seeds: 2", "seeds: 1")
    plan = planned(tmp_path, text)
    home = Home.at(tmp_path / "home")
    (trial,) = plan.missing
    weights = STANDIN.disk_bytes(trial.variant.settings)
    (home.trial(trial.key) / "last").mkdir(parents=True)
    write_record(home.trial(trial.key), record(trial, "interrupted"))
    with (home.trial(trial.key) / "last" / "state").open("wb") as state:
        state.truncate(6 * weights)
    plan = planned(tmp_path, text)
    expected = cost.estimate(plan, plan.missing, home)
    assert expected.disk_bytes == 8 * weights and 6 * weights <= expected.disk_bytes_there < 6 * weights + 10**4
    free = cost.shutil.disk_usage(tmp_path)
    for room, n_problems in ((2 * weights, 0), (weights, 1)):
        monkeypatch.setattr(cost.shutil, "disk_usage", lambda folder, room=room: free._replace(free=room))
        problems = cost.problems(expected, 1, home, None)
        assert len(problems) == n_problems
    assert " besides the " in problems[0].message


def test_a_plan_tells_of_what_a_run_would_refuse_here(tmp_path):
    path = write(tmp_path, SWEEP + "resources: {cpus: 4000}\n")
    code, output, errors = orchestrate("plan", path, "--home", tmp_path / "home")
    assert code == 0 and "4 trials: 4 new" in output
    assert f"`orchestrate run` would refuse this here: {path}:10:19 resources.cpus: a trial wants 4000 CPUs" in errors
    told = json.loads(orchestrate("plan", path, "--home", tmp_path / "home", "--json")[1])
    assert len(told["warnings"]) == 1 and "4000 CPUs" in told["warnings"][0]
    assert orchestrate("plan", path, "--home", tmp_path / "home", "--cpus", 4000)[2] == ""
