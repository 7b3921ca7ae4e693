"""Whatever stands in a study file, looking at it ends in a plan or in faults with a place, and does nothing else.

Drawn are bytes, text of YAML's own characters, studies with lines and values changed, and studies whose parts have
changed places. `FUZZ_EXAMPLES` says how many of each (a longer run: `FUZZ_EXAMPLES=20000 pytest …/test_fuzz.py`).
"""

from __future__ import annotations

import copy
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import StudyError
from orchestrator.positions import read_yaml
from orchestrator.schema import load
from orchestrator.variants import check
from tests.orchestrator.corpus import BAD, GOOD

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "400"))
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# ------------------------------------------------------------------------------------------------------ what is watched

HARMFUL = (
    "import", "exec", "compile", "marshal.loads", "pickle", "ctypes", "subprocess", "pty", "socket", "urllib", "shutil",
    "tempfile", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.startfile", "os.remove",
    "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "os.utime",
    "os.putenv", "os.unsetenv", "os.kill", "signal", "sqlite3", "webbrowser", "open",
)  # fmt: skip
"""Events of the interpreter by which something is run, loaded, read or changed."""

watched: list[str] | None = None
"""Events while a study is looked at."""
study_file = ""


def note(event: str, arguments: tuple[Any, ...]) -> None:
    if watched is None or not event.startswith(HARMFUL):
        return
    if event == "open" and str(arguments[0]) == study_file and not str(arguments[1]).strip("rbt"):
        return
    watched.append(f"{event} {arguments[:2]!r}"[:200])


sys.addaudithook(note)


@contextmanager
def nothing_happens(path: Path) -> Iterator[None]:
    """Nothing is imported, executed, started, written, or read but the study itself."""
    global watched, study_file
    modules = set(sys.modules)
    watched, study_file = [], str(path)
    try:
        yield
    finally:
        happened, watched = watched, None
    assert not happened, happened
    assert set(sys.modules) == modules


def look_at(path: Path, content: bytes) -> None:
    """What `orchestrate validate` does."""
    path.write_bytes(content)
    with nothing_happens(path):
        try:
            check(load(path))
            problems = ()
        except StudyError as error:
            problems = error.problems
    lines = re.split(r"\r\n|\r|\n", content.decode("utf-8-sig", errors="replace"))
    for problem in problems:
        assert problem.file == str(path)
        assert 1 <= problem.line <= len(lines), problem
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1, problem
        assert problem.message
        assert "\n" not in str(problem), problem
        assert len(str(problem)) < 3000, problem


@pytest.fixture(scope="module", autouse=True)
def _everything_is_loaded():
    """What the first looks import is none of what a study makes the program import."""
    for path in [*GOOD, *BAD]:
        try:
            check(load(path))
        except StudyError:
            pass


def test_the_watch_sees_what_a_study_must_not_do(tmp_path):
    for done in (
        lambda: os.system("true"),
        lambda: exec("1"),
        lambda: (tmp_path / "file").write_text(""),
        lambda: __import__("this_is_no_module"),
    ):
        with pytest.raises(AssertionError), nothing_happens(tmp_path):
            try:
                done()
            except ImportError:
                pass


# -------------------------------------------------------------------------------------------------------- what is drawn

ODD = [
    "", "~", "null", "true", "yes", "0", "-1", "1.5", "1e999", "-.inf", ".nan", "9" * 400, "0x" + "f" * 60, "0o17",
    "0b1", "017", "1_0", "_", "1:30", "2024-01-01", "2024-01-01T00:00:00Z", "=", "x" * 5000, "a." * 60 + "b", "a" * 199,
    "..", ".", '""', "''", '"\\0"', '"\\ud800"', '"\\x1b[0m"', '"\\u202e"', '"a\\nb"', "'", '"', "🙂", "\u202e", "\x00",
    "\x85", "\u2028", "\ufeff", "\t", "\r", "[]", "{}", "[[]]", "[{}]", "{a: }", "{a: {b: c}}", "[a, b]", "[1, 2]",
    "[" * 120, "{a: " * 120, "- - - -", "? ", "| ", ">-", "%YAML 1.1", "---", "...", "&a", "*a", "&a [*a]", "<<: {}",
    "!x", "!!set {}", "!!python/object/apply:os.system [touch x]", "!!python/name:os.system", "!!binary aGk=",
    "measured", "os:system", "__import__('os')", "../../etc/passwd", "/dev/zero", "{learning_rate}", "{}{", "${HOME}",
    "$(touch x)", "`touch x`", "model", "command", "function", "inverse", "cosine", "cdr", "test", "test/relation_f1",
    "relation_f1", "zip", "kind", "model.memory.read", "training.select", "1000000", "1000000000", "1" + "0" * 20,
    "# ", ": ", " #", ",", "\\",
]  # fmt: skip
"""Text that stands for a value, a key, or neither."""

