"""What no report needs goes, with all its links; what anything needs stays; and the bytes told are the bytes freed."""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import get_args

import pytest

from orchestrator import cleaning
from orchestrator.cleaning import as_json, lines, plan_cleaning
from orchestrator.errors import StudyError
from orchestrator.store import Home, TrialRecord, write_record
from orchestrator.words import size
from reports.records import StudyResults, TrialResult, Variant
from reports.settings import METRICS, ComparisonSettings

BLOCK = 4096
STATES = get_args(TrialRecord.model_fields["status"].annotation)


@pytest.fixture
def home(tmp_path):
    made = Home.at(tmp_path / "home")
    made.trials.mkdir(parents=True)
    return made


def put(path, n_bytes=BLOCK):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(os.urandom(n_bytes))
        os.fsync(file.fileno())  # blocks are allocated when a file is written out
    return path


def add(home, key, status="finished", *, variant="base", seed=1, folders=("checkpoint",), linked=True):
    """A trial with all that a real one has; its checkpoint is linked into its MLflow run, as `tracking` does it."""
    record = TrialRecord(
        key=key,
        study="sample",
        budget="full",
        variant=variant,
        seed=seed,
        status=status,
        started="2026-01-01T00:00:00+00:00",
        settings={},
        data_digest="d",
        code_epoch=1,
    )
    folder = home.trial(key)
    folder.mkdir()
    write_record(folder, record)
    for name in ("history.jsonl", "predictions/dev.json", "counts/dev.json"):
        put(folder / name, 10)
    for name in folders:
        put(folder / name / "model.safetensors", 10 * BLOCK)
        put(folder / name / "tokenizer" / "vocabulary.txt", 10)
    artifacts = artifacts_of(home, key)
    shutil.copytree(folder / "predictions", artifacts / "predictions", copy_function=os.link)
    if linked and "checkpoint" in folders:
        shutil.copytree(folder / "checkpoint", artifacts / "checkpoint", copy_function=os.link)
    return folder


def artifacts_of(home, key):
    return home.artifacts / "sample" / f"run-of-{key}" / "artifacts"


def report(home, scores, study="sample", budget="full"):
    """A report of one metric: variant → key → score on dev; seeds count from 1."""
    results = StudyResults(
        study=study,
        question="?",
        budget=budget,
        budget_note=None if budget == "full" else "small",
        select_metric="dev/relation_strict_f1",
        seeds=tuple(range(1, 1 + max(len(keys) for keys in scores.values()))),
        variants=tuple(Variant(name, name) for name in scores),
        baseline=None,
        trials=tuple(
            TrialResult(
                key=key,
                variant=name,
                seed=seed,
                status="failed" if score is None else "finished",
                # on test it is the other way round: nothing is selected by that
                metrics={} if score is None else {m: score if m.startswith("dev/") else 100 - score for m in METRICS},
            )
            for name, keys in scores.items()
            for seed, (key, score) in enumerate(keys.items(), 1)
        ),
        report=ComparisonSettings(),
    )
    folder = home.report(study, budget)
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(results.to_json(), encoding="utf-8")
    return folder


def files(home):
    """Every name in the home but that of the lock, with its file's number."""
    return {p: p.lstat().st_ino for p in home.root.rglob("*") if not p.is_dir() and p.name != ".lock"}


def allocated(home):
    """Bytes on disk of all files, each once."""
    return sum({p.lstat().st_ino: p.lstat().st_blocks * 512 for p in files(home)}.values())


def cleared(found):
    return [(item.what, item.key) for item in found.items]


def kept(found):
    return [(item.what, item.key) for item in found.kept]


# -------------------------------------------------------------------------------------------------- what a report needs


def test_the_best_seed_of_each_variant_of_a_report_keeps_its_checkpoint(home):
    for key in ("aa01", "aa02", "bb01", "bb02"):
        add(home, key, variant=key[:2], seed=int(key[-1]))
    report(home, {"aa": {"aa01": 50.0, "aa02": 60.0}, "bb": {"bb01": 40.0, "bb02": 40.0}})
    found = plan_cleaning(home)
    assert kept(found) == [("checkpoint", "aa02"), ("checkpoint", "bb01")]
    assert cleared(found) == [("checkpoint", "aa01"), ("checkpoint", "bb02")]
    assert found.kept[0].why == "the best seed of 'aa' of sample (dev/relation_strict_f1 60.00)"
    assert found.items[0].why == "'aa' of sample has a better seed"


