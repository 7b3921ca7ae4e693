"""A number is traced to the code that made it, also where that was not committed, and to nobody's secrets."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys

import pytest

from orchestrator import provenance


@pytest.fixture(autouse=True)
def _ask_again():
    """What a process asks once, a test asks anew."""
    for asked in (provenance.code, provenance.checkout, provenance.patch, provenance.environment):
        asked.cache_clear()


def git(folder, *arguments):
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def checkout(tmp_path):
    """A checkout with a package `code` of one file."""
    top = tmp_path / "checkout"
    (top / "code").mkdir(parents=True)
    (top / "code" / "a.py").write_text("one = 1\ntwo = 2\n")
    (top / ".gitignore").write_text("runs/\n")
    git(top, "init", "--quiet")
    git(top, "add", ".")
    git(top, "commit", "--quiet", "--message", "first")
    return top


def test_a_clean_checkout_is_its_commit(checkout):
    code = provenance.code(checkout / "code")
    assert code == {"commit": git(checkout, "rev-parse", "HEAD").strip(), "dirty": False, "diff": None}
    assert provenance.patch(checkout / "code") == b""
    assert provenance.version_of_code({"code": code}) == code["commit"][:12]


def change(top):
    """Every way in which code can differ from its commit."""
    (top / "code" / "a.py").write_text("one = 1\ntwo = 3\n")
    (top / "code" / "staged.py").write_text("staged = True\n")
    git(top, "add", "code/staged.py")
    (top / "code" / "untracked.py").write_bytes("é = 'no line end'".encode())
    (top / "code" / "empty.py").write_text("")
    (top / "code" / 'a "name" with é.yaml').write_text("key: 1\n\nother: 2\r\n")
    script = top / "script.py"
    script.write_text("#!/usr/bin/env python\n")
    script.chmod(0o755)


def test_the_patch_of_a_changed_checkout_makes_its_code_out_of_the_commit(checkout, tmp_path):
    change(checkout)
    code = provenance.code(checkout / "code")
    patch = provenance.patch(checkout / "code")
    assert code["dirty"] is True and code["diff"] == hashlib.sha256(patch).hexdigest()

    other = tmp_path / "other"
    git(tmp_path, "clone", "--quiet", str(checkout), str(other))
    (tmp_path / "x.patch").write_bytes(patch)
    git(other, "apply", "--whitespace=nowarn", str(tmp_path / "x.patch"))

    def files(top):
        return {
            path.relative_to(top): (path.read_bytes(), os.access(path, os.X_OK))
            for path in top.rglob("*")
            if path.is_file() and ".git" not in path.parts
        }

    assert files(other) == files(checkout)


@pytest.mark.parametrize("name", ["plain.py", "a blank.toml", 'a "quote".yaml', "é and\tmore.yml", "in/a/folder.py"])
@pytest.mark.parametrize("content", ["one\n\ntwo\n", "no line end", ""])
def test_an_untracked_file_is_written_as_git_would_if_it_were_tracked(checkout, name, content):
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout / name).write_text(content)
    ours = provenance.patch(checkout).decode()
    git(checkout, "add", ".")
    theirs = git(checkout, "diff", "HEAD")
    assert ours.splitlines() == [line for line in theirs.splitlines() if not line.startswith("index ")]


def test_one_change_has_one_digest_and_another_change_another(checkout):
    def digest():
        for asked in (provenance.code, provenance.patch):
            asked.cache_clear()
        return provenance.code(checkout / "code")["diff"]

    change(checkout)
    first = digest()
    for setting in ("diff.noprefix=true", "diff.context=9", "color.ui=always", "core.abbrev=20"):
        git(checkout, "config", *setting.split("="))
    assert digest() == first
    (checkout / "code" / "untracked.py").write_text("other = 1\n")
    assert digest() not in (first, None)


def test_untracked_files_that_are_ignored_or_no_sources_are_in_no_patch(checkout):
    (checkout / "runs").mkdir()
    (checkout / "runs" / "left.py").write_text("left = 1\n")
    (checkout / ".env").write_text("TOKEN=secret\n")
    code = provenance.code(checkout / "code")
    assert (code["dirty"], code["diff"], provenance.patch(checkout / "code")) == (True, None, b"")


def test_a_large_untracked_file_is_named_by_its_size(checkout, monkeypatch):
    monkeypatch.setattr(provenance, "LARGEST_SOURCE", 10)
    (checkout / "large.py").write_text("x = '0123456789'\n")
    (checkout / "link.py").symlink_to("code/a.py")
    (checkout / "small.py").write_text("x = 1\n")
    patch = provenance.patch(checkout).decode()
    assert patch.splitlines()[:2] == ["# left out: large.py, 17 bytes", "# left out: link.py, 9 bytes"]
    assert "+x = 1\n" in patch and "0123456789" not in patch
    (checkout / "x.patch").write_text(patch)
    (checkout / "small.py").unlink()
    git(checkout, "apply", "x.patch")
    assert (checkout / "small.py").read_text() == "x = 1\n"


def test_to_look_at_a_checkout_changes_nothing_in_it(checkout):
    change(checkout)

    def state():
        return {path: path.stat().st_mtime_ns for path in checkout.rglob("*") if path.is_file()}

    before = state()
    provenance.collect(checkout / "code")
    assert state() == before


def test_an_installed_package_has_no_commit_though_its_environment_lies_in_a_checkout(checkout):
    package = checkout / "runs" / "venv" / "code"
    package.mkdir(parents=True)
    (package / "a.py").write_text("one = 1\n")
    assert provenance.checkout(package) is None
    assert provenance.code(package) == {"commit": None, "dirty": None, "diff": None}
    assert provenance.patch(package) is None
    assert provenance.version_of_code(provenance.collect(package)).endswith("no checkout")


def test_without_git_or_a_commit_there_is_no_commit(checkout, tmp_path, monkeypatch):
    git(tmp_path, "init", "--quiet", "new")
    (tmp_path / "new" / "a.py").write_text("one = 1\n")
    git(tmp_path / "new", "add", ".")
    nothing = {"commit": None, "dirty": None, "diff": None}
    assert provenance.code(tmp_path / "new") == nothing
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.code(checkout) == nothing
    assert provenance.keep_patch(tmp_path / "home", checkout) is None


def test_a_hook_that_starts_us_does_not_tell_us_where_the_checkout_is(checkout, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert provenance.checkout(checkout / "code") == checkout.resolve()


# ----------------------------------------------------------------------------------------------------------- keep_patch


def test_each_distinct_patch_is_kept_once_under_its_digest(checkout, tmp_path):
    home = tmp_path / "home"
    assert provenance.keep_patch(home, checkout) is None and not home.exists()

    change(checkout)
    provenance.patch.cache_clear()
    name = provenance.keep_patch(home, checkout)
    digest = provenance.code(checkout)["diff"]
    assert name == f"patches/{digest[:16]}.patch"
    assert hashlib.sha256((home / name).read_bytes()).hexdigest() == digest
    assert digest[:16] in provenance.version_of_code({"code": provenance.code(checkout)})

    written = (home / name).stat()
    assert provenance.keep_patch(home, checkout) == name
    assert (home / name).stat().st_mtime_ns == written.st_mtime_ns and (home / name).stat().st_ino == written.st_ino
    assert os.listdir(home / "patches") == [f"{digest[:16]}.patch"]


def test_a_patch_that_cannot_be_written_whole_is_not_written(checkout, tmp_path, monkeypatch):
    def full_disk(number):
        raise OSError("no space left on device")

    change(checkout)
    monkeypatch.setattr(provenance.os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        provenance.keep_patch(tmp_path, checkout)
    assert os.listdir(tmp_path / "patches") == []


def test_of_a_patch_that_is_too_large_the_digest_is_kept_and_said_so(checkout, tmp_path, monkeypatch, caplog):
    change(checkout)
    monkeypatch.setattr(provenance, "LARGEST_PATCH", 100)
    code = provenance.code(checkout)
    assert len(code["diff"]) == 64 and "more than 100" in code["diff_note"]
    with caplog.at_level(logging.WARNING):
        assert provenance.keep_patch(tmp_path / "home", checkout) is None
    assert "is not kept" in caplog.text and not (tmp_path / "home").exists()


# ---------------------------------------------------------------------------------------------------------- environment


def test_the_lock_file_is_that_of_the_checkout_or_beside_an_unpacked_package(checkout, tmp_path):
    assert provenance.environment(checkout / "code")["lock"] is None
    (checkout / "constraints.txt").write_text("torch==2.6.0\n")
    (tmp_path / "constraints.txt").write_text("torch==2.6.1\n")
    provenance.environment.cache_clear()
    assert provenance.environment(checkout / "code")["lock"] == hashlib.sha256(b"torch==2.6.0\n").hexdigest()
    assert provenance.environment(tmp_path / "package")["lock"] == hashlib.sha256(b"torch==2.6.1\n").hexdigest()


def test_the_environment_is_a_digest_of_names_and_versions(tmp_path, monkeypatch):
    def install(folder, name, version):
        info = tmp_path / folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    install("first", "b_package", "1.0")
    install("first", "A", "2.0")
    install("second", "b.Package", "0.9")  # hidden by the one above
    (tmp_path / "first" / "broken-1.0.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "first"), str(tmp_path / "second")])
    assert provenance._installed.__wrapped__() == hashlib.sha256(b"a==2.0\nb-package==1.0").hexdigest()


# -------------------------------------------------------------------------------------------------- command and secrets


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("orchestrate run a.yaml --home /scratch/me --budget cpu", "orchestrate run a.yaml --budget cpu"),
        ("orchestrate run --data=/scratch/data --address host:6379 a.yaml", "orchestrate run a.yaml"),
        ("orchestrate run --home --data a.yaml --cpus 2", "orchestrate run a.yaml --cpus 2"),
        ("orchestrate run a.yaml --home", "orchestrate run a.yaml"),
    ],
)
def test_a_report_tells_the_command_without_the_places_of_one_machine(typed, told):
    assert provenance.without_places(typed.split()) == told.split()


def test_of_a_command_paths_inside_the_checkout_are_relative_and_the_rest_is_as_typed(checkout, tmp_path):
    (tmp_path / "linked").symlink_to(checkout)
    typed = [
        f"{tmp_path}/bin/orchestrate", "run", f"{checkout}/studies/a.yaml", f"--home={checkout}/runs", "-b", "cpu",
        "--data", f"{tmp_path}/data", "studies/../b.yaml", f"{tmp_path}/linked/code", f"{checkout}", "--jobs=2",
    ]  # fmt: skip
    assert provenance.command(typed, checkout) == [
        "orchestrate", "run", "studies/a.yaml", "--home=runs", "-b", "cpu",
        "--data", f"{tmp_path}/data", "studies/../b.yaml", "code", ".", "--jobs=2",
    ]  # fmt: skip
    assert provenance.command(typed[:3], tmp_path) == ["orchestrate", "run", f"{checkout}/studies/a.yaml"]


def test_the_current_folder_is_recorded_only_inside_the_checkout(checkout, tmp_path, monkeypatch):
    monkeypatch.chdir(checkout)
    assert provenance.cwd(checkout / "code") == "."
    monkeypatch.chdir(checkout / "code")
    assert provenance.cwd(checkout / "code") == "code"
    monkeypatch.chdir(tmp_path)
    assert provenance.cwd(checkout / "code") is None


@pytest.mark.parametrize(
    ("typed", "recorded"),
    [
        ("https://user:secret@host/path", "https://***@host/path"),
        ("--uri=https://secret@host:5000", "--uri=https://***@host:5000"),
        ("postgresql+psycopg://user:se/cr@t@host/db", "postgresql+psycopg://***@host/db"),
        ("mysql://host/db?user=me&password=secret&ssl=1", "mysql://host/db?user=me&password=***&ssl=1"),
        ("cannot reach https://u:secret@a/ nor http://v:secret@b", "cannot reach https://***@a/ nor http://***@b"),
        ("http://host:5000/path@version", "http://host:5000/path@version"),
        ("git+https://host/repository@main", "git+https://host/repository@main"),
        ("sqlite:////runs/mlflow.db", "sqlite:////runs/mlflow.db"),
        ("me@host:path", "me@host:path"),
    ],
)
def test_credentials_of_urls_are_masked_and_nothing_else(typed, recorded):
    assert provenance.masked(typed) == recorded
    assert provenance.command(["orchestrate", typed])[1] == recorded


def test_no_environment_variable_and_no_secret_of_the_command_is_recorded(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://user:hidden-secret@host")
    monkeypatch.setenv("SOME_TOKEN", "hidden-secret")
    monkeypatch.setattr(sys, "argv", ["orchestrate", "run", "--uri", "https://user:hidden-secret@host"])
    assert "hidden-secret" not in json.dumps(provenance.collect())


def test_collecting_is_asked_once_and_goes_into_a_record_as_it_is():
    collected = provenance.collect()
    assert json.loads(json.dumps(collected)) == collected == provenance.collect()
    assert {"code", "environment", "packages", "python", "hardware", "command", "cwd"} == collected.keys()
