"""A search suggests settings, keeps what it has suggested, gives trials up early, and compares nothing."""

from __future__ import annotations

import json
import random
import time
import types
from pathlib import Path

import pytest

import tests.orchestrator.standin as standin
from orchestrator import cleaning, cost, execution, tracking
from orchestrator import report as reporting
from orchestrator.errors import Exit, StudyError
from orchestrator.execution import Options
from orchestrator.halving import Rungs, quantile
from orchestrator.plan import plan
from orchestrator.schema import Search, load
from orchestrator.search import Told, suggest
from orchestrator.store import Home, read_record, write_record
from orchestrator.tracking import Tracker
from orchestrator.trainables import Permissions
from orchestrator.trial import now
from reports.build import rebuild
from reports.search import SearchResults
from tests.orchestrator.samples import HEAD, faults, write
from tests.orchestrator.standin import RAISES, STANDIN
from tests.orchestrator.test_command import orchestrate

pytestmark = pytest.mark.filterwarnings("default")  # mlflow and its parts warn of each other

ONE_SEED = HEAD.replace("seeds: 2", "seeds: 1").replace("training.epochs: 2", "training.epochs: 5")
SEARCH = (
    ONE_SEED
    + """\
search:
  trials: 6
  space:
    model.memory.warmup_proportion: {kind: uniform, low: 0, high: 1}
    training.learning_rate: {kind: uniform, low: 1.0e-5, high: 1.0e-2, log: true}
"""
)
PRUNING = SEARCH + "  pruning: {kind: asha, grace_epochs: 1, reduction_factor: 2}\n"
"""The stand-in scores the proportion, so that what is better is better from the first epoch on."""
SPACE = {
    "rate": {"kind": "uniform", "low": 1e-5, "high": 1e-1, "log": True},
    "share": {"kind": "uniform", "low": 0.0, "high": 0.5},
    "width": {"kind": "integer", "low": 1, "high": 64, "log": True},
    "part": {"kind": "choice", "values": [None, "a", {"kind": "b"}]},
}


def asked(algorithm="tpe", space=SPACE, seed=1):
    return Search.model_validate({"space": space, "trials": 50, "algorithm": algorithm, "seed": seed})


@pytest.fixture
def quick(monkeypatch):
    """Without MLflow and the figure, which take longer than all else."""
    monkeypatch.setattr(Tracker, "open", lambda self: setattr(self, "trouble", "not tracked"))
    monkeypatch.setattr("reports.figures.search.files", lambda results, origin: {})
    monkeypatch.setattr("orchestrator.trial.gc.collect", lambda: 0)


def run(tmp_path, text=SEARCH, budget="full", home="home", **more):
    options = Options(**{"budget": budget, "data": (), "backend": "inline", "trainable": STANDIN, **more})
    return execution.run(load(write(tmp_path, text)), Home.at(tmp_path / home), options)


def journal(tmp_path, home="home"):
    return [json.loads(line) for line in (tmp_path / home / "sample" / "search.jsonl").read_text().splitlines()]


def states(outcome):
    return [trial.state for trial in outcome.plan.trials]


# -------------------------------------------------------------------------------------------------- successive halving


def test_of_those_that_come_to_a_rung_the_best_of_each_eta_go_on():
    rungs = Rungs(grace_epochs=1, reduction_factor=3)

    def comes(trial, score, epoch=1):
        rung = rungs.rung(trial, epoch, 9)
        goes_on = rungs.goes_on(rung, score)
        rungs.put(rung, trial, score)
        return rung, goes_on

    assert comes("a", 50.0) == (1, True)  # the first
    assert comes("b", 60.0) == (1, True)
    assert comes("c", 56.0) == (1, False)  # two thirds of the way from 50 to 60 is 56.67
    assert comes("d", 57.5) == (1, True)  # of 50, 56, 60 a third of the way from 56 to 60 is 57.33
    assert rungs.rung("a", 2, 9) is None  # has been there
    assert comes("b", 61.0, epoch=3) == (3, True)  # the first at this rung
    assert comes("a", 60.9, epoch=4) == (3, False)
    assert rungs.rung("b", 9, 9) is None  # nothing is left to be spared
    assert rungs.rung("b", 9, None) == 9