def test_a_trial_that_two_reports_share_is_kept_for_either(home):
    for key in ("aa01", "aa02"):
        add(home, key)
    report(home, {"base": {"aa01": 50.0, "aa02": 60.0}})
    report(home, {"base": {"aa01": 50.0}}, budget="cpu")
    found = plan_cleaning(home)
    assert kept(found) == [("checkpoint", "aa01"), ("checkpoint", "aa02")] and not found.items
    assert found.kept[0].why.startswith("the best seed of 'base' of sample, budget cpu")


def test_a_trial_in_no_report_keeps_its_record_only(home):
    folder = add(home, "aa01")
    found = plan_cleaning(home)
    assert [(item.what, item.key, item.why) for item in found.items] == [("checkpoint", "aa01", "in no report")]
    found.apply()
    assert sorted(os.listdir(folder)) == ["counts", "history.jsonl", "predictions", "record.json"]
    assert sorted(os.listdir(artifacts_of(home, "aa01"))) == ["predictions"]


def test_where_the_best_checkpoint_is_gone_the_best_that_is_there_counts(home):
    add(home, "aa01")
    add(home, "aa02", folders=())
    add(home, "aa03", "failed")  # run again since the report
    report(home, {"base": {"aa01": 50.0, "aa02": 60.0, "aa03": 70.0}})
    assert kept(plan_cleaning(home)) == [("checkpoint", "aa01")]


def test_all_finished_or_none_can_be_kept_whatever_reports_say(home):
    add(home, "aa01")
    add(home, "aa02", "failed")
    (home.report("sample", "full")).mkdir(parents=True)
    (home.report("sample", "full") / "record.json").write_text("{}")
    all_finished = plan_cleaning(home, "all-finished")
    assert (kept(all_finished), cleared(all_finished)) == ([("checkpoint", "aa01")], [("checkpoint", "aa02")])
    assert cleared(plan_cleaning(home, "none")) == [("checkpoint", "aa01"), ("checkpoint", "aa02")]
    with pytest.raises(StudyError, match="record.json cannot be read .* write it again by `orchestrate report`"):
        plan_cleaning(home, "best")


def test_a_home_without_trials_is_refused(tmp_path):
    with pytest.raises(StudyError, match="no trials under"):
        plan_cleaning(Home.at(tmp_path / "mistyped"))


# ------------------------------------------------------------------------------------------------------------ going on


@pytest.mark.parametrize("status", STATES)
def test_what_a_trial_goes_on_from_stays_unless_it_is_given_up(home, status):
    add(home, "aa01", status, folders=("checkpoint", "last"))
    found, given_up = plan_cleaning(home), plan_cleaning(home, interrupted=True)
    both = [("last", "aa01"), ("checkpoint", "aa01")]
    assert cleared(given_up) == both and not given_up.kept
    if status in cleaning.GOES_ON:
        # its best epoch may be over, and then it is in the checkpoint alone
        assert kept(found) == both and not found.items
    else:
        assert cleared(found) == both and not found.kept


def test_of_a_finished_trial_that_is_kept_the_last_state_is_left_over(home):
    folder = add(home, "aa01", folders=("checkpoint", "last", ".last.old", ".checkpoint.old"))
    report(home, {"base": {"aa01": 50.0}})
    plan_cleaning(home).apply()
    assert sorted(os.listdir(folder)) == ["checkpoint", "counts", "history.jsonl", "predictions", "record.json"]


def test_a_trial_that_begins_again_needs_no_checkpoint(home):
    add(home, "aa01", "failed")
    assert plan_cleaning(home).items[0].why == "the trial is failed and begins again"


def test_the_old_state_is_what_a_trial_goes_on_from_if_there_is_no_other(home):
    alone = add(home, "aa01", "interrupted", folders=(".last.old", "checkpoint"))
    beside = add(home, "aa02", "interrupted", folders=(".last.old", "last", "checkpoint"))
    plan_cleaning(home).apply()
    assert (alone / ".last.old").exists() and (alone / "checkpoint").exists()
    assert (beside / "last").exists() and not (beside / ".last.old").exists()


def test_a_given_up_trial_leaves_nothing_that_it_could_go_on_from(home, monkeypatch):
    folder = add(home, "aa01", "interrupted", folders=(".last.old", "last", "checkpoint"))
    order = []
    remove = cleaning._remove
    monkeypatch.setattr(cleaning, "_remove", lambda path: (order.append(path.name), remove(path))[1])
    plan_cleaning(home, interrupted=True).apply()
    assert order == [".last.old", "last", "checkpoint"]
    assert sorted(os.listdir(folder)) == ["counts", "history.jsonl", "predictions", "record.json"]


