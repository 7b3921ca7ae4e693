"""A function of an installed package as a trainable."""

from __future__ import annotations

import json
import signal
from importlib.metadata import entry_points

import pytest

from orchestrator.errors import Exit, StudyError
from orchestrator.schema import load
from orchestrator.trainables import Permissions, Unprepared, of
from orchestrator.trainables.function import GROUP, Function, _registered_on
from tests.orchestrator.samples import write
from tests.orchestrator.trainables.studies import ALL, FUNCTIONS, HERE, function, run, start, study, untracked

NOTHING = Permissions()


def a(name, folder, module=FUNCTIONS):
    return Function(1, (), folder, f"{module}:{name}" if module else name)


def run_in(folder, name, settings=None, told=None):
    folder.mkdir(exist_ok=True)
    report = (told if told is not None else []).append
    return a(name, folder).run(settings or {}, 7, folder, HERE, report)


# ----------------------------------------------------------------------------------------------------------- permission


def test_a_function_is_run_if_its_package_registers_it_or_the_caller_allows_it(tmp_path):
    unknown = a("learns", tmp_path)
    assert "say --allow-import to run 'tests" in str(unknown.refusal(NOTHING))
    assert f"entry point of the group `{GROUP}`" in str(unknown.refusal(NOTHING))
    assert unknown.refusal(Permissions(imports=True)) is None
    assert unknown.refusal(Permissions(commands=True)) is not None
    (registered,) = [entry for entry in entry_points(group=GROUP) if entry.name == "lookup"]
    assert a("lookup", tmp_path, module=None).refusal(NOTHING) is None
    assert a(registered.value, tmp_path, module=None).refusal(NOTHING) is None


def test_a_name_that_nobody_has_registered_is_refused_with_its_nearest(tmp_path):
    for name in ("lokup", ":run", "module:", ""):
        for permissions in (NOTHING, ALL):
            assert "wanted `module:function` or a name that" in str(a(name, tmp_path, None).refusal(permissions))
    assert "did you mean 'lookup'?" in str(a("lokup", tmp_path, None).refusal(ALL))


def test_a_function_has_one_identity_whichever_way_it_is_named(tmp_path):
    by_name, by_module = a("lookup", tmp_path, None), a("run", tmp_path, "model.baselines.lookup")
    assert by_name.identity() == by_module.identity()
    assert by_name.identity() != Function(2, (), tmp_path, "lookup").identity()


def package(folder, name, entries):
    made = folder / f"{name}-1.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (made / "entry_points.txt").write_text(f"[{GROUP}]\n{entries}\n")


def test_a_name_that_two_packages_have_taken_is_refused(tmp_path, monkeypatch):
    package(tmp_path, "one", "forest = one.trees:grow\nsame = both:run")
    package(tmp_path, "other", "forest = other.trees:grow\nsame = both:run")
    monkeypatch.syspath_prepend(tmp_path)
    refusal = a("forest", tmp_path, None).refusal(ALL)
    assert refusal is not None and "is registered as one.trees:grow and as other.trees:grow" in refusal
    assert a("same", tmp_path, None).refusal(NOTHING) is None
    assert a("grow", tmp_path, "other.trees").refusal(NOTHING) is None
    _registered_on.cache_clear()


def test_a_refusal_stands_at_the_line_of_the_trainable_and_nothing_is_imported(tmp_path, monkeypatch):
    untracked(monkeypatch)
    (tmp_path / "dangerous.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    text = study("kind: function\nfunction: dangerous:run")
    with pytest.raises(StudyError, match=r"study.yaml:6:3 trainable: a study file alone imports nothing: say --allow-"):
        run(tmp_path, text, permissions=NOTHING)


# ---------------------------------------------------------------------------------------------------------- preparation


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("no.such.module:run", "'no.such.module:run' cannot be imported: ModuleNotFoundError: No module named 'no'"),
        (f"{FUNCTIONS}:nothing", "cannot be imported: AttributeError: .* has no attribute 'nothing'"),
        ("broken:run", "cannot be imported: ZeroDivisionError"),
        ("leaving:run", "cannot be imported: SystemExit: usage"),
        (f"{FUNCTIONS}:NO_FUNCTION", "is of type int, wanted one that takes"),
        (f"{FUNCTIONS}:takes_two", r"takes \(settings, seed\) \(too many .*\), wanted one that takes \(settings, seed"),
        (f"{FUNCTIONS}:asks_too_much", "missing a required .*'memory'"),
        (f"{FUNCTIONS}:Trainer", "wanted one that takes"),
    ],
)
def test_what_cannot_be_called_is_a_fault_of_the_study(tmp_path, monkeypatch, reference, message):
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "leaving.py").write_text("raise SystemExit('usage')")
    monkeypatch.syspath_prepend(tmp_path)
    trainable = Function(1, (), tmp_path, reference)
    assert trainable.preparation({}) == reference
    with pytest.raises(Unprepared, match=message) as raised:
        trainable.prepare({}, HERE)
    assert raised.value.path is None


@pytest.mark.parametrize("name", ["learns", "asks", "Trainer.train"])
def test_what_can_be_called_is_prepared(tmp_path, name):
    a(name, tmp_path).prepare({}, HERE)


# -------------------------------------------------------------------------------------------------------------- running