def test_no_trial_is_given_up_before_the_grace_is_over():
    rungs = Rungs(grace_epochs=4, reduction_factor=2)
    assert [rungs.rung("a", epoch, 20) for epoch in (1, 3, 4, 7, 8, 15, 16)] == [None, None, 4, 4, 8, 8, 16]


def test_a_quantile_lies_between_two_values():
    assert quantile([3.0], 0.5) == 3.0
    assert quantile([4.0, 1.0, 2.0], 0.75) == 3.0


@pytest.mark.parametrize(("grace", "eta", "seed"), [(1, 3, 1), (2, 2, 2), (1, 4, 3), (3, 3, 4)])
def test_decisions_are_those_of_ray_tunes_scheduler(grace, eta, seed):
    from ray.tune.schedulers import ASHAScheduler

    generator, n_epochs = random.Random(seed), 30
    rungs = Rungs(grace, eta)
    theirs = ASHAScheduler("epoch", "score", "max", max_t=n_epochs, grace_period=grace, reduction_factor=eta)
    running, n_pruned, n_started = {}, 0, 0
    while n_started < 60 or running:
        if n_started < 60 and len(running) < 6:
            name, n_started = str(n_started), n_started + 1
            running[name] = (types.SimpleNamespace(trial_id=name), 0, generator.uniform(0, 50))
            theirs.on_trial_add(None, running[name][0])
        name = generator.choice(list(running))
        trial, epoch, level = running.pop(name)
        epoch, score = epoch + 1, level + generator.gauss(0, 5) + epoch
        their_word = theirs.on_trial_result(None, trial, {"epoch": epoch, "score": score})
        rung = rungs.rung(name, epoch, n_epochs)
        goes_on = rung is None or rungs.goes_on(rung, score)
        if rung is not None:
            rungs.put(rung, name, score)
        if epoch == n_epochs:
            continue
        assert goes_on == (their_word == ASHAScheduler.CONTINUE), (name, epoch)
        n_pruned += not goes_on
        if goes_on:
            running[name] = (trial, epoch, level)
    assert 10 < n_pruned < 60


# ---------------------------------------------------------------------------------------------------------- suggestions


@pytest.mark.parametrize("algorithm", ["tpe", "random"])
def test_suggestions_lie_in_the_space(algorithm):
    told = []
    for index in range(1, 31):
        values = suggest(asked(algorithm), index, told)
        assert list(values) == list(SPACE)
        assert 1e-5 <= values["rate"] <= 1e-1 and 0 <= values["share"] <= 0.5
        assert isinstance(values["width"], int) and 1 <= values["width"] <= 64
        assert values["part"] in SPACE["part"]["values"]
        assert values["rate"] == float(f"{values['rate']:.4g}")
        told.append(Told(values, "finished", values["share"]))
    assert len({json.dumps(one.values["part"]) for one in told}) == 3


def test_a_random_suggestion_depends_on_the_seed_and_its_index_only():
    told = [Told(suggest(asked("random"), index, []), "finished", 1.0 * index) for index in range(1, 15)]
    assert suggest(asked("random"), 15, told) == suggest(asked("random"), 15, [])
    assert suggest(asked("random"), 15, []) != suggest(asked("random"), 16, [])
    assert suggest(asked("random"), 15, []) != suggest(asked("random", seed=2), 15, [])
    turned = dict(reversed(SPACE.items()))
    assert suggest(asked("random", turned), 15, []) == suggest(asked("random"), 15, [])


def test_tpe_suggests_more_of_what_was_good_and_the_same_from_the_same_scores():
    def tried(n):
        told = []
        for index in range(1, n + 1):
            values = suggest(asked(), index, told)
            standing = ("finished", "finished", "pruned", "failed", "open")[index % 5]
            score = -abs(values["share"] - 0.4)
            at_rungs = {1: score} if standing == "pruned" else {}
            told.append(Told(values, standing, score if standing == "finished" else None, at_rungs))
        return [one.values for one in told]

    first = tried(30)
    assert first == tried(30)
    assert sum(abs(one["share"] - 0.4) < 0.1 for one in first[10:]) > sum(
        abs(one["share"] - 0.4) > 0.2 for one in first[10:]
    )


