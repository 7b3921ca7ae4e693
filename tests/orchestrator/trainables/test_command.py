"""A command as a trainable: real processes, which are to end when their trial does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.errors import Exit, StudyError
from orchestrator.failures import cause_of
from orchestrator.schema import load
from orchestrator.trainables import Permissions, Unprepared, command, of
from orchestrator.trainables.command import Command, CommandCutShort, CommandFailed
from tests.orchestrator.samples import write
from tests.orchestrator.trainables.studies import HERE, ROOT, run, study, untracked
from tests.orchestrator.trainables.studies import command as command_lines

DONE = """echo '{"test/accuracy": 0.5}' > $ORCHESTRATE_FOLDER/metrics.json"""


def a(template, folder, *inputs, metrics_file="metrics.json", progress_file="progress.jsonl"):
    return Command(1, inputs, folder, template, metrics_file, progress_file)


def shell(script, folder):
    """A command of the shell that runs in `folder`."""
    path = folder / "train.sh"
    path.write_text(script)
    return a("sh train.sh", folder)


def run_in(folder, trainable, values=None, told=None, seed=7):
    trial = folder / "trial"
    trial.mkdir(exist_ok=True)
    report = (told if told is not None else []).append
    return trainable.run(values or {}, seed, trial, HERE, report)


def epochs(told):
    return [one["epoch"] for one in told]


def line(epoch, score=0.5):
    return json.dumps({"epoch": epoch, "metrics": {"dev/accuracy": score}})


def ended(pid, within=5.0):
    """Whether a process is gone, or at least nothing but its exit code is left, after a while."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def pids(path, n, within=20.0):
    """The numbers in a file, once there are so many."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        if path.exists() and len(found := path.read_text().split()) == n:
            return [int(pid) for pid in found]
        time.sleep(0.02)
    raise AssertionError(f"{path} has not {n} numbers")


# ------------------------------------------------------------------------------------------------------- before it runs


def test_a_command_is_run_if_the_caller_allows_it(tmp_path):
    assert a("true", tmp_path).refusal(Permissions(commands=True)) is None
    for permissions in (Permissions(), Permissions(imports=True)):
        assert "say --allow-command to run `true`" in str(a("true", tmp_path).refusal(permissions))


def test_placeholders_are_settings_and_words_of_the_trial(tmp_path):
    trainable = a(
        "{python} t.py --rate={rate} {name} '{}' {seed} {folder} {settings_file} {data_path} {device}", tmp_path
    )
    given = trainable.arguments({"rate": 0.5, "name": "two words; rm *"}, 7, Path("/trial"), HERE)
    assert given == [
        sys.executable, "t.py", "--rate=0.5", "two words; rm *", "{}", "7", "/trial", "/trial/settings.json",
        "/data/one:/data/two", "cpu",
    ]  # fmt: skip


def test_a_placeholder_that_no_setting_fills_is_a_fault_of_the_study(tmp_path):
    ((path, message),) = a("train {lerning_rate}", tmp_path).faults({"learning_rate": 1})
    assert path is None
    assert "'{lerning_rate}' is no setting" in message and "did you mean 'learning_rate'?" in message
    assert not a("train {learning_rate} ${lerning_rate}", tmp_path).faults({"learning_rate": 1})


def test_a_setting_that_is_hidden_by_a_word_of_the_trial_is_a_fault_of_the_study(tmp_path):
    assert [path for path, _ in a("train {seed}", tmp_path).faults({"seed": 1})] == [("seed",)]
    assert not a("train {rate}", tmp_path).faults({"seed": 1, "rate": 1})


def test_the_files_of_a_command_are_its_own(tmp_path):
    for files in (
        {"metrics_file": "record.json"},
        {"progress_file": "history.jsonl"},
        {"progress_file": "metrics.json"},
    ):
        ((path, message),) = a("true", tmp_path, **files).faults({})
        assert path is None and "is taken" in message


def test_a_program_that_is_not_there_is_refused_before_the_trials(tmp_path):
    (tmp_path / "train.sh").write_text("#!/bin/sh\n")
    for template in ("no-such-program --x", "./train.sh", "./other.sh", "{program} {seed}"):
        trainable = a(template, tmp_path)
        with pytest.raises(Unprepared, match="with which the command begins, is no program in") as raised:
            trainable.prepare({"program": "no-such-program"}, HERE)
        assert raised.value.path is None
    (tmp_path / "train.sh").chmod(0o755)
    for template in ("./train.sh", "sh -c true", "{python} -c pass", str(tmp_path / "train.sh")):
        a(template, tmp_path).prepare({}, HERE)


def test_two_commands_are_two_trainables(tmp_path):
    identities = [
        a("train {rate}", tmp_path), a("train {seed}", tmp_path), Command(2, (), tmp_path, "train {rate}", "m", "p"),
    ]  # fmt: skip
    assert len({json.dumps(one.identity()) for one in identities}) == 3


# ----------------------------------------------------------------------------------------------------- what it is given


def test_a_command_has_its_settings_in_a_file_and_its_words_in_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/of/the/caller")
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    program = "import json, os, sys; print(json.dumps([dict(os.environ), os.getcwd(), sys.stdin.read()]))"
    (tmp_path / "train.py").write_text(program)
    values = {"rate": 0.5, "deep": {"name": "é"}}
    with pytest.raises(ValueError, match="without metrics.json"):
        run_in(tmp_path, a("{python} train.py", tmp_path), values)
    trial = tmp_path / "trial"
    environment, folder, typed = json.loads((trial / "output.txt").read_text().splitlines()[-1])
    assert environment.items() >= {
        "ORCHESTRATE_SEED": "7", "ORCHESTRATE_FOLDER": str(trial), "ORCHESTRATE_DEVICE": "cpu",
        "ORCHESTRATE_SETTINGS_FILE": str(trial / "settings.json"), "ORCHESTRATE_THREADS": "2",
        "ORCHESTRATE_DATA_PATH": "/data/one:/data/two", "ORCHESTRATE_PYTHON": sys.executable,
    }.items()  # fmt: skip
    assert (environment["PYTHONPATH"], environment["OMP_NUM_THREADS"]) == ("/of/the/caller", "2")
    assert environment["PATH"] == os.environ["PATH"]
    assert (folder, typed) == (str(tmp_path), "")
    assert json.loads((trial / "settings.json").read_text()) == values


def test_what_lies_in_the_studys_folder_does_not_stand_in_for_a_library(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name in ("ctypes", "os", "signal", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not the library')")
    run_in(tmp_path, shell(DONE, tmp_path))


def test_signals_have_their_defaults_in_a_command(tmp_path):
    # a writer whose reader has gone is ended by SIGPIPE, unless that is ignored: it then complains
    trainable = shell(f"(yes; echo $? > {tmp_path}/code) | head -n 1 > /dev/null\n{DONE}", tmp_path)
    run_in(tmp_path, trainable)
    assert "Broken pipe" not in (tmp_path / "trial" / "output.txt").read_text()
    assert not (tmp_path / "code").exists() or (tmp_path / "code").read_text() == "141\n"


# ------------------------------------------------------------------------------------------------------- what it leaves


def test_a_command_leaves_its_scores_and_facts_in_a_file(tmp_path):
    (tmp_path / "plain.json").write_text('{"test/accuracy": 0.5, "loss": 2}')
    facts = {"metrics": {"test/accuracy": 0.5}, "selected_epoch": 3, "size": [1, 2]}
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    plain = run_in(tmp_path, a("cp plain.json {folder}/metrics.json", tmp_path))
    assert (plain["metrics"], plain["selected_epoch"]) == ({"test/accuracy": 0.5, "loss": 2.0}, None)
    told = run_in(tmp_path, a("cp facts.json {folder}/scores.json", tmp_path, metrics_file="scores.json"))
    assert {name: told[name] for name in facts} == facts


@pytest.mark.parametrize(
    ("left", "message"),
    [
        (None, "the command ended without metrics.json in its folder"),
        ("", "metrics.json is no JSON"),
        ('{"test/accuracy": 0.5', "metrics.json is no JSON"),
        ("[1, 2]", r"`metrics` of metrics.json is \[1, 2\], wanted a mapping"),
        ('{"test/accuracy": "high"}', "has test/accuracy = 'high', wanted numbers"),
        ('{"test": {"accuracy": 0.5}}', "wanted numbers"),
        ('{"metrics": {"f1": 1}, "selected_epoch": 1.5}', "`selected_epoch` of metrics.json is 1.5"),
    ],
)
def test_a_command_that_leaves_something_else_has_failed(tmp_path, left, message):
    (tmp_path / "left").write_text(left or "")
    trial = tmp_path / "trial"
    trial.mkdir()
    (trial / "metrics.json").write_text('{"test/accuracy": 99}')  # an earlier attempt's
    with pytest.raises(ValueError, match=message):
        run_in(tmp_path, a("true" if left is None else "cp left {folder}/metrics.json", tmp_path))


def test_what_a_command_prints_is_kept_and_its_last_lines_tell_why_it_failed(tmp_path):
    script = "i=0; while [ $i -lt 50 ]; do i=$((i+1)); echo line $i; done; echo 'no such column' >&2; exit 3"
    with pytest.raises(CommandFailed) as raised:
        run_in(tmp_path, shell(script, tmp_path))
    first, *last = str(raised.value).splitlines()
    assert first == "the command ended with code 3"
    assert last == [*(f"line {n}" for n in range(32, 51)), "no such column"]
    assert "line 1\n" in (tmp_path / "trial" / "output.txt").read_text()
    with pytest.raises(CommandFailed) as raised:
        run_in(tmp_path, shell("echo once more; exit 3", tmp_path))
    assert str(raised.value).splitlines() == ["the command ended with code 3", "once more"]
    assert cause_of(raised.value) == "program"


@pytest.mark.parametrize(
    ("script", "kind", "message", "cause"),
    [
        ("kill -KILL $$", CommandCutShort, "was ended by SIGKILL", "infrastructure"),
        ("kill -TERM $$", CommandCutShort, "was ended by SIGTERM", "infrastructure"),
        ("sh -c 'kill -KILL $$'; exit $?", CommandCutShort, "was ended by SIGKILL", "infrastructure"),
        ("exit 75", CommandCutShort, "code 75, which asks for another try", "infrastructure"),
        ("kill -ABRT $$", CommandFailed, "was ended by SIGABRT", "program"),
        ("exit 255", CommandFailed, "ended with code 255", "program"),
        ("echo CUDA out of memory; exit 1", CommandFailed, "ended with code 1", "memory"),
        ("echo No space left on device; exit 1", CommandFailed, "ended with code 1", "disk"),
    ],
)
def test_how_a_command_ends_decides_whether_it_is_tried_again(tmp_path, script, kind, message, cause):
    with pytest.raises(kind, match=message) as raised:
        run_in(tmp_path, shell(script, tmp_path))
    assert cause_of(raised.value) == cause


def test_a_program_that_cannot_be_started_has_failed(tmp_path):
    with pytest.raises(CommandFailed, match="code 127\nno-such-program: No such file or directory"):
        run_in(tmp_path, a("no-such-program", tmp_path))


def test_a_short_command_takes_no_longer_for_being_followed(tmp_path):
    trainable = shell(DONE, tmp_path)
    started = time.monotonic()
    for _ in range(5):
        run_in(tmp_path, trainable)
    assert time.monotonic() - started < 5 * 0.5  # two starts of a process each, on a machine that does other things


# ------------------------------------------------------------------------------------------------------------- progress


def test_epochs_are_told_while_the_command_runs(tmp_path):
    told, told_at = [], {}

    class Told(list):
        def append(self, given):
            super().append(given)
            told_at[given["epoch"]] = (tmp_path / "trial" / "go").exists()
            (tmp_path / "trial" / "go").touch()

    told = Told()
    script = f"""
        cd $ORCHESTRATE_FOLDER
        echo '{line(1)}' >> progress.jsonl
        while [ ! -e go ]; do sleep 0.02; done
        echo '{line(2)}' >> progress.jsonl
        printf %s '{line(3)}' >> progress.jsonl
        {DONE}
    """
    run_in(tmp_path, shell(script, tmp_path), told=told)
    assert epochs(told) == [1, 2, 3]
    assert told_at == {1: False, 2: True, 3: True}
    assert len((tmp_path / "trial" / "history.jsonl").read_text().splitlines()) == 3


def test_a_line_that_is_being_written_is_waited_for(tmp_path):
    half, rest = line(1)[:20], line(1)[20:]
    script = f"""
        cd $ORCHESTRATE_FOLDER
        printf %s '{half}' >> progress.jsonl; sleep 0.5; echo '{rest}' >> progress.jsonl
        echo >> progress.jsonl
        {DONE}
    """
    told = []
    run_in(tmp_path, shell(script, tmp_path), told=told)
    assert epochs(told) == [1]


@pytest.mark.parametrize("bad", ["epoch 1: 0.5", '{"epoch": 1}', '{"epoch": "one", "metrics": {}}', "[1]", "é"])
def test_a_line_that_is_no_report_ends_the_command(tmp_path, bad):
    script = f"cd $ORCHESTRATE_FOLDER; echo '{line(1)}' > progress.jsonl; echo '{bad}' >> progress.jsonl; sleep 60"
    told = []
    with pytest.raises(ValueError, match=r"line 2 of progress.jsonl"):
        run_in(tmp_path, shell(script, tmp_path), told=told)
    assert epochs(told) == [1]


def test_why_a_command_failed_is_not_hidden_by_its_last_line(tmp_path):
    script = f"cd $ORCHESTRATE_FOLDER; echo '{line(1)}' > progress.jsonl; echo oh >> progress.jsonl; exit 3"
    told = []
    with pytest.raises(CommandFailed, match="code 3"):
        run_in(tmp_path, shell(script, tmp_path), told=told)
    assert epochs(told) == [1]


def test_a_command_that_goes_on_tells_what_is_new_and_what_nobody_had_heard(tmp_path):
    trial = tmp_path / "trial"
    (trial / "last").mkdir(parents=True)
    (trial / "history.jsonl").write_text(line(1) + "\n" + line(2) + "\n")
    # epoch 3 was written when the process that followed was gone already, and epoch 4 was cut off
    (trial / "progress.jsonl").write_text("\n".join([line(1), "a line that failed", line(2), line(3), line(4)[:9]]))
    told = []
    run_in(tmp_path, shell(f"cd $ORCHESTRATE_FOLDER; echo '{line(4)}' >> progress.jsonl; {DONE}", tmp_path), told=told)
    assert epochs(told) == [3, 4]
    assert (trial / "progress.jsonl").read_text().splitlines() == [line(1), line(2), line(3), line(4)]
    assert len((trial / "history.jsonl").read_text().splitlines()) == 4
    assert not (trial / "last").exists()


def test_a_command_that_begins_again_is_followed_again(tmp_path):
    trial = tmp_path / "trial"
    trial.mkdir()
    for name in ("progress.jsonl", "history.jsonl"):
        (trial / name).write_text(line(1, 0.1) + "\n" + line(2, 0.2) + "\n")
    told = []
    script = f"cd $ORCHESTRATE_FOLDER; echo '{line(1, 0.3)}' >> progress.jsonl; {DONE}"
    run_in(tmp_path, shell(script, tmp_path), told=told)
    assert [(one["epoch"], one["metrics"]["dev/accuracy"]) for one in told] == [(1, 0.3)]
    assert (trial / "history.jsonl").read_text().splitlines() == [line(1, 0.3)]


@pytest.mark.parametrize("waits", ["sleep 0.5", "true"])
def test_a_file_that_is_written_anew_tells_what_differs(tmp_path, waits):
    trial = tmp_path / "trial"
    (trial / "last").mkdir(parents=True)
    for name in ("progress.jsonl", "history.jsonl"):
        (trial / name).write_text(line(1, 0.1) + "\n" + line(2, 0.2) + "\n")
    script = f"""
        cd $ORCHESTRATE_FOLDER
        echo '{line(1, 0.1)}' > progress.jsonl; {waits}
        echo '{line(2, 0.3)}' >> progress.jsonl; {DONE}
    """
    told = []
    run_in(tmp_path, shell(script, tmp_path), told=told)
    assert (told[-1]["epoch"], told[-1]["metrics"]["dev/accuracy"]) == (2, 0.3)
    assert (trial / "history.jsonl").read_text().splitlines() == [line(1, 0.1), line(2, 0.3)]


def test_a_file_that_has_become_shorter_tells_that_there_is_less(tmp_path):
    trial = tmp_path / "trial"
    (trial / "last").mkdir(parents=True)
    for name in ("progress.jsonl", "history.jsonl"):
        (trial / name).write_text(line(1) + "\n" + line(2) + "\n")
    run_in(tmp_path, shell(f"echo '{line(1)}' > $ORCHESTRATE_FOLDER/progress.jsonl; {DONE}", tmp_path))
    assert (trial / "history.jsonl").read_text().splitlines() == [line(1)]


# -------------------------------------------------------------------------------------------------------------- its end


def test_nothing_that_a_command_has_started_outlives_it(tmp_path):
    run_in(tmp_path, shell(f"sleep 60 & echo $! > {tmp_path}/pids; {DONE}", tmp_path))
    (pid,) = pids(tmp_path / "pids", 1)
    assert ended(pid)


def test_an_interruption_lets_a_command_write_what_it_wants_to_keep(tmp_path):
    script = f"""
        trap 'sleep 0.3; echo saved > {tmp_path}/saved; exit 0' TERM
        echo '{line(1)}' > $ORCHESTRATE_FOLDER/progress.jsonl
        sleep 60 & echo $! > {tmp_path}/pids; wait
    """

    class Interrupting(list):
        def append(self, given):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_in(tmp_path, shell(script, tmp_path), told=Interrupting())
    assert (tmp_path / "saved").read_text() == "saved\n"
    assert ended(pids(tmp_path / "pids", 1)[0])


def test_a_command_that_does_not_heed_an_interruption_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_GRACE_S", 0.5)
    script = f"""
        trap '' TERM
        echo $$ > {tmp_path}/pids; echo oh > $ORCHESTRATE_FOLDER/progress.jsonl
        while true; do sleep 1; done
    """
    with pytest.raises(ValueError, match="line 1 of progress.jsonl"):
        run_in(tmp_path, shell(script, tmp_path))
    assert ended(pids(tmp_path / "pids", 1)[0], within=1.0)


IN_A_THREAD = """
import sys, threading
from pathlib import Path
from tests.orchestrator.trainables.test_command import a, run_in
folder = Path(sys.argv[1])
thread = threading.Thread(target=run_in, args=(folder, a("sh train.sh", folder)))
thread.start()
thread.join()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_a_command_does_not_outlive_a_worker_that_is_killed(tmp_path):
    # the command ignores what can be ignored, and has started a process of its own
    script = f"trap '' TERM HUP; sleep 60 & echo $! $$ > {tmp_path}/pids; wait; sleep 60"
    (tmp_path / "train.sh").write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    worker = subprocess.Popen([sys.executable, "-c", IN_A_THREAD, str(tmp_path)], env=environment)
    started = pids(tmp_path / "pids", 2)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert all(ended(pid) for pid in started)