ODD_VALUES = [
    None, True, False, 0, 1, -1, 2, 1.5, -0.0, 1e308, 10**50, 2**63, "", "x", "a.b", "x" * 300, "🙂", "null", "1", " ",
    "{seed}", "{x}", "'", "a\nb", "inverse", "slot_wise", "dot", "cosine", "global", "cdr", "builtin", "entity_f1",
    "test/relation_f1", "model", "command", "measured", "full", "comparison", "sweep", "by_dataset", [], {}, [[]], [{}],
    {"": {}}, [None], [1, 1.0, True], ["a", "a"], {"kind": None}, {"kind": "x"}, {"kind": ["x"]}, {"name": {}},
    {"a.b": 1, "a": 2}, {"model.memory.read": None}, {"model": {"memory.read.kind": "dot"}}, [1] * 200,
    {"training.select.on": "test"},
]  # fmt: skip
"""Values for any place in a study."""

# not those whose grid is large: cut to what is allowed, it takes its time
TEXTS = [path.read_bytes() for path in [*GOOD, *BAD] if path.stat().st_size < 4000 and "too_large" not in path.stem]
PLAIN = [read_yaml(path)[0] for path in GOOD]
KEYS = sorted({key for study in PLAIN for key in re.findall(r'"([^"]*)":', json.dumps(study, ensure_ascii=False))})


@st.composite
def changed_text(draw: st.DrawFn) -> bytes:
    """A study with some lines and values changed."""
    lines = draw(st.sampled_from(TEXTS)).decode("utf-8", errors="surrogateescape").split("\n")
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        odd = draw(st.sampled_from(ODD))
        match draw(st.integers(0, 7)):
            case 0:
                lines.insert(draw(st.integers(0, len(lines))), line)
            case 1 if len(lines) > 1:
                del lines[at]
            case 2:
                lines[at] = " " * draw(st.integers(0, 6)) + line.lstrip(" ")
            case 3:
                lines[at] = ": ".join([line.partition(": ")[0], odd])
            case 4:
                words = list(re.finditer(r"[\w.]+", line)) or [re.match("", line)]
                word = draw(st.sampled_from(words))
                assert word is not None
                lines[at] = line[: word.start()] + odd + line[word.end() :]
            case 5:
                start = draw(st.integers(0, len(line)))
                lines[at] = line[:start] + odd + line[start:]
            case 6:
                start = draw(st.integers(0, len(line)))
                lines[at] = line[:start] + line[start + draw(st.integers(1, 5)) :]
            case _:
                other = draw(st.sampled_from(TEXTS)).decode("utf-8", errors="surrogateescape").split("\n")
                lines[at] = draw(st.sampled_from(other))
    content = "\n".join(lines).encode("utf-8", errors="surrogateescape")
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        content = content[:at] + bytes([draw(st.integers(0, 255))]) + content[at + 1 :]
    return content


def parts_of(value: Any) -> list[Any]:
    """Every mapping and list inside, itself included."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [*([value] if isinstance(value, dict | list) else []), *(part for one in inner for part in parts_of(one))]


ANYWHERE = [part for study in PLAIN for part in parts_of(study)]


@st.composite
def changed_values(draw: st.DrawFn) -> bytes:
    """A study in which some keys and values are others, or those of another place."""
    study = copy.deepcopy(draw(st.sampled_from(PLAIN)))
    for _ in range(draw(st.integers(1, 3))):
        part = draw(st.sampled_from(parts_of(study)))
        odd = copy.deepcopy(draw(st.one_of(st.sampled_from(ODD_VALUES), st.sampled_from(ANYWHERE))))
        if isinstance(part, list):
            at = draw(st.integers(0, len(part)))
            part[at : at + draw(st.integers(0, 1))] = [odd]
            continue
        key = draw(st.sampled_from([*part, *KEYS] if part else KEYS))
        if draw(st.integers(0, 5)) == 0:
            part.pop(key, None)
        else:
            part[key] = odd
    return json.dumps(study, ensure_ascii=False).encode()


# ---------------------------------------------------------------------------------------------------------------- tests


@FUZZ
@given(content=st.binary(max_size=200))
def test_bytes_show_no_traceback(tmp_path, content):
    look_at(tmp_path / "study.yaml", content)


@FUZZ
@given(content=st.text(alphabet="[]{}:,-#&*!|>'\"%@`? \n\t~<=\\.ab01x\x85\u2028é🙂", max_size=120))
def test_characters_of_yaml_show_no_traceback(tmp_path, content):
    look_at(tmp_path / "study.yaml", content.encode())


@FUZZ
@given(content=changed_text())
def test_a_study_with_changed_lines_shows_no_traceback(tmp_path, content):
    look_at(tmp_path / "study.yaml", content)


@FUZZ
@given(content=changed_values())
def test_a_study_with_changed_values_shows_no_traceback(tmp_path, content):
    look_at(tmp_path / "study.yaml", content)