# --------------------------------------------------------------------------------------------------------------- bytes


def test_a_plan_changes_nothing_and_applying_it_frees_the_bytes_that_it_tells(home):
    add(home, "aa01")
    add(home, "aa02", folders=("checkpoint", "last"))
    add(home, "aa03", "interrupted", folders=("checkpoint", "last"))
    report(home, {"base": {"aa01": 60.0, "aa02": 50.0}})
    before, n_bytes = files(home), allocated(home)
    found = plan_cleaning(home)
    assert files(home) == before
    assert found.bytes >= 2 * 10 * BLOCK

    done = found.apply()
    assert (done.items, done.bytes) == (found.items, found.bytes)
    assert n_bytes - allocated(home) == found.bytes
    assert (
        sorted(path.name for path in home.artifacts.glob("*/*/artifacts/*")) == ["checkpoint"] * 2 + ["predictions"] * 3
    )

    again = plan_cleaning(home)
    assert not again.items and again.bytes == 0
    after = files(home)
    assert again.apply().items == () and files(home) == after


def test_a_file_is_counted_as_freed_only_if_all_its_links_go(home, tmp_path):
    folder = add(home, "aa01")
    n_bytes = allocated(home)
    os.link(folder / "checkpoint" / "model.safetensors", tmp_path / "mine")
    found = plan_cleaning(home)
    (item,) = found.items
    assert item.bytes_elsewhere == 10 * BLOCK and 0 < item.bytes < BLOCK * 2
    found.apply()
    assert n_bytes - allocated(home) == item.bytes + item.bytes_elsewhere
    assert (tmp_path / "mine").stat().st_nlink == 1


def test_a_file_that_a_kept_checkpoint_shares_stays_with_its_links(home):
    one, other = add(home, "aa01"), add(home, "aa02", folders=(), linked=False)
    shutil.copytree(one / "checkpoint", other / "checkpoint", copy_function=os.link)
    report(home, {"base": {"aa01": 60.0, "aa02": 50.0}})
    n_bytes = allocated(home)
    found = plan_cleaning(home)
    assert cleared(found) == [("checkpoint", "aa02")] and found.bytes == 0 and not found.items[0].links
    found.apply()
    assert allocated(home) == n_bytes and not (other / "checkpoint").exists()
    assert (artifacts_of(home, "aa01") / "checkpoint" / "model.safetensors").exists()


def test_a_file_that_two_cleared_checkpoints_share_is_counted_once(home):
    one, other = add(home, "aa01"), add(home, "aa02", folders=(), linked=False)
    shutil.copytree(one / "checkpoint", other / "checkpoint", copy_function=os.link)
    n_bytes = allocated(home)
    found = plan_cleaning(home)
    found.apply()
    assert n_bytes - allocated(home) == found.bytes > 0


def test_a_folder_that_a_person_linked_is_left_to_them(home, tmp_path):
    put(tmp_path / "elsewhere" / "model.safetensors")
    folder = add(home, "aa01", folders=())
    (folder / "checkpoint").symlink_to(tmp_path / "elsewhere")
    assert not plan_cleaning(home, "none").items
    # one inside a checkpoint goes, but not what it leads to
    (add(home, "aa02") / "checkpoint" / "more").symlink_to(tmp_path / "elsewhere")
    plan_cleaning(home, "none").apply()
    assert (tmp_path / "elsewhere" / "model.safetensors").exists() and not (home.trial("aa02") / "checkpoint").exists()


# --------------------------------------------------------------------------------------------------- drivers and litter


def litter(home, folder):
    """What killed processes leave."""
    return [
        put(folder / ".record.json.abcd_123"),
        put(folder / ".history.jsonl.abcd_123"),
        put(folder / ".last.new" / "model.safetensors"),
        put(folder / ".checkpoint.going" / "model.safetensors"),
        put(home.root / ".tune-x" / "trials" / "state.json"),
        put(home.root / "patches" / ".0123456789abcdef.patch.abcd_123"),
    ]


def age(*folders):
    """Make all in these folders two days old."""
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            os.utime(path, (time.time() - 2 * 24 * 3600,) * 2)


def test_what_killed_processes_were_writing_is_cleared(home):
    folder = add(home, "aa01", "failed", folders=())
    left = litter(home, folder)
    kept_patch = put(home.root / "patches" / "0123456789abcdef.patch")
    n_bytes = allocated(home)
    found = plan_cleaning(home)
    assert {item.what for item in found.items} == {"temporary"} and found.bytes == len(left) * BLOCK
    found.apply()
    assert n_bytes - allocated(home) == found.bytes
    assert not any(path.exists() for path in left) and kept_patch.exists()
    assert sorted(os.listdir(folder)) == ["counts", "history.jsonl", "predictions", "record.json"]
    assert not (home.root / ".tune-x").exists()