def test_a_narrow_range_keeps_its_digits():
    values = [
        suggest(asked(space={"a": {"kind": "uniform", "low": 1.0, "high": 1.001}}), n, [])["a"] for n in range(1, 9)
    ]
    assert len(set(values)) == 8 and all(1.0 <= value <= 1.001 for value in values)


# -------------------------------------------------------------------------------------------------------------- running


def test_a_second_run_executes_nothing_and_more_trials_add_to_those_that_are_there(tmp_path, quick):
    first = run(tmp_path, SEARCH.replace("trials: 6", "trials: 4"))
    assert (len(first.executed), first.cached, first.exit_code) == (4, 0, Exit.DONE)
    record = first.files["record.json"].read_bytes()
    second = run(tmp_path, SEARCH.replace("trials: 6", "trials: 4"))
    assert (len(second.executed), second.cached) == (0, 4)
    assert second.files["record.json"].read_bytes() == record
    four = journal(tmp_path)
    third = run(tmp_path, SEARCH)
    assert (len(third.executed), third.cached) == (2, 4)
    assert journal(tmp_path)[:4] == four and [line["index"] for line in journal(tmp_path)] == [1, 2, 3, 4, 5, 6]
    # fewer are asked for than there are: all of them count
    assert len(run(tmp_path, SEARCH.replace("trials: 6", "trials: 2")).plan.trials) == 6


@pytest.mark.parametrize(("algorithm", "trials"), [("tpe", 12), ("random", 4)])
def test_a_search_that_was_cut_short_goes_on_as_if_it_had_not_been(tmp_path, quick, monkeypatch, algorithm, trials):
    text = PRUNING.replace("trials: 6", f"trials: {trials}") + f"  algorithm: {algorithm}\n"
    run(tmp_path, text, home="whole")
    whole = journal(tmp_path, "whole")
    score, calls = standin.score, 0

    def cut_short(settings, seed, epoch):
        nonlocal calls
        calls += 1
        if calls in (20, 100):
            raise KeyboardInterrupt
        return score(settings, seed, epoch)

    monkeypatch.setattr(standin, "score", cut_short)
    cut = run(tmp_path, text)
    assert cut.exit_code == Exit.INTERRUPTED and "interrupted" in states(cut)
    assert run(tmp_path, text).exit_code == Exit.INTERRUPTED
    rest = run(tmp_path, text)
    assert rest.exit_code == Exit.DONE and {"cached", "pruned"} == set(states(rest))
    assert journal(tmp_path) == whole


def test_what_was_given_up_stays_so_though_the_driver_was_killed_before_it_could_say_so(tmp_path, quick):
    outcome = run(tmp_path, PRUNING)
    pruned = [trial for trial in outcome.plan.trials if trial.state == "pruned"]
    assert pruned and all(trial.record.status == "pruned" and not trial.record.metrics for trial in pruned)
    assert {trial.record.status for trial in outcome.plan.trials} == {"pruned", "finished"}
    assert not list((tmp_path / "home").glob("trials/*/.given_up"))
    folder = tmp_path / "home" / "trials" / pruned[0].key
    write_record(folder, pruned[0].record.model_copy(update={"status": "running"}))
    (folder / ".given_up").touch()
    again = run(tmp_path, PRUNING)
    assert (len(again.executed), again.exit_code) == (0, Exit.DONE)
    assert read_record(folder).status == "pruned"


def test_the_journal_survives_a_line_that_was_cut_off_and_no_other_fault(tmp_path, quick):
    run(tmp_path, SEARCH.replace("trials: 6", "trials: 2"))
    path = tmp_path / "home" / "sample" / "search.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"search": "ab')
    assert len(run(tmp_path, SEARCH.replace("trials: 6", "trials: 3")).executed) == 1
    assert path.read_bytes().startswith(whole) and len(journal(tmp_path)) == 3
    path.write_bytes(b"{}\n" + whole)
    with pytest.raises(StudyError, match=r"search.jsonl:1 is no line of a search"):
        run(tmp_path)


