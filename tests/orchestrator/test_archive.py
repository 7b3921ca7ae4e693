"""Trials from one home to another: whole, verified, once, and never over what has finished."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import itertools
import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from orchestrator import execution
from orchestrator.archive import File, Manifest, exporting, fault, importing
from orchestrator.archive.exporting import export
from orchestrator.archive.importing import import_archives, put_back, verify
from orchestrator.errors import Exit, StudyError
from orchestrator.execution import Options
from orchestrator.index import read_rows
from orchestrator.plan import plan
from orchestrator.schema import load
from orchestrator.store import Home, read_record, write_record
from tests.orchestrator.samples import HEAD, SWEEP, write
from tests.orchestrator.standin import RAISES, STANDIN
from tests.orchestrator.test_command import orchestrate

pytestmark = pytest.mark.filterwarnings("default")

ONE = HEAD.replace("seeds: 2", "seeds: 1")
PHASES = ONE + (
    "variants:\n  plain: {}\n"
    "  pre-trained: {settings: {pretraining: {data: {name: builtin, train: 3, dev: 1, test: 1}}}}\n"
)
SEARCH = (
    ONE + "search:\n  trials: 3\n  space:\n    training.learning_rate: {kind: uniform, low: 1.0e-5, high: 1.0e-3}\n"
)


def run(folder: Path, text: str = SWEEP, **more) -> Home:
    folder.mkdir(exist_ok=True)
    options = {"budget": "full", "data": (), "backend": "inline", "trainable": STANDIN, "offline": True, **more}
    execution.run(load(write(folder, text)), Home.at(folder / "home"), Options(**options))
    return Home.at(folder / "home")


@pytest.fixture
def away(tmp_path):
    return run(tmp_path / "away")


@pytest.fixture
def archive(tmp_path, away):
    return export(away, tmp_path / "trials.tar").file


@pytest.fixture
def home(tmp_path):
    return Home.at(tmp_path / "home")


def content(home: Home) -> dict[str, str | bytes]:
    """All files of a home, without its locks and the index."""
    names = (".lock", ".running")
    files = [path for path in home.root.rglob("*") if path.is_file() and path.name not in names]
    return {path.relative_to(home.root).as_posix(): path.read_bytes() for path in files if "runs.db" not in path.name}


def cut(home: Home, **changes) -> str:
    """Make a trial of a home one that was interrupted; its key."""
    key = min(home.records())
    record = home.record(key)
    assert record is not None
    write_record(home.trial(key), record.model_copy(update={"status": "interrupted", "metrics": {}, **changes}))
    return key


def with_state(home: Home, key: str, epochs: int) -> None:
    lines = (home.trial(key) / "history.jsonl").read_text().splitlines(keepends=True)
    (home.trial(key) / "history.jsonl").write_text("".join(lines[:epochs]))
    (home.trial(key) / "last").mkdir(exist_ok=True)
    (home.trial(key) / "last" / "epoch.json").write_text(json.dumps([json.loads(line) for line in lines[:epochs]]))


def what(imported) -> dict[str, str]:
    return {trial.record.key: trial.what for one in imported for trial in one.trials}


# ---------------------------------------------------------------------------------------------------------- round trip


def test_a_trial_comes_home_as_it_was_and_tells_from_where(tmp_path, away, archive, home):
    (imported,) = import_archives(home, [archive])
    assert set(what([imported]).values()) == {"taken"} and imported.studies == {"sample": ["full"]}
    there, here = content(away), content(home)
    # finished trials leave their weights behind, unless they are asked for
    wanted = {name for name in there if "/checkpoint/" not in name and not name.startswith("cache/")}
    assert here.keys() == wanted
    for name in wanted - {name for name in wanted if name.endswith("record.json")}:
        assert here[name] == there[name]
    for key, record in away.records().items():
        mine = home.record(key)
        assert mine is not None and mine.imported_from is not None
        assert mine.imported_from.archive == "trials.tar"
        assert mine.imported_from.sha256 == hashlib.sha256(archive.read_bytes()).hexdigest()
        assert mine.model_copy(update={"imported_from": None}) == record
    assert read_rows(home.index).keys() == away.records().keys()
    planned = plan(load(write(tmp_path, SWEEP)), "full", home, (), trainable=STANDIN)
    assert {trial.state for trial in planned.trials} == {"cached"}


def test_the_same_trials_make_the_same_bytes_which_other_tools_read(tmp_path, away):
    first, again = (export(away, tmp_path / name) for name in ("one.tar.gz", "two.tar.gz"))
    assert first.file.read_bytes() == again.file.read_bytes() and first.sha256 == again.sha256
    plain = export(away, tmp_path / "plain.tar").file
    assert gzip.decompress(first.file.read_bytes()) == plain.read_bytes()
    with tarfile.open(plain) as found:
        names = found.getnames()
    assert names == ["manifest.json", *sorted(names[1:])] and "sample/study.yaml" in names
    assert first.trials == {"finished": 4} and first.left_out == ()
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"one.tar.gz", "two.tar.gz", "plain.tar"}


def test_a_second_import_changes_nothing(archive, home):
    import_archives(home, [archive])
    before = content(home), {path: path.stat().st_mtime_ns for path in home.root.rglob("record.json")}
    (again,) = import_archives(home, [archive])
    assert {trial.what for trial in again.trials} == {"there"} and again.kept == ()
    assert (content(home), {path: path.stat().st_mtime_ns for path in home.root.rglob("record.json")}) == before


def test_one_archive_may_have_what_another_has(tmp_path, away, home):
    keys = sorted(away.records())
    few = export(away, tmp_path / "few.tar", keys=[key[:8] for key in keys[:2]]).file
    rest = export(away, tmp_path / "all.tar.gz").file
    first, second = import_archives(home, [few, rest])
    assert what([first]) == dict.fromkeys(keys[:2], "taken")
    assert what([second]) == {**dict.fromkeys(keys[:2], "there"), **dict.fromkeys(keys[2:], "taken")}


def test_a_study_takes_the_trials_that_another_has_run_for_it(tmp_path, away):
    other = SWEEP.replace("study: sample", "study: other").replace("0.4]", "0.4, 0.8]")
    run(tmp_path / "away", other)
    done = export(away, tmp_path / "other.tar", ["other"])
    assert done.trials == {"finished": 6} and done.studies == {"other": ["full"]}
    assert export(away, tmp_path / "sample.tar", ["sample"]).trials == {"finished": 4}
    with pytest.raises(StudyError, match="no study 'othr' was run under .*, did you mean 'other'"):
        export(away, tmp_path / "none.tar", ["othr"])
    empty = Home.at(tmp_path / "empty")
    empty.refuse_if_not_writable()
    with pytest.raises(StudyError, match="no trial under .* has been started"):
        export(empty, tmp_path / "none.tar")


def test_a_trial_takes_its_first_phase_with_it_and_what_waits_for_one_its_weights(tmp_path, home):
    away = run(tmp_path / "away", PHASES)
    records = away.records()
    (needs,) = {record.needs for record in records.values()} - {None}
    (second,) = [key for key, record in records.items() if record.needs]
    one = export(away, tmp_path / "one.tar", keys=[second])
    assert one.trials == {"finished": 2}
    names = {file.path for file in verify(one.file).manifest.files}
    assert f"trials/{needs}/record.json" in names and f"trials/{needs}/checkpoint/weights.json" not in names
    shutil.rmtree(away.trial(second))
    waiting = verify(export(away, tmp_path / "waiting.tar").file).manifest
    assert f"trials/{needs}/checkpoint/weights.json" in {file.path for file in waiting.files}
    import_archives(home, [tmp_path / "waiting.tar"])
    run(tmp_path, PHASES)  # in the home that it came to
    mine = home.record(second)
    assert mine is not None and mine.metrics == records[second].metrics
    assert home.record(needs).attempts == 1


def test_a_search_goes_on_at_home_with_what_it_has_suggested(tmp_path, home):
    away = run(tmp_path / "away", SEARCH)
    journal = (away.root / "sample" / "search.jsonl").read_text()
    import_archives(home, [export(away, tmp_path / "search.tar").file])
    assert (home.root / "sample" / "search.jsonl").read_text() == journal
    longer = SEARCH.replace("trials: 3", "trials: 4")
    run(tmp_path, longer)
    assert (home.root / "sample" / "search.jsonl").read_text().startswith(journal)
    # the journal has all that the archive's has, and the study file is the one that was run last
    assert import_archives(home, [tmp_path / "search.tar"])[0].kept == ("sample/study.yaml",)
    other = run(tmp_path / "other", SEARCH.replace("trials: 3", "trials: 2\n  seed: 7"))
    (imported,) = import_archives(home, [export(other, tmp_path / "other.tar").file])
    assert imported.kept == ("sample/search.jsonl", "sample/study.yaml")


@pytest.mark.parametrize(("checkpoints", "n"), [("none", 0), ("needed", 0), ("best", 2), ("all", 4)])
def test_weights_go_as_they_are_asked_for(tmp_path, away, checkpoints, n):
    manifest = verify(export(away, tmp_path / "a.tar", checkpoints=checkpoints).file).manifest
    found = {file.key for file in manifest.files if file.name.startswith("checkpoint/")}
    assert len(found) == n
    if checkpoints == "best":  # the scores of the stand-in rise with the seed
        assert {record.seed for key, record in away.records().items() if key in found} == {2}


def test_a_checkpoint_that_was_left_behind_can_follow(tmp_path, away, archive, home):
    import_archives(home, [archive])
    weights = export(away, tmp_path / "weights.tar", checkpoints="all").file
    assert set(what(import_archives(home, [weights])).values()) == {"taken"}
    assert all((home.trial(key) / "checkpoint" / "weights.json").is_file() for key in home.keys())
    assert set(what(import_archives(home, [weights])).values()) == {"there"}


def test_what_runs_is_left_out_and_named(tmp_path, away):
    key = min(away.records())
    with (away.trial(key) / ".running").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = export(away, tmp_path / "a.tar")
    assert done.trials == {"finished": 3} and done.left_out == (f"trial {key} runs",)
    with away.held():  # as a driver does that is at work
        assert export(away, tmp_path / "a.tar").trials == {"finished": 4}


def test_a_link_does_not_leave_and_is_named(tmp_path, away):
    key = min(away.records())
    (away.trial(key) / "predictions" / "secret.json").symlink_to("/etc/hostname")
    done = export(away, tmp_path / "a.tar")
    assert done.left_out == (f"trials/{key}/predictions/secret.json is a link or no plain file",)


def test_a_file_that_changes_while_it_is_read_leaves_no_archive(tmp_path, away, monkeypatch):
    log = away.trial(min(away.records())) / "log.txt"
    made = exporting.Manifest

    def late(**values):
        log.write_text("something else")
        return made(**values)

    monkeypatch.setattr(exporting, "Manifest", late)
    with pytest.raises(StudyError, match="log.txt changed while it was read; say the same command again"):
        export(away, tmp_path / "a.tar")
    assert not list(tmp_path.glob("a.tar*"))


# -------------------------------------------------------------------------------------------------------- what is here


def test_a_conflict_is_told_with_both_scores_and_the_rest_is_taken(away, archive, home, tmp_path):
    key = min(away.records())
    record = away.record(key)
    other = {**record.metrics, "test/relation_strict_f1": 1.5}
    home.trial(key).mkdir(parents=True)
    write_record(home.trial(key), record.model_copy(update={"metrics": other}))
    (imported,) = import_archives(home, [archive])
    assert len(imported.of("taken")) == 3
    (trial,) = imported.of("conflict")
    there = record.metrics["test/relation_strict_f1"]
    assert trial.record.key == key
    assert trial.told == f"test/relation_strict_f1 1.5 here, {there!r} in the archive"
    assert home.record(key).metrics == other and home.record(key).imported_from is None


def test_a_finished_trial_takes_the_place_of_one_without_an_end_and_never_the_other_way_round(
    tmp_path, away, archive, home
):
    import_archives(home, [archive])
    finished = content(home)
    key = cut(away)
    unfinished = export(away, tmp_path / "unfinished.tar").file
    assert what(import_archives(home, [unfinished]))[key] == "there" and content(home) == finished
    second = Home.at(tmp_path / "second")
    import_archives(second, [unfinished])
    (second.trial(key) / "leftover.txt").write_text("of the attempt before")
    assert what(import_archives(second, [archive]))[key] == "taken"
    mine = {name: value for name, value in content(second).items() if key in name}
    assert mine == {name: value for name, value in finished.items() if key in name}


def test_of_two_without_an_end_the_one_that_can_go_on_from_a_later_epoch_stays(tmp_path, away, home):
    archives = {}
    for epochs in (1, 2):
        key = cut(away)
        with_state(away, key, 2)
        with_state(away, key, epochs)
        archives[epochs] = export(away, tmp_path / f"{epochs}.tar", keys=[key]).file
        shutil.rmtree(away.root.parent)
        run(tmp_path / "away")
    for epochs, expected in ((1, "taken"), (1, "there"), (2, "taken"), (1, "there")):
        assert what(import_archives(home, [archives[epochs]])) == {key: expected}
    assert len(json.loads((home.trial(key) / "last" / "epoch.json").read_text())) == 2


def test_a_failed_trial_comes_with_its_log_and_without_a_result(tmp_path, home):
    away = run(tmp_path / "away", ONE.replace("training.epochs: 2", f"training.batch_size: {RAISES}"))
    done = export(away, tmp_path / "failed.tar")
    assert done.trials == {"failed": 1}
    import_archives(home, [done.file])
    (record,) = home.records().values()
    assert record.failure.message == "the loss is not finite"
    assert "the loss is not finite" in (home.trial(record.key) / "log.txt").read_text()


def test_a_trial_that_a_process_here_runs_is_left_and_named(away, archive, home):
    import_archives(home, [archive])
    key = cut(home)
    before = content(home)
    with (home.trial(key) / ".running").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (imported,) = import_archives(home, [archive])
    (trial,) = imported.of("running")
    assert trial.record.key == key and content(home) == before
    assert what(import_archives(home, [archive]))[key] == "taken"


def test_nothing_is_taken_over_while_a_driver_works_in_the_home(archive, home):
    home.refuse_if_not_writable()
    with home.held(), pytest.raises(StudyError, match="is running a study in the home"):
        import_archives(home, [archive])
    assert home.keys() == set()


# ---------------------------------------------------------------------------------------------------------- the archive


def entry(name: str, content: bytes = b"", **more) -> bytes:
    made = tarfile.TarInfo(name)
    made.size = len(content)
    for field, value in more.items():
        setattr(made, field, value)
    return made.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


def members(archive: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(archive) as found:
        return [(one.name, found.extractfile(one).read()) for one in found]


def rewritten(archive: Path, change) -> bytes:
    """The archive with another manifest, whose digests and sizes are right for what then follows."""
    (_, manifest), *files = members(archive)
    told = json.loads(manifest)
    contents = dict(files)
    change(told, contents)
    body = b""
    for file in told["files"]:
        found = contents[file["path"]]
        file.update(bytes=len(found), sha256=hashlib.sha256(found).hexdigest())
        body += entry(file["path"], found)
    return entry("manifest.json", json.dumps(told).encode()) + body + bytes(1024)


def a_byte_changed(archive):
    data = bytearray(archive.read_bytes())
    at = data.index(b'"duration_s"')
    data[at + 20] ^= 1
    return bytes(data), "has the SHA-256"


def a_byte_in_a_header(archive):
    data = archive.read_bytes()
    return data.replace(b"trials/", b"trialz/", 2)[: len(data)], ""


def a_member_more(archive):
    return archive.read_bytes()[:-1024] + entry("extra.txt", b"x") + bytes(1024), "it has more than the manifest says"


def bytes_after_the_end(archive):
    return archive.read_bytes() + b"x", "it goes on after its last file"


def a_member_less(archive):
    return archive.read_bytes()[:-2048] + bytes(1024), ""


def cut_short(archive):
    return archive.read_bytes()[:-100], "it is cut short"


def cut_in_the_middle(archive):
    return archive.read_bytes()[: archive.stat().st_size // 2], "it is cut short"


def packed_and_cut(archive):
    return gzip.compress(archive.read_bytes())[:-20], "it is cut short or damaged"


def empty(archive):
    return b"", "it is cut short"


def no_archive(archive):
    return os.urandom(4096), "no archive of `orchestrate export`"


def another_tar(archive):
    return entry("trials/x/record.json", b"{}") + bytes(1024), "wanted the file 'manifest.json'"


def _in_place_of_the_first_file(archive, **more):
    data, manifest = archive.read_bytes(), members(archive)[0][1]
    start = 512 + len(manifest) + -len(manifest) % 512
    return data[:start] + entry(**more) + data[start + 512 :]


def a_symbolic_link(archive):
    more = {"name": "sample/study.yaml", "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}
    return _in_place_of_the_first_file(archive, **more), "found a symbolic link 'sample/study.yaml'"


def a_hard_link(archive):
    more = {"name": "sample/study.yaml", "type": tarfile.LNKTYPE, "linkname": "manifest.json"}
    return _in_place_of_the_first_file(archive, **more), "found a hard link"


def a_device(archive):
    return _in_place_of_the_first_file(archive, name="sample/study.yaml", type=tarfile.CHRTYPE), "found a device"


def an_absolute_path(archive):
    return _in_place_of_the_first_file(archive, name="/etc/cron.d/x"), "found the file '/etc/cron.d/x'"


def a_path_that_leads_out(archive):
    return _in_place_of_the_first_file(archive, name="../x"), "found the file '../x'"


def _renamed(name):
    def change(told, contents):
        contents[name] = contents[told["files"][0]["path"]]
        told["files"][0]["path"] = name

    return change


def a_manifest_that_leads_out(archive):
    return rewritten(archive, _renamed("../x")), "'../x' is no relative path of plain names"


def a_manifest_with_an_absolute_path(archive):
    return rewritten(archive, _renamed("/etc/cron.d/x")), "is no relative path of plain names"


def a_manifest_with_a_file_of_no_trial(archive):
    return rewritten(archive, _renamed("cache/encoded")), "is no file of a trial or a study"


def a_manifest_of_another_version(archive):
    return rewritten(archive, lambda told, _: told.update(version=2)), "its format is of version 2, this reader knows 1"


def a_manifest_that_names_a_file_twice(archive):
    return rewritten(archive, lambda told, _: told["files"].insert(0, dict(told["files"][0]))), "each once"


def a_record_of_another_trial(archive):
    def change(told, contents):
        first, second = [name for name in sorted(contents) if name.endswith("record.json")][:2]
        contents[first] = contents[second]

    return rewritten(archive, change), "has the record of another"


def _with_record(**changes):
    def change(told, contents):
        name = next(name for name in sorted(contents) if name.endswith("record.json"))
        contents[name] = json.dumps({**json.loads(contents[name]), **changes}).encode()

    return change


def a_record_of_other_settings(archive):
    return rewritten(archive, _with_record(seed=77)), "whose settings and seed make"


def a_record_that_is_none(archive):
    return rewritten(archive, _with_record(status="splendid")), "is none (status: "


def a_record_that_runs(archive):
    return rewritten(archive, _with_record(status="running")), "is running"


def a_record_whose_study_is_a_path(archive):
    return rewritten(archive, _with_record(study="../../elsewhere")), "is none (study '../../elsewhere' under budget"


def a_record_that_needs_a_path(archive):
    return rewritten(archive, _with_record(needs="../x")), "is none (needs '../x')"


def a_record_with_a_score_that_is_no_number(archive):
    return rewritten(archive, _with_record(metrics={"test/relation_f1": float("nan")})), "test/relation_f1 is no number"


def a_record_of_no_time(archive):
    return rewritten(archive, _with_record(started="yesterday")), "Invalid isoformat string: 'yesterday'"


def a_manifest_that_promises_more(archive):
    data, manifest = archive.read_bytes(), members(archive)[0][1]
    told = json.loads(manifest)
    told["files"][-1]["bytes"] += 2**40
    rest = data[512 + len(manifest) + -len(manifest) % 512 :]
    return entry("manifest.json", json.dumps(told).encode()) + rest, "bytes, the manifest says"


@pytest.mark.parametrize(
    "tampered",
    [
        a_byte_changed, a_byte_in_a_header, a_member_more, bytes_after_the_end, a_member_less, cut_short,
        cut_in_the_middle, packed_and_cut, empty, no_archive, another_tar, a_symbolic_link, a_hard_link, a_device,
        an_absolute_path, a_path_that_leads_out, a_manifest_that_leads_out, a_manifest_with_an_absolute_path,
        a_manifest_with_a_file_of_no_trial, a_manifest_of_another_version, a_manifest_that_names_a_file_twice,
        a_record_of_another_trial, a_record_of_other_settings, a_record_that_is_none, a_record_that_runs,
        a_manifest_that_promises_more, a_record_whose_study_is_a_path, a_record_that_needs_a_path,
        a_record_with_a_score_that_is_no_number, a_record_of_no_time,
    ],
    ids=lambda function: function.__name__,
)  # fmt: skip
def test_an_archive_that_is_not_as_it_was_written_is_refused_before_anything_changes(whole, tmp_path, tampered):
    data, message = tampered(whole)
    path, home = tmp_path / "tampered.tar", Home.at(tmp_path / "home")
    path.write_bytes(data)
    with pytest.raises(StudyError) as refusal:
        import_archives(home, [whole, path])  # the good one first: nothing of it is taken either
    assert str(refusal.value).startswith(f"{path}: ") and message in str(refusal.value)
    assert str(refusal.value).endswith("; nothing was changed")
    assert not home.root.exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return export(run(folder / "away"), folder / "whole.tar").file


def test_what_unpacks_to_more_than_was_announced_is_not_unpacked(whole, tmp_path):
    data = whole.read_bytes()[:-1024] + bytes(2**26)
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(data))
    with pytest.raises(StudyError, match="it goes on after its last file"):
        verify(tmp_path / "bomb.tar.gz")


@pytest.mark.parametrize(
    "path",
    [
        "trials/0123456789abcdef/record.json", "trials/0123456789abcdef/predictions/dev.json", "sample/study.yaml",
        "sample/cpu/search.jsonl", "patches/0123456789abcdef.patch", "trials/0123456789abcdef/last/a/b.safetensors",
    ],
)  # fmt: skip
def test_a_path_of_an_archive(path):
    assert fault(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "", "/", ".", "..", "a/../b", "sample//study.yaml", "sample/study.yaml/", "sample\\study.yaml", "sample/.lock",
        "trials/0123456789abcdef/.running", "trials/0123456789abcdef/record.json\n", "trials/0123/record.json",
        "trials/0123456789abcdef/other.txt", "trials/0123456789abcdef", "mlflow.db/study.yaml", "cache/x/search.jsonl",
        "runs.db", "mlartifacts/1/study.yaml", "patches/../x.patch", "Sample/study.yaml", "sample/cpu/study.yaml",
        "trials/0123456789abcdef/predictions", "trials/0123456789abcdef/predictions/\x00",
    ],
)  # fmt: skip
def test_no_path_of_an_archive(path):
    assert fault(path) is not None


def test_a_file_below_a_file_is_refused():
    files = [File(path=f"sample/{name}", bytes=0, sha256="0" * 64) for name in ("search.jsonl", "study.yaml")]
    assert Manifest(studies={}, files=files).bytes == 0
    trial = "trials/0123456789abcdef"
    paths = (f"{trial}/counts/a", f"{trial}/counts/a/b", f"{trial}/record.json")
    with pytest.raises(ValueError, match="lies below a file"):
        Manifest(studies={}, files=[File(path=path, bytes=0, sha256="0" * 64) for path in paths])


# ---------------------------------------------------------------------------------------------------------------- kills


class Killed(BaseException):
    pass


STEPS = {
    "merging": (importing, "_merge"),
    "staging": (importing.tempfile, "mkdtemp"),
    "unpacking": (importing.tar, "read"),
    "having it on disk": (importing, "_have_on_disk"),
    "moving": (Path, "rename"),
    "having the names on disk": (importing, "sync_folder"),
}


def dying(owner, name: str, n_calls: int, dies: str):
    """A function that is killed after so many calls, before or after it has done what it does."""
    real, calls = getattr(owner, name), itertools.count()

    def step(*arguments, **more):
        n = next(calls)
        if n == n_calls and dies == "before":
            raise Killed
        done = real(*arguments, **more)
        if n == n_calls:
            raise Killed
        return done

    return step


@pytest.mark.parametrize("dies", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_an_import_that_is_killed_loses_nothing_and_is_completed_by_the_same_command(
    whole, tmp_path, monkeypatch, step, dies
):
    def begun(name: str) -> Home:
        home = run(tmp_path / name)
        with_state(home, cut(home), 1)
        for key in sorted(home.records())[2:]:
            shutil.rmtree(home.trial(key))
        return home

    expected = begun("expected")
    import_archives(expected, [whole])
    home = begun("killed")
    # whatever comes after a kill is not done either
    monkeypatch.setattr(importing, "put_back", lambda home: None)
    for n_calls in range(100):
        with monkeypatch.context() as patch:
            patch.setattr(*STEPS[step], dying(*STEPS[step], n_calls, dies))
            try:
                import_archives(home, [whole])
                break
            except Killed:
                put_back(home)
        assert {"interrupted", "finished"} >= {record.status for record in home.records().values()}
        assert len(home.records()) >= 2, "a trial that was here is lost"
        assert not list(home.root.glob(".import-*"))
    put_back(home)
    import_archives(home, [whole])
    assert content(home).keys() == content(expected).keys()
    assert scores(home) == scores(expected) and not list(home.root.glob(".import-*"))


def scores(home: Home):
    return {key: (record.status, record.metrics) for key, record in home.records().items()}


def test_a_run_puts_back_what_an_import_that_was_killed_had_put_aside(tmp_path):
    home = run(tmp_path)
    key = min(home.records())
    (home.root / ".import-x" / "old").mkdir(parents=True)
    home.trial(key).rename(home.root / ".import-x" / "old" / key)
    outcome = execution.run(
        load(tmp_path / "study.yaml"), home, Options("full", (), "inline", trainable=STANDIN, offline=True)
    )
    assert outcome.executed == () and outcome.exit_code == Exit.DONE
    assert read_record(home.trial(key)) is not None and not (home.root / ".import-x").exists()


def test_an_archive_that_is_replaced_between_two_looks_is_refused(whole, tmp_path, monkeypatch):
    path, home = tmp_path / "a.tar", Home.at(tmp_path / "home")
    shutil.copy(whole, path)
    found = verify(path)
    data = bytearray(path.read_bytes())
    data[data.index(b"epoch 1 done")] ^= 1
    path.write_bytes(data)
    monkeypatch.setattr(importing, "verify", lambda path: found)
    with pytest.raises(StudyError, match="has the SHA-256"):
        import_archives(home, [path])
    assert home.keys() == set() and not list(home.root.glob(".import-*"))


def test_without_room_nothing_is_taken(whole, home, monkeypatch):
    monkeypatch.setattr(importing.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 1000))
    with pytest.raises(StudyError, match="needs about .* which has 1000 B free; make room"):
        import_archives(home, [whole])
    assert home.keys() == set()


# ----------------------------------------------------------------------------------------------------- the command line


def test_the_commands_as_they_are_typed(tmp_path, whole):
    home, away = tmp_path / "home", whole.parent / "away" / "home"
    code, output, errors = orchestrate("export", "sample", "--home", away, "--out", tmp_path / "a.tgz")
    assert (code, errors) == (0, "") and output.startswith(f"{tmp_path}/a.tgz: 4 trials (4 finished), ")
    code, output, errors = orchestrate("import", tmp_path / "a.tgz", "--home", home, "--offline", "--json")
    assert code == 0, errors
    told = json.loads(output)
    assert told["archives"][0]["counts"] == {"taken": 4} and told["tracking"] is None
    assert told["to_report"] == [f"orchestrate report {home}/sample/study.yaml --home {home}"]
    trials = json.loads(orchestrate("runs", "--home", home, "--json")[1])["trials"]
    assert all(trial["imported_from"]["archive"] == "a.tgz" for trial in trials)
    record = Home.at(home).record(trials[0]["key"])
    write_record(Home.at(home).trial(record.key), record.model_copy(update={"metrics": {"test/relation_f1": 1.0}}))
    code, output, errors = orchestrate("import", tmp_path / "a.tgz", "--home", home, "--offline")
    assert code == 1 and "4 trials, 3 there already, 1 with other scores here, left as they are" in output
    assert f"conflict: {record.key} {record.variant}, seed {record.seed}: " in errors
    assert f"report: orchestrate report {home}/sample/study.yaml --home {home}" in output
    (tmp_path / "bad.tar").write_bytes(b"x" * 2048)
    code, output, errors = orchestrate("import", tmp_path / "bad.tar", "--home", home)
    assert (code, output) == (2, "") and "is no archive" in errors and "Traceback" not in errors