def test_a_function_is_given_what_it_asks_for_by_keyword(tmp_path):
    told = run_in(tmp_path, "asks")
    assert told["asked"] == [str(HERE.data), "cpu", 2, "/cache", 1]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("null", "functions:returns returned is None, wanted a mapping with 'metrics'"),
        ("0.5", "returned is 0.5"),
        ('{"f1": 1}', "wanted a mapping with 'metrics'"),
        ('{"metrics": {"f1": "high"}}', "has f1 = 'high', wanted numbers"),
        ('{"metrics": {}, "selected_epoch": "best"}', "`selected_epoch` of what .* is 'best'"),
    ],
)
def test_a_function_that_returns_something_else_has_failed(tmp_path, what, message):
    with pytest.raises(ValueError, match=message):
        run_in(tmp_path, "returns", {"what": what})


@pytest.mark.parametrize(
    "what", ['{"epoch": 1}', '{"metrics": {"f1": 1}}', "3", '{"epoch": 1, "metrics": {"f1": null}}']
)
def test_a_function_that_reports_something_else_has_failed(tmp_path, what):
    with pytest.raises(ValueError, match="what was reported"):
        run_in(tmp_path, "reports", {"what": what})


def test_a_function_that_leaves_the_program_has_failed_and_the_study_goes_on(tmp_path):
    with pytest.raises(RuntimeError, match=r"functions:leaves left the program \(SystemExit: usage: …\)"):
        run_in(tmp_path, "leaves")


def test_what_a_function_does_to_its_settings_stays_with_it(tmp_path):
    settings = {"rate": 0.5, "epochs": 2}
    told = []
    result = run_in(tmp_path, "learns", settings, told)
    assert settings == {"rate": 0.5, "epochs": 2}
    assert result["metrics"] == {"dev/accuracy": 13.0, "test/accuracy": 12.0} and result["selected_epoch"] == 2
    assert [one["metrics"]["dev/accuracy"] for one in told] == [12.0, 13.0]


def test_an_interrupted_function_goes_on_and_an_epoch_told_again_counts_once(tmp_path):
    folder, told = tmp_path / "trial", []
    with pytest.raises(KeyboardInterrupt):
        run_in(folder, "goes_on", told=told)
    run_in(folder, "goes_on", told=told)
    assert [one["epoch"] for one in told] == [1, 2, 2, 3]
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [(one["epoch"], one["metrics"]["dev/accuracy"]) for one in history] == [(1, 1.0), (2, 2.1), (3, 3.1)]
    assert not (folder / "last").exists()


def test_a_result_names_the_inputs_as_the_trial_found_them(tmp_path):
    (tmp_path / "data.txt").write_text("a")
    trainable = Function(1, ("data.txt",), tmp_path, f"{FUNCTIONS}:waits")
    before = trainable.data_digest({}, ())
    assert trainable.run({}, 1, tmp_path, HERE, lambda given: None)["data_digest"] == before
    (tmp_path / "data.txt").write_text("b")
    assert trainable.run({}, 1, tmp_path, HERE, lambda given: None)["data_digest"] != before


# -------------------------------------------------------------------------------------------------------- whole studies

LEARNS = study(
    function("learns", "inputs: [data.txt]\n"),
    "rate: 0.5\nepochs: 2",
    "ablate: {rate: [0.5, 1.0]}\nbaseline: {name: half}\n",
)


def test_a_code_epoch_or_an_input_that_changes_gives_other_keys(tmp_path, monkeypatch):
    untracked(monkeypatch)
    (tmp_path / "data.txt").write_text("a")
    first = run(tmp_path, LEARNS)
    assert (len(first.executed), first.exit_code) == (2, Exit.DONE)
    assert len(run(tmp_path, LEARNS).executed) == 0
    assert len(run(tmp_path, LEARNS.replace("inputs:", "code_epoch: 2\n  inputs:")).executed) == 2
    (tmp_path / "data.txt").write_text("b")
    assert len(run(tmp_path, LEARNS).executed) == 2


def test_a_trial_of_a_function_fails_alone(tmp_path, monkeypatch):
    untracked(monkeypatch)
    variants = "".join(
        f'  {name}: {{settings: {{what: \'{{"metrics": {{"dev/accuracy": {value}, "test/accuracy": 2}}}}\'}}}}\n'
        for name, value in (("good", 1), ("NaN", "NaN"))
    )
    text = study(function("returns"), "what: 'null'", f"baseline: {{name: bad}}\nvariants:\n{variants}")
    outcome = run(tmp_path, text)
    assert outcome.exit_code == Exit.TRIAL_FAILED
    told = {trial.variant.name: trial.record.failure.message for trial in outcome.failed if trial.record}
    assert told.keys() == {"bad", "NaN"} and "returned is None" in told["bad"] and "no numbers" in told["NaN"]


def test_a_study_names_its_function_inputs_and_epoch(tmp_path):
    trainable = of(load(write(tmp_path, LEARNS)))
    assert trainable == Function(1, ("data.txt",), tmp_path, f"{FUNCTIONS}:learns")


def test_ctrl_c_ends_a_function_and_the_next_run_goes_on(tmp_path):
    text = study(function("waits"), "waits: true")
    arguments = ("run", write(tmp_path, text), "--home", tmp_path / "home", "--backend", "inline", "--allow-import")
    process = start(*arguments)
    assert process.stderr is not None
    assert any("epoch 1" in line for line in iter(process.stderr.readline, ""))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == Exit.INTERRUPTED and "Traceback" not in errors
    (record,) = (tmp_path / "home" / "trials").glob("*/record.json")
    assert json.loads(record.read_text())["status"] == "interrupted"
