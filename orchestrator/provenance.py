"""Where a number comes from: code, packages, hardware, command. Nothing is imported to find out, and nothing is asked
of the network.

    code          commit, whether the checkout was changed since, SHA-256 of the patch that makes up the change
    environment   SHA-256 of the lock file, SHA-256 of all installed distributions
    packages      those whose version can change a score, and Python
    hardware      what the process may use
    command       as it was typed, and from which folder of the checkout

No secrets: no environment variable is recorded; of URLs, credentials are masked. No private paths: a path inside the
checkout is relative to it, one outside is recorded only where it was typed.

Functions take the folder of the code and ask once in a process: a checkout that changes while a study runs is recorded
as it was at its start.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

log = logging.getLogger("orchestrator.provenance")

PACKAGES = ("torch", "transformers", "numpy", "scipy", "safetensors", "pydantic", "ray", "mlflow")
"""Those whose version can change a score or how it is recorded."""
HERE = Path(__file__).resolve().parent
LOCK = "constraints.txt"
SOURCES = (".py", ".toml", ".yaml", ".yml")
"""Files that belong to a patch although git does not track them yet."""
LARGEST_SOURCE = 1_000_000
"""Bytes of an untracked file; of a larger one the patch has name and size."""
LARGEST_PATCH = 5_000_000
"""Bytes that are kept of a patch, and that are read of untracked files."""
PATCHES = "patches"


def collect(folder: Path = HERE) -> dict[str, Any]:
    """Provenance of what this process starts."""
    return {
        "code": code(folder),
        "environment": environment(folder),
        "packages": packages(),
        "python": platform.python_version(),
        "hardware": hardware(),
        "command": command(sys.argv, folder),
        "cwd": cwd(folder),
    }


# ----------------------------------------------------------------------------------------------------------------- code


@cache
def code(folder: Path = HERE) -> dict[str, Any]:
    """Commit of the checkout that the code runs from, whether it was changed since, and the digest of the change.

    All are `None` without a checkout. `diff` is also `None` where only files were added that are no sources.
    """
    top = checkout(folder)
    commit = _git_word(top, "rev-parse", "HEAD") if top is not None else None
    if top is None or commit is None:
        return {"commit": None, "dirty": None, "diff": None}
    status = _git(top, "status", "--porcelain", "--untracked-files=normal")
    dirty = None if status is None else bool(status.strip())
    change = patch(folder) if dirty else b""
    told: dict[str, Any] = {"commit": commit, "dirty": dirty, "diff": None}
    if change is None:
        return {**told, "diff_note": "git could not tell what was changed"}
    if not change:
        return told
    told["diff"] = hashlib.sha256(change).hexdigest()
    return told if len(change) <= LARGEST_PATCH else {**told, "diff_note": _too_large(change)}


@cache
def checkout(folder: Path = HERE) -> Path | None:
    """Root of the checkout that tracks a folder. An installed package has none, even where the environment that it is
    installed in lies inside a checkout of something else."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    if top is None or not _git(folder, "ls-files", "--", "."):
        return None
    return Path(os.fsdecode(top.rstrip(b"\n")))


@cache
def patch(folder: Path = HERE) -> bytes | None:
    """What turns the commit into the code that runs: `git diff HEAD`, and untracked sources that are not ignored.

    As `git apply` takes it, but for binary files, which it names by their digests. Empty where nothing was changed;
    `None` without a checkout, or where git fails.
    """
    top = checkout(folder)
    if top is None:
        return None
    # what a user's configuration could change is said, so that one change has one digest
    tracked = _git(
        top, "diff", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--no-relative", "--full-index",
        "--unified=3", "--inter-hunk-context=0", "--diff-algorithm=myers", "--src-prefix=a/", "--dst-prefix=b/",
        "--submodule=short", "--ignore-submodules=dirty", "HEAD",
    )  # fmt: skip
    untracked = _git(top, "ls-files", "--others", "--exclude-standard", "-z")
    if tracked is None or untracked is None:
        return None
    left_out, added = _additions(top, sorted(name for name in untracked.split(b"\0") if name))
    return left_out + tracked + added