def test_another_space_or_seed_is_another_search_and_each_budget_has_its_own(tmp_path, quick):
    text = SEARCH.replace("trials: 6", "trials: 2")
    run(tmp_path, text)
    other = run(tmp_path, text.replace("high: 1}", "high: 0.5}"))
    assert len(other.executed) == 2 and len(other.plan.trials) == 2 and len(journal(tmp_path)) == 4
    assert len(run(tmp_path, text).executed) == 0
    small = text + "budgets: {small: {note: less, settings: {training.epochs: 2}}}\n"
    assert len(run(tmp_path, small, "small").executed) == 2
    assert (tmp_path / "home" / "sample" / "small" / "search.jsonl").exists()
    assert (tmp_path / "home" / "sample" / "small" / "report" / "best.yaml").exists()


def test_settings_that_come_twice_are_trained_once(tmp_path, quick):
    text = ONE_SEED + (
        "search:\n  trials: 5\n  algorithm: random\n"
        "  space: {model.relation.pairs.kind: {kind: choice, values: [global, multi_instance]}}\n"
    )
    outcome = run(tmp_path, text)
    assert len(outcome.executed) == len(outcome.plan.trials) == 2 and len(outcome.plan.search.suggestions) == 5
    results = SearchResults.from_json(outcome.files["record.json"].read_text())
    keys = [one.key for one in results.tried]
    assert {one.index for one in results.ranked} == {keys.index(key) + 1 for key in set(keys)}
    assert len(run(tmp_path, text).executed) == 0


def test_settings_that_do_not_go_together_are_a_suggestion_that_has_failed(tmp_path, quick):
    text = ONE_SEED + (
        "search:\n  trials: 8\n  algorithm: random\n  space:\n"
        "    model.entity.classifier: {kind: choice, values: [{kind: bilinear}, {kind: dot}]}\n"
        "    model.memory.slot_size.entity: {kind: choice, values: [null, 32]}\n"
    )
    assert faults(tmp_path, text) == []
    outcome = run(tmp_path, text)
    assert outcome.exit_code == Exit.DONE and len(outcome.plan.trials) == 3
    wrong = [one for one in outcome.plan.search.suggestions if one.key is None]
    assert wrong and all("compares vectors of the encoder's width" in one.fault for one in wrong)
    assert "failed" in outcome.files["search.csv"].read_text() and "bilinear" in outcome.files["best.yaml"].read_text()


def test_a_trial_that_fails_is_told_and_run_again_only_on_request(tmp_path, quick, monkeypatch):
    text = ONE_SEED + (
        "search:\n  trials: 4\n  algorithm: random\n"
        f"  space: {{training.batch_size: {{kind: choice, values: [2, {RAISES}]}}}}\n"
    )
    outcome = run(tmp_path, text)
    assert outcome.exit_code == Exit.TRIAL_FAILED and len(outcome.failed) == 1
    assert len(run(tmp_path, text).executed) == 0
    monkeypatch.setattr(standin, "RAISES", -1)
    retried = run(tmp_path, text.replace("trials: 4", "trials: 9"), only=frozenset(t.key for t in outcome.failed))
    assert len(retried.executed) == 1 and not retried.failed and len(retried.plan.search.suggestions) == 4


def test_a_pilot_tells_what_a_search_will_cost(tmp_path, quick):
    options = Options(budget="full", data=(), backend="inline", trainable=STANDIN)
    loaded, home = load(write(tmp_path, PRUNING)), Home.at(tmp_path / "home")
    execution.run_pilots(loaded, home, options)
    planned = plan(loaded, "full", home, (), trainable=STANDIN)
    assert planned.trials == () and len(home.records()) == 1
    assert cost.estimate(planned, planned.to_come, home).hours is not None


# ---------------------------------------------------------------------------------------------- apart from comparisons


def compared(trial):
    """A study that compares, and has the cell of a trial."""
    values = "".join(f"  {path}: {value}\n" for path, value in trial.variant.factors.items())
    return ONE_SEED.replace("study: sample", "study: other").replace("question", "baseline: other\nquestion") + values


