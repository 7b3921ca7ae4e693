"""YAML with the place of every key and value. Nothing in a file is ever executed.

The file is composed to nodes, which know their marks, and only plain values are made of them: mappings with text keys,
lists, text, numbers, true, false and null, by YAML 1.2 (`no` is text, `1e-5` is a number). A key that stands twice, a
tag, a merge key or an alias inside itself is refused.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from orchestrator.errors import Problem, StudyError
from reports.settings import word

Path_ = tuple[str | int, ...]
"""A place inside a file: keys and list indices."""

Mark = tuple[int, int]
"""Line and column, from 1."""

MOST_NODES = 1_000_000
"""A file of a few lines can name a tree of any size by aliases of aliases."""

_CORE = "tag:yaml.org,2002:"


@dataclass
class Positions:
    """Where the keys and values of one file stand."""

    file: str
    keys: dict[Path_, Mark] = field(default_factory=dict)
    values: dict[Path_, Mark] = field(default_factory=dict)

    def problem(self, path: Path_, message: str, *, at_key: bool = False) -> Problem:
        """A fault of the value at a path, or of its key; of the nearest place above where there is none."""
        for end in range(len(path), -1, -1):
            marks = [self.keys, self.values] if at_key or end < len(path) else [self.values]
            for where in marks:
                if path[:end] in where:
                    line, column = where[path[:end]]
                    return Problem(self.file, line, column, dotted(path), message)
        return Problem(self.file, 1, 1, dotted(path), message)


def dotted(path: Path_) -> str:
    """`variants.'no reads'.settings.model.memory.read`, `ablate.model.memory.warmup_proportion[1]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if re.fullmatch(r"[\w.$\-]+", part) else f"'{part}'"
            text += f".{shown}" if text else shown
    return text


def read_yaml(path: Path) -> tuple[Any, Positions]:
    """The plain value of a YAML file and where its parts stand. Raises StudyError with all that is wrong in it."""
    positions = Positions(str(path))
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line_start = before.rfind(b"\n") + 1
        mark = (before.count(b"\n") + 1, error.start - line_start + 1)
        raise _syntax(positions, mark, f"byte 0x{content[error.start]:02x} is no UTF-8; save it as UTF-8") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ruamel warns of an anchor that is used again, which is no fault
            node = YAML(typ="rt").compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(str(part).strip() for part in (error.context, error.problem) if part)
        raise _syntax(positions, (mark.line + 1, mark.column + 1) if mark else (1, 1), said) from None
    except ReaderError as error:
        before = text[: error.position]
        mark = (before.count("\n") + 1, error.position - before.rfind("\n"))
        raise _syntax(positions, mark, f"character #x{error.character:04x} is not allowed in YAML") from None
    except RecursionError:
        raise _syntax(positions, (1, 1), "nested too deeply to be a study") from None
    except (YAMLError, ValueError, IndexError, AttributeError, TypeError, AssertionError) as error:
        # the parser has faults of its own on input that is no YAML at all
        raise _syntax(positions, (1, 1), str(error).split("\n")[0] or type(error).__name__) from None
    if node is None:
        raise _syntax(positions, (1, 1), "the file is empty, wanted a study: a mapping with `study:` and `settings:`")
    builder = _Builder(positions)
    try:
        value = builder.value(node, ())
    except RecursionError:
        raise _syntax(positions, (1, 1), "nested too deeply to be a study") from None
    if builder.problems:
        raise StudyError(builder.problems)
    return value, positions


def _syntax(positions: Positions, mark: Mark, message: str) -> StudyError:
    return StudyError([Problem(positions.file, *mark, "", f"not readable as YAML: {message}")])


class _Builder:
    """Nodes to plain values, collecting places and faults."""

    def __init__(self, positions: Positions) -> None:
        self.positions = positions
        self.problems: list[Problem] = []
        self.open: set[int] = set()
        self.n_nodes = 0

    def value(self, node: Node, path: Path_) -> Any:
        self.positions.values.setdefault(path, _mark(node))
        self.n_nodes += 1
        if self.n_nodes > MOST_NODES:
            if self.n_nodes == MOST_NODES + 1:
                self.fault(node, path, f"more than {MOST_NODES} values, wanted a file without aliases of aliases")
            return None
        if id(node) in self.open:
            self.fault(node, path, "an alias inside what it stands for, wanted plain values")
            return None
        self.open.add(id(node))
        try:
            if isinstance(node, MappingNode) and node.tag == f"{_CORE}map":
                return dict(self.items(node, path))
            if isinstance(node, SequenceNode) and node.tag == f"{_CORE}seq":
                return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
            if isinstance(node, ScalarNode):
                return self.scalar(node, path)
            self.fault(node, path, f"found the tag {node.tag}, wanted plain YAML without tags")
            return None
        finally:
            self.open.discard(id(node))

    def items(self, node: MappingNode, path: Path_) -> Iterator[tuple[str, Any]]:
        first: dict[str, Mark] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self.fault(key_node, path, "found a key that is a list or a mapping, wanted text")
                continue
            if key_node.value == "<<" and key_node.style is None:
                self.fault(key_node, path, "found the merge key <<, wanted the settings themselves")
                continue
            key = self.scalar(key_node, path)
            # a name stands for its value as it is written: keys of JSON, and so of the schema, are text
            key = word(key)
            inner = (*path, key)
            if key in first:
                line, column = first[key]
                self.fault(key_node, inner, f"found a second time, wanted once (first at {line}:{column})")
                continue
            first[key] = _mark(key_node)
            self.positions.keys[inner] = _mark(key_node)
            yield key, self.value(value_node, inner)

    def scalar(self, node: ScalarNode, path: Path_) -> Any:
        kind = str(node.tag).removeprefix(_CORE)
        text = str(node.value)
        try:
            if kind == "null":
                return None
            if kind == "bool":
                return text.lower() == "true"
            if kind == "int":
                return _integer(text)
            if kind == "float":
                return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan").replace(".NaN", "nan"))
        except ValueError:
            return text
        if kind in ("str", "timestamp", "value"):
            return text
        self.fault(node, path, f"found the tag {node.tag}, wanted plain YAML without tags")
        return None

    def fault(self, node: Node, path: Path_, message: str) -> None:
        self.problems.append(Problem(self.positions.file, *_mark(node), dotted(path), message))


def _mark(node: Node) -> Mark:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _integer(text: str) -> int:
    digits = text.replace("_", "").lower()
    base = {"0x": 16, "0o": 8, "0b": 2}.get(digits.lstrip("+-")[:2], 10)
    return int(digits, base)