# -------------------------------------------------------------------------------------------------------- whole studies

TRAIN = """echo '{"dev/accuracy": 0.5, "test/accuracy": 0.5}' > $ORCHESTRATE_FOLDER/metrics.json"""


def test_a_study_names_its_command_files_inputs_and_epoch(tmp_path):
    more = "inputs: [train.sh]\nmetrics_file: scores.json\ncode_epoch: 3\n"
    text = study(command_lines("sh train.sh {rate}", more))
    wanted = Command(3, ("train.sh",), tmp_path, "sh train.sh {rate}", "scores.json", "progress.jsonl")
    assert of(load(write(tmp_path, text))) == wanted


def test_what_is_wrong_with_a_command_stands_at_its_line(tmp_path, monkeypatch):
    untracked(monkeypatch)
    for text, options, message in (
        ("sh {rat}", {}, r"study.yaml:[67]:\d+ trainable.*: '\{rat\}' is no setting, .*did you mean 'rate'\?"),
        ("sh {rate}", {"permissions": Permissions()}, "study.yaml:6:3 trainable: .*say --allow-command to run `sh"),
        ("no-such-program", {}, "study.yaml:6:3 trainable: 'no-such-program', with which"),
    ):
        with pytest.raises(StudyError, match=message):
            run(tmp_path, study(command_lines(text)), **options)