def test_a_pruned_trial_has_not_finished_and_a_study_that_compares_runs_it_to_its_end(tmp_path, database):
    outcome = run(tmp_path, PRUNING)
    pruned = [trial for trial in outcome.plan.trials if trial.state == "pruned"]
    client, runs = mlflow_runs(tmp_path)
    assert {r.data.tags["search"] for r in runs} == {"true"} and len(runs) == 6
    told = {r.data.tags["trial_key"]: (r.info.status, r.data.tags.get("pruned")) for r in runs}
    assert {told.pop(trial.key) for trial in pruned} == {("KILLED", "true")}
    assert set(told.values()) == {("FINISHED", None)}
    (summary,) = mlflow_runs(tmp_path, "summary")[1]
    best = SearchResults.from_json(outcome.files["record.json"].read_text()).best
    assert summary.data.params == {path: str(value) for path, value in best.values.items()}
    assert summary.data.metrics["best/dev/relation_strict_f1"] == best.score
    assert "report/best.yaml" in {artifact.path for artifact in client.list_artifacts(summary.info.run_id, "report")}

    other = run(tmp_path, compared(pruned[0]))
    assert other.executed == (pruned[0].key,) and other.exit_code == Exit.DONE
    (trial,) = other.plan.trials
    assert trial.record.status == "finished" and trial.record.earlier[0].status == "pruned"
    assert "resuming after epoch" in (tmp_path / "home" / "trials" / trial.key / "log.txt").read_text()
    (found,) = [r for r in mlflow_runs(tmp_path)[1] if r.data.tags["trial_key"] == trial.key]
    assert found.info.status == "FINISHED" and not {"search", "pruned"} & set(found.data.tags)

    after = run(tmp_path, PRUNING)
    assert len(after.executed) == 0 and states(after).count("pruned") == len(pruned) - 1
    assert len(mlflow_runs(tmp_path, "summary")[1]) == 2
    assert tracking.sync(Home.at(tmp_path / "home"), now()).trouble is None


def test_a_trial_that_another_study_has_finished_counts_and_is_not_run(tmp_path, quick):
    planned = run(tmp_path, PRUNING, home="elsewhere")
    first, *_ = planned.plan.trials
    run(tmp_path, compared(first))
    outcome = run(tmp_path, PRUNING)
    assert first.key not in outcome.executed and len(outcome.executed) == 5
    assert journal(tmp_path) == journal(tmp_path, "elsewhere")


def test_without_pruning_what_was_given_up_is_run_to_its_end(tmp_path, quick):
    pruned = [trial.key for trial in run(tmp_path, PRUNING).plan.trials if trial.state == "pruned"]
    for key in pruned:
        (tmp_path / "home" / "trials" / key / ".given_up").touch()  # as a process that was killed leaves it
    outcome = run(tmp_path, SEARCH)
    assert sorted(outcome.executed) == sorted(pruned) and set(states(outcome)) == {"cached"}


# --------------------------------------------------------------------------------------------------------------- report


def test_the_best_settings_can_be_pasted_into_another_study(tmp_path, quick):
    outcome = run(tmp_path)
    text = outcome.files["best.yaml"].read_text()
    assert "tuned on dev" in text and "found by search" in text
    pasted = "".join(f"  {line}\n" for line in text.splitlines())
    other = run(tmp_path, ONE_SEED.replace("study: sample", "study: other") + pasted)
    assert (len(other.executed), other.cached) == (0, 1)
    scores = {t.key: t.record.metrics["dev/relation_strict_f1"] for t in outcome.plan.trials}
    assert other.plan.trials[0].key == max(scores, key=scores.__getitem__)


def test_the_report_shows_no_score_on_test_and_says_what_its_scores_are(tmp_path, quick):
    outcome = run(tmp_path, PRUNING.replace("trials: 6", "trials: 12"))
    table = outcome.files["search.md"].read_text()
    assert "test/" not in table and "test/" not in outcome.files["search.csv"].read_text()
    on_test = {f"{t.record.metrics['test/relation_strict_f1']:.2f}" for t in outcome.plan.trials if t.is_finished}
    assert not any(score in table for score in on_test)
    assert "the scores that the search chose by" in table and "Li et al., 2020" in table
    results = SearchResults.from_json(outcome.files["record.json"].read_text())
    assert results.counts == {"finished": states(outcome).count("cached"), "pruned": states(outcome).count("pruned")}
    assert len(outcome.files["search.csv"].read_text().splitlines()) == 13
    again = rebuild(outcome.files["record.json"], tmp_path / "again")
    assert {name: path.read_bytes() for name, path in again.items()} == {
        name: path.read_bytes() for name, path in outcome.files.items()
    }
    # the other commands that read reports
    home = Home.at(tmp_path / "home")
    assert [type(results) for results, _ in reporting.reports_in(home)] == [SearchResults]
    kept = {item.key for item in cleaning.plan_cleaning(home).kept if item.what == "checkpoint"}
    assert kept == {results.best.key}