def keep_patch(home: Path, folder: Path = HERE) -> str | None:
    """Keep the patch of a changed checkout in `<home>/patches/`, once for each distinct one.

    Returns its path below the home; `None` where there is none, and with a warning where it is too large to keep.
    """
    change = patch(folder)
    if not change:
        return None
    if len(change) > LARGEST_PATCH:
        log.warning("the checkout was changed since its commit, and the change is not kept: %s", _too_large(change))
        return None
    name = f"{PATCHES}/{hashlib.sha256(change).hexdigest()[:16]}.patch"
    path = home / name
    if path.exists():
        return name
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "wb") as file:
            file.write(change)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return name


def _too_large(change: bytes) -> str:
    return f"only the digest of the diff is kept, as it has {len(change)} bytes, more than {LARGEST_PATCH}"


def _additions(top: Path, names: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Lines on what is left out, which `git apply` skips, and the patch that adds the other untracked sources."""
    left_out, added, room = [], [], LARGEST_PATCH
    for name in names:
        path = top / os.fsdecode(name)
        if path.suffix not in SOURCES:
            continue
        try:
            found = path.lstat()
            if stat.S_ISREG(found.st_mode) and found.st_size <= min(LARGEST_SOURCE, room):
                content = path.read_bytes()
                added.append(_addition(name, content, bool(found.st_mode & stat.S_IXUSR)))
                room -= len(content)
                continue
        except OSError:
            continue  # gone in this moment, or another user's
        left_out.append(b"# left out: %s, %d bytes\n" % (_quoted(name), found.st_size))
    return b"".join(left_out), b"".join(added)


def _addition(name: bytes, content: bytes, executable: bool) -> bytes:
    """The patch that adds one file, as git writes it."""
    old, new = _quoted(b"a/" + name), _quoted(b"b/" + name)
    head = b"diff --git %s %s\nnew file mode %s\n" % (old, new, b"100755" if executable else b"100644")
    if not content:
        return head
    *lines, rest = content.split(b"\n")
    shown = b"".join(b"+%s\n" % line for line in lines)
    if rest:
        shown += b"+%s\n\\ No newline at end of file\n" % rest
    n_lines = len(lines) + bool(rest)
    size = b"" if n_lines == 1 else b",%d" % n_lines
    # git ends a name that has a blank by a tab
    end = b"\t" if b" " in name else b""
    return b"%s--- /dev/null\n+++ %s%s\n@@ -0,0 +1%s @@\n%s" % (head, new, end, size, shown)


def _quoted(name: bytes) -> bytes:
    if all(32 <= letter < 127 and letter not in b'"\\' for letter in name):
        return name
    known = {ord("\t"): b"\\t", ord("\n"): b"\\n", ord('"'): b'\\"', ord("\\"): b"\\\\"}
    return b'"%s"' % b"".join(known.get(c) or (b"%c" % c if 32 <= c < 127 else b"\\%03o" % c) for c in name)


def _git(folder: Path, *arguments: str) -> bytes | None:
    # a hook or an alias that starts us may have set where git is to look; and to look must not lock others out
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    # a checkout that is mounted into a container belongs to another user; its code runs already
    command = ["git", "-c", "safe.directory=*", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=True, env=environment).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def _git_word(folder: Path, *arguments: str) -> str | None:
    found = _git(folder, *arguments)
    return None if found is None else found.decode().strip() or None


def version_of_code(given: dict[str, Any]) -> str:
    """The commit of a provenance in one word."""
    told = given.get("code") or {}
    commit = told.get("commit")
    if not commit:
        return f"orchestrate {_own_version()}, no checkout"
    if not told.get("dirty"):
        return commit[:12]
    diff = told.get("diff")
    # the patch in the home is called so
    return f"{commit[:12]} with changes" + (f" ({diff[:16]})" if diff else "")


def _own_version() -> str:
    try:
        return metadata.version("orchestrate")
    except metadata.PackageNotFoundError:
        return "?"


# ---------------------------------------------------------------------------------------------------------- environment


@cache
def environment(folder: Path = HERE) -> dict[str, str | None]:
    """Digest of the lock file beside the code, `None` without one, and of what is installed in fact."""
    try:
        lock = hashlib.sha256(((checkout(folder) or folder.parent) / LOCK).read_bytes()).hexdigest()
    except OSError:
        lock = None
    return {"lock": lock, "installed": _installed()}


@cache
def _installed() -> str:
    """Digest of all installed distributions: sorted lines `name==version`. Of two of one name the first is imported."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        try:
            name, version = distribution.name, distribution.version
        except (TypeError, KeyError, OSError):
            continue  # what a broken installation leaves
        if name and version:
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return hashlib.sha256("\n".join(f"{name}=={found[name]}" for name in sorted(found)).encode()).hexdigest()


@cache
def packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


# ------------------------------------------------------------------------------------------------------------- hardware


@cache
def hardware() -> dict[str, Any]:
    return {
        "host": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_model(),
        "cores": cores(),
        "memory_gib": _memory_gib(),
        "gpus": list(gpus()),
    }


def cores() -> int:
    """CPU cores that this process may use, which in a container or a batch job are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None


@cache
def gpus() -> tuple[str, ...]:
    """Names of the GPUs that trials may use, by the driver's own tool, as torch is not loaded here."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    tool = shutil.which("nvidia-smi")
    if tool is None or visible in ("", "-1"):
        return ()
    try:
        done = subprocess.run(
            [tool, "--query-gpu=index,uuid,name", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [[part.strip() for part in line.split(",", 2)] for line in done.stdout.splitlines() if line.count(",") >= 2]
    if visible is not None:
        wanted = [part.strip() for part in visible.split(",")]
        rows = [row for row in rows if row[0] in wanted or any(part and row[1].startswith(part) for part in wanted)]
    return tuple(name for _, _, name in rows)


# -------------------------------------------------------------------------------------------------------------- command


def command(given: Sequence[str], folder: Path = HERE) -> list[str]:
    """The command line: name of the program, then its arguments. Absolute paths inside the checkout are made relative
    to it, credentials are masked; all else is left as typed."""
    top = checkout(folder)
    return [Path(given[0]).name, *(masked(_inside(argument, top)) for argument in given[1:])] if given else []


_PLACES = ("--home", "--data", "--address")


def without_places(given: Sequence[str]) -> list[str]:
    """A command as others can type it: without the options that say where things lie on one machine. No score depends
    on them, and a report is published."""
    kept: list[str] = []
    skips = False
    for argument in given:
        option, equals, _ = argument.partition("=")
        if not skips and option not in _PLACES:
            kept.append(argument)
        skips = not skips and option in _PLACES and not equals
    return kept


def cwd(folder: Path = HERE) -> str | None:
    """The current folder, relative to the checkout; `None` outside of it."""
    top = checkout(folder)
    try:
        return None if top is None else Path(os.getcwd()).relative_to(top).as_posix()
    except (ValueError, OSError):
        return None


def _inside(argument: str, top: Path | None) -> str:
    option, equals, value = argument.partition("=") if argument.startswith("-") else ("", "", argument)
    if top is None or not os.path.isabs(value):
        return argument
    # a link inside the checkout that leads out of it is a path inside, and so is one outside that leads in
    for path in (os.path.normpath(value), os.path.realpath(value)):
        if Path(path).is_relative_to(top):
            return f"{option}{equals}{Path(path).relative_to(top).as_posix()}"
    return argument


_CREDENTIALS = re.compile(
    r"""://(?: [^\s/?#]*                            # user:password, or a token
             | [^\s/?#:@]* : (?!\d*(?:[/?#\s]|$)) \S*  # a password that should have been escaped; but no port
             )@""",
    re.VERBOSE,
)
_SECRET_PARAMETER = re.compile(r"([?&][\w.-]*(?:pass|pwd|token|secret|key|sig)[\w.-]*=)[^&\s#]*", re.IGNORECASE)


def masked(text: str) -> str:
    """A text without the credentials of the URLs in it: `https://user:password@host` is `https://***@host`, and a
    parameter such as `?password=…` is `?password=***`."""
    return _SECRET_PARAMETER.sub(r"\1***", _CREDENTIALS.sub("://***@", text))