def test_a_command_that_was_killed_is_tried_again_and_goes_on(tmp_path, monkeypatch):
    untracked(monkeypatch)
    (tmp_path / "train.sh").write_text(f"""
        cd $ORCHESTRATE_FOLDER
        if [ -e last ]; then echo '{line(2)}' >> progress.jsonl; {TRAIN}; exit; fi
        mkdir last; echo '{line(1)}' >> progress.jsonl; kill -KILL $$
    """)
    outcome = run(tmp_path, study(command_lines("sh train.sh")))
    (trial,) = outcome.plan.trials
    assert outcome.exit_code == Exit.DONE and trial.record is not None
    assert trial.record.attempts == 2 and "was ended by SIGKILL" in trial.record.earlier[0].failure.message
    history = (tmp_path / "home" / "trials" / trial.key / "history.jsonl").read_text().splitlines()
    assert history == [line(1), line(2)]


def test_a_command_that_fails_is_not_tried_again(tmp_path, monkeypatch):
    untracked(monkeypatch)
    outcome = run(tmp_path, study(command_lines("sh -c 'echo no such column; exit 3'")))
    (trial,) = outcome.failed
    assert trial.record is not None and trial.record.failure is not None
    assert trial.record.attempts == 1 and "no such column" in trial.record.failure.last_lines