def curve(settings, seed, folder, report):
    """A loss, of which less is better."""
    for epoch in range(1, 5):
        report({"epoch": epoch, "metrics": {"dev/loss": abs(settings["x"] - 2) + 1 / epoch}})
    return {"metrics": {"dev/loss": abs(settings["x"] - 2) + 0.25, "test/loss": 9.0}, "selected_epoch": 4}


LOSS = """\
study: sample
question: Which x?
trainable: {kind: function, function: "tests.orchestrator.test_search:curve"}
settings: {x: 0.0}
seeds: 1
select: {metric: loss}
search:
  trials: 20
  space: {x: {kind: uniform, low: -4, high: 4}}
  pruning: {kind: asha, reduction_factor: 2, max_epochs: 4}
report: {kind: comparison, metric_info: {dev/loss: {better: lower, label: loss on dev}}}
"""


def test_where_less_is_better_the_least_is_best_and_the_greatest_are_pruned(tmp_path, quick):
    outcome = run(tmp_path, LOSS, trainable=None, permissions=Permissions(imports=True))
    results = SearchResults.from_json(outcome.files["record.json"].read_text())
    finished = [one.score for one in results.tried if one.standing == "finished"]
    assert results.best.score == min(finished) and results.counts["pruned"] >= 2
    lines, losses = [line for line in journal(tmp_path) if "rung" in line], []
    assert {line["rung"] for line in lines} == {1, 2}
    for line in lines:
        if line["rung"] == 1:
            assert line["pruned"] == (len(losses) > 0 and line["score"] > quantile(losses, 0.5))
            losses.append(line["score"])
    far = [abs(one.values["x"] - 2) for one in results.tried]
    assert sum(far[10:]) / len(far[10:]) < sum(far[:10]) / 10
    assert "lower is better" in outcome.files["search.md"].read_text()


PROGRAM = """\
import json, sys, time
x, folder = float(sys.argv[1]), sys.argv[2]
for epoch in range(1, 4):
    with open(folder + "/progress.jsonl", "a") as file:
        file.write(json.dumps({"epoch": epoch, "metrics": {"dev/score": x}}) + "\\n")
    time.sleep(60 if x < 0 else 0.3)
with open(folder + "/metrics.json", "w") as file:
    json.dump({"dev/score": x, "test/score": 0.0}, file)
"""


def test_a_command_that_is_given_up_is_ended(tmp_path, quick):
    (tmp_path / "program.py").write_text(PROGRAM)
    text = """\
study: sample
question: Which x?
trainable: {kind: command, command: "{python} program.py {x} {folder}", inputs: [program.py]}
settings: {x: 0.0}
seeds: 1
select: {metric: score}
search:
  trials: 6
  algorithm: random
  space: {x: {kind: choice, values: [1.0, -1.0]}}
  pruning: {kind: asha, reduction_factor: 2, max_epochs: 3}
"""
    begin = time.monotonic()
    outcome = run(tmp_path, text, trainable=None, permissions=Permissions(commands=True))
    found = {trial.variant.factors["x"]: trial.state for trial in outcome.plan.trials}
    assert found == {1.0: "cached", -1.0: "pruned"} and time.monotonic() - begin < 40


# --------------------------------------------------------------------------------------------------------------- faults