def test_a_report_that_may_be_being_written_is_left_alone_for_a_day(home):
    folder = home.report("sample", "cpu")
    put(folder / ".report-x" / "table.md")
    assert not plan_cleaning(home).items
    age(folder)
    plan_cleaning(home).apply()
    assert os.listdir(folder) == []


def test_while_a_driver_is_at_work_nothing_of_it_is_listed_and_nothing_is_cleared(home):
    running = add(home, "aa01", "running", folders=("checkpoint", "last", ".last.old"))
    folder = add(home, "aa02", folders=("checkpoint", "last"))
    litter(home, folder)
    with home.held():
        found = plan_cleaning(home, interrupted=True)
        assert found.in_use and cleared(found) == [("last", "aa02"), ("checkpoint", "aa02")]
        before = files(home)
        with pytest.raises(StudyError, match="is running a study"):
            found.apply()
        assert files(home) == before
        age(folder, home.root / ".tune-x")
        assert [item.what for item in plan_cleaning(home).items].count("temporary") == 2
    assert (running / "last").exists()


def test_what_changed_since_it_was_planned_is_left_for_the_next_time(home):
    add(home, "aa01", "interrupted", folders=("checkpoint", "last"))
    add(home, "aa02")
    found = plan_cleaning(home, interrupted=True)
    put(home.trial("aa01") / ".last.old" / "model.safetensors")
    assert cleared(found.apply()) == [("checkpoint", "aa02")]
    assert (home.trial("aa01") / "checkpoint").exists() and (home.trial("aa01") / "last").exists()


def test_a_cleaning_that_is_cut_short_leaves_no_half_checkpoint_and_the_next_ends_it(home, monkeypatch):
    folder = add(home, "aa01")

    def cut_short(path):
        raise OSError(5, "input/output error", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(cleaning.shutil, "rmtree", cut_short)
        with pytest.raises(StudyError, match="cannot be removed: input/output error"):
            plan_cleaning(home).apply()
    assert not (folder / "checkpoint").exists()
    plan_cleaning(home).apply()
    assert sorted(os.listdir(folder)) == ["counts", "history.jsonl", "predictions", "record.json"]


# ------------------------------------------------------------------------------------------------------------ rendering


def test_lines_name_each_item_with_its_reason_and_end_in_totals(home):
    add(home, "aa01")
    add(home, "aa02", seed=2, folders=("checkpoint", "last"))
    report(home, {"base": {"aa01": 60.0, "aa02": 50.0}})
    found = plan_cleaning(home)
    told = lines(found, applied=False)
    assert [" ".join(line.split()) for line in told] == [
        f"last {size(found.items[0].bytes)} aa02 sample, base, seed 2 left over: the trial is finished",
        f"checkpoint {size(found.items[1].bytes)} aa02 sample, base, seed 2 'base' of sample has a better seed",
        f"to clear: 1 checkpoint ({size(found.items[1].bytes)}), 1 state to go on from ({size(found.items[0].bytes)}); "
        f"{size(found.bytes)} in all",
        "with them go 2 links among MLflow's artifacts; runs keep their parameters, metrics and other artifacts",
        f"kept: 1 checkpoint ({size(found.kept[0].bytes)}); {size(found.kept[0].bytes)} in all",
        "nothing was changed; --apply clears it",
    ]
    done = lines(found.apply(), applied=True)
    assert done[2].startswith("cleared: ") and done[3].startswith("with them went 2 links")
    assert lines(plan_cleaning(home), applied=False)[0] == "nothing to clear"


def test_the_json_has_paths_relative_to_the_home(home):
    add(home, "aa01")
    told = json.loads(json.dumps(as_json(plan_cleaning(home), applied=False)))
    (item,) = told["items"]
    assert item["paths"] == ["trials/aa01/checkpoint"] and item["bytes"] == told["bytes"] > 0
    assert "mlartifacts/sample/run-of-aa01/artifacts/checkpoint/model.safetensors" in item["links"]


@pytest.mark.parametrize(
    ("n_bytes", "told"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 * 2**30, "3.0 GiB"), (2**42, "4096.0 GiB")],
)
def test_sizes_are_told_in_the_unit_that_leaves_the_fewest_digits(n_bytes, told):
    assert size(n_bytes) == told