N = len(ONE_SEED.splitlines())


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (
            "{model.dropout: {kind: uniform, low: 0, high: 1}}",
            f"study.yaml:{N + 2}:56 search.space.model.dropout.high: found 1.0, wanted a number below 1.0",
        ),
        (
            "{model.dropuot: {kind: uniform, low: 0, high: 1}}",
            f"study.yaml:{N + 2}:11 search.space.model.dropuot",
        ),
        (
            "{model.memory.slot_size.entity: {kind: choice, values: [32, wide]}}",
            f"study.yaml:{N + 2}:70 search.space.model.memory.slot_size.entity.values[1]: found 'wide'",
        ),
        (
            "{model.dropout: {kind: choice, values: [0.1, 0.2, 0.1]}}",
            f"study.yaml:{N + 2}:60 search.space.model.dropout.values[2]: found 0.1 a second time",
        ),
        (
            "{training: {kind: choice, values: [{epochs: 2}]}, training.epochs: {kind: integer, low: 1, high: 2}}",
            f"study.yaml:{N + 2}:60 search.space.training.epochs: lies inside 'training', which is drawn as a whole",
        ),
        (
            "{data.train: {kind: integer, low: 2, high: 4}}",
            f"study.yaml:{N + 2}:11 search.space.data.train: decides which data is read",
        ),
    ],
)
def test_a_space_that_holds_what_a_setting_cannot_be_is_refused_at_its_line(tmp_path, space, expected):
    told = faults(tmp_path, ONE_SEED + f"search:\n  space: {space}\n  trials: 3\n")
    assert len(told) == 1 and told[0].startswith(expected), told


# -------------------------------------------------------------------------------------------------------- command, Ray


def test_on_ray_trials_are_pruned_side_by_side_and_end_before_the_next_begins(tmp_path, quick):
    path, home = write(tmp_path, PRUNING.replace("trials: 6", "trials: 8")), tmp_path / "home"
    code, output, errors = orchestrate("run", path, "--home", home, "--cpus", 2, "--json")
    told = json.loads(output)
    assert code == 0, errors
    assert (told["executed"], told["search"]["to_come"], len(told["search"]["suggestions"])) == (8, 0, 8)
    by_status = {status: [t for t in told["trials"] if t["status"] == status] for status in ("finished", "pruned")}
    assert len(by_status["pruned"]) == told["search"]["pruned"] >= 1
    assert len(by_status["pruned"]) + len(by_status["finished"]) == 8
    best = max(t["metrics"]["dev/relation_strict_f1"] for t in by_status["finished"])
    assert told["search"]["best"]["score"] == best
    assert "test/" not in errors
    # each pruned trial has ended by itself where it was told to: its history ends at the rung
    decisions = {line["key"]: line for line in journal(tmp_path) if line.get("pruned")}
    assert set(decisions) == {t["key"] for t in by_status["pruned"]}
    for key, line in decisions.items():
        folder = home / "trials" / key
        assert len((folder / "history.jsonl").read_text().splitlines()) == line["rung"]
        assert "was pruned" in (folder / "log.txt").read_text() and not (folder / ".given_up").exists()
    again = run(tmp_path, PRUNING.replace("trials: 6", "trials: 8"))
    assert (len(again.executed), again.cached) == (0, 8)


def test_plan_tells_what_is_there_and_what_is_to_come_and_what_it_will_cost(tmp_path, quick):
    run(tmp_path, PRUNING)
    path, home = write(tmp_path, PRUNING.replace("trials: 6", "trials: 9")), tmp_path / "home"
    planned = plan(load(path), "full", Home.at(home), (), trainable=STANDIN)
    n_pruned = sum(trial.state == "pruned" for trial in planned.trials)
    code, output, _ = orchestrate("plan", path, "--home", home)
    assert code == 0 and f"6 of 9 suggestions: {6 - n_pruned} cached, {n_pruned} pruned, 3 to come" in output
    assert "1 variant measured" in output and "test/" not in output
    expected = cost.estimate(planned, (*planned.missing, *planned.to_come), Home.at(home))
    seconds = [trial.record.duration_s for trial in planned.trials if trial.is_finished]
    assert expected.hours * 3600 == pytest.approx(3 * sum(seconds) / len(seconds))
    told = json.loads(orchestrate("status", path, "--home", home, "--json")[1])
    assert told["search"]["to_come"] == 3 and told["counts"] == {"cached": 6 - n_pruned, "pruned": n_pruned}


# ------------------------------------------------------------------------------------------------------------- fixtures


@pytest.fixture
def database(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def mlflow_runs(tmp_path: Path, kind="trial"):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/home/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return client, client.search_runs(experiments, f"tags.kind = '{kind}'")
