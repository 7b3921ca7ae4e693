"""YAML with the place of every key and value. Nothing in a file is ever executed.

The file is composed to nodes, which know their marks, and only plain values are made of them: mappings with text keys,
lists, text, numbers, true, false and null, by YAML 1.2 (`no` is text, `1e-5` is a number). A key that stands twice, a
tag, a merge key or an alias inside itself is refused, and so is what no study needs and a program, a terminal or a file
system would stumble over: nesting without end, numbers of hundreds of digits, characters that cannot be shown.
"""

from __future__ import annotations

import bisect
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from orchestrator.errors import Problem, StudyError
from reports.settings import word

Path_ = tuple[str | int, ...]
"""A place inside a file: keys and list indices."""

Mark = tuple[int, int]
"""Line and column, from 1."""

MOST_BYTES = 1_000_000
"""The parser takes about 4 seconds for so many."""

MOST_NODES = 100_000
"""A file of a few lines can name a tree of any size by aliases of aliases."""

MOST_LEVELS = 100
"""Of mappings and lists in each other, each part of a dotted key counted as one."""

MOST_DIGITS = 100
MOST_KEY_CHARACTERS = 200

_CANNOT_BE_SHOWN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and halves of characters, which no file can hold."""

_CORE = "tag:yaml.org,2002:"


class Lines:
    """Lines of a text as editors count them; the parser takes more characters for the end of a line."""

    def __init__(self, text: str) -> None:
        self.starts = [0, *(end.end() for end in re.finditer(r"\r\n|\r|\n", text))]

    def at(self, index: int) -> Mark:
        """The mark of a character."""
        line = bisect.bisect_right(self.starts, index)
        return line, index - self.starts[line - 1] + 1


@dataclass
class Positions:
    """Where the keys and values of one file stand."""

    file: str
    keys: dict[Path_, Mark] = field(default_factory=dict)
    values: dict[Path_, Mark] = field(default_factory=dict)

    def problem(self, path: Path_, message: str, *, at_key: bool = False) -> Problem:
        """A fault of the value at a path, or of its key; of the nearest place above where there is none."""
        message = message.replace("\n", "\\n")  # a fault is one line, whatever text it quotes
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
            cut = part if len(part) <= 80 else f"{part[:77]}..."
            shown = cut if re.fullmatch(r"[\w.$\-]+", cut) else f"'{cut}'" if cut.isprintable() else repr(cut)
            text += f".{shown}" if text else shown
    return text


def read_yaml(path: Path) -> tuple[Any, Positions]:
    """The plain value of a YAML file and where its parts stand. Raises StudyError with all that is wrong in it."""
    positions = Positions(str(path))
    content = path.read_bytes()
    if len(content) > MOST_BYTES:
        raise _refusal(positions, (1, 1), f"the file has {len(content):,} bytes, wanted at most {MOST_BYTES:,}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig")
        message = f"byte 0x{content[error.start]:02x} is no UTF-8; save it as UTF-8"
        raise _syntax(positions, Lines(before).at(len(before)), message) from None
    lines = Lines(text)
    if (version := re.search(r"^%YAML[ \t]+(?!1\.2\s)(\S*)", text, re.MULTILINE)) is not None:
        found = f"found the rules of YAML {version[1]}, wanted those of 1.2: leave the line out"
        raise _syntax(positions, lines.at(version.start()), found)
    yaml = YAML(typ="safe", pure=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ruamel warns of an anchor that is used again, which is no fault
            node = yaml.compose(text)
    except MarkedYAMLError as error:
        raise _syntax(positions, *_explained(error, lines)) from None
    except ReaderError as error:
        raise _syntax(
            positions, lines.at(error.position), f"character #x{error.character:04x} is not allowed in YAML"
        ) from None
    except RecursionError:
        raise _refusal(positions, lines.at(_too_deep(text)), _TOO_DEEP) from None
    except Exception as error:
        # the parser has faults of its own on input that is no YAML at all
        raise _syntax(positions, (1, 1), str(error).split("\n")[0] or type(error).__name__) from None
    if node is None:
        raise _refusal(
            positions, (1, 1), "the file is empty, wanted a study, which begins with `study:` and `question:`"
        )
    builder = _Builder(positions, lines)
    value = builder.value(node, (), 0)
    if builder.problems:
        raise StudyError(builder.problems)
    return value, positions


def _refusal(positions: Positions, mark: Mark, message: str) -> StudyError:
    return StudyError([Problem(positions.file, *mark, "", message)])


def _syntax(positions: Positions, mark: Mark, message: str) -> StudyError:
    return _refusal(positions, mark, f"not readable as YAML: {message}")


_TOO_DEEP = f"nested more than {MOST_LEVELS} levels deep, which no study is"


def _too_deep(text: str) -> int:
    """Where the nesting goes too deep, for a text that cannot be composed; events come without recursion."""
    level = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        level += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if level > MOST_LEVELS:
            return event.start_mark.index
    return 0


_PARSER = {
    r"mapping values are not allowed here": (
        "found a colon where no key can stand; put text with ': ' in it into quotes, or check the indentation"
    ),
    r"sequence entries are not allowed here": "found a list's '- ' where none can stand; check the indentation",
    r"could not find expected ':'": (
        "found a line that is no key with ': ' after it; check the colon, its space and the indentation"
    ),
    r"found undefined alias '(.*)'": "found the alias '*{0}', wanted an anchor '&{0}' before it",
    r"found character '\\t' that cannot start any token": "found a tab, wanted spaces in the indentation",
    r"found character (.*) that cannot start any token": (
        "found {0}, with which no plain text begins; put the text into quotes"
    ),
    r"but found another document": "found a second document, wanted one study a file",
    r"found unknown escape character '(.*)'": (
        "found '\\{0}', which is no escape; put text with backslashes into single quotes"
    ),
    r"expected <block end>, but found .*": (
        "found a line that is indented unlike those before it; the part in which it stands begins at {context}"
    ),
    r"expected ',' or '(.)', but got '(.*)'": "found '{1}' in brackets that open at {context}, wanted ',' or '{0}'",
    r"found unexpected end of stream": "the quoted text that begins here has no end; close its quotes",
}
"""What the parser says, and how a person says it."""

_OF_THE_BEGINNING = ("found unexpected end of stream", "could not find expected ':'")
"""What the parser notices only later than where it is wrong."""


def _explained(error: MarkedYAMLError, lines: Lines) -> tuple[Mark, str]:
    begins, at_fault = (mark and lines.at(mark.index) for mark in (error.context_mark, error.problem_mark))
    mark = at_fault or begins or (1, 1)
    problem = str(error.problem or "").strip()
    if problem in _OF_THE_BEGINNING and begins is not None:
        mark = begins
    for pattern, words in _PARSER.items():
        if (match := re.fullmatch(pattern, problem)) is not None:
            return mark, words.format(*match.groups(), context="{}:{}".format(*(begins or mark)))
    said = " ".join(str(part).strip() for part in (error.context, error.problem) if part)
    return mark, said.split("\n")[0]


class _Builder:
    """Nodes to plain values, collecting places and faults."""

    def __init__(self, positions: Positions, lines: Lines) -> None:
        self.positions = positions
        self.lines = lines
        self.problems: list[Problem] = []
        self.open: set[int] = set()
        self.n_nodes = 0

    def value(self, node: Node, path: Path_, level: int, default: Mark | None = None) -> Any:
        # the parser puts a value that is left out where the next one begins
        is_left_out = isinstance(node, ScalarNode) and not node.value and node.style is None
        self.positions.values.setdefault(path, default if is_left_out and default is not None else self.mark(node))
        self.n_nodes += 1
        if self.n_nodes > MOST_NODES:
            if self.n_nodes == MOST_NODES + 1:
                self.fault(node, path, f"more than {MOST_NODES:,} values, wanted a file without aliases of aliases")
            return None
        if id(node) in self.open:
            self.fault(node, path, "an alias inside what it stands for, wanted plain values")
            return None
        if level > MOST_LEVELS:
            self.fault(node, path[:3], _TOO_DEEP)
            return None
        self.open.add(id(node))
        try:
            if isinstance(node, MappingNode) and node.tag == f"{_CORE}map":
                return dict(self.items(node, path, level))
            if isinstance(node, SequenceNode) and node.tag == f"{_CORE}seq":
                place = self.positions.values[path]
                return [self.value(item, (*path, index), level + 1, place) for index, item in enumerate(node.value)]
            if isinstance(node, ScalarNode):
                return self.scalar(node, path)
            self.fault(node, path, f"found the tag {_shown_tag(node)}, wanted plain YAML without tags")
            return None
        finally:
            self.open.discard(id(node))

    def items(self, node: MappingNode, path: Path_, level: int) -> Iterator[tuple[str, Any]]:
        first: dict[str, Mark] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self.fault(key_node, path, "found a key that is a list or a mapping, wanted text")
                continue
            if key_node.value == "<<" and key_node.style is None:
                self.fault(key_node, path, "found the merge key <<, wanted the settings themselves")
                continue
            # a name stands for its value as it is written: keys of JSON, and so of the schema, are text
            key = word(self.scalar(key_node, path))
            if len(key) > MOST_KEY_CHARACTERS:
                message = f"found a key of {len(key)} characters, wanted at most {MOST_KEY_CHARACTERS}"
                self.fault(key_node, path, message)
                continue
            if "\n" in key or "\t" in key:
                self.fault(key_node, path, f"found the key {key!r}, wanted one line without tabs")
                continue
            inner = (*path, key)
            if key in first:
                line, column = first[key]
                self.fault(key_node, inner, f"found a second time, wanted once (first at {line}:{column})")
                continue
            first[key] = self.mark(key_node)
            self.positions.keys[inner] = self.mark(key_node)
            yield key, self.value(value_node, inner, level + 1 + key.count("."), first[key])

    def scalar(self, node: ScalarNode, path: Path_) -> Any:
        kind = str(node.tag).removeprefix(_CORE)
        text = str(node.value)
        if (character := _CANNOT_BE_SHOWN.search(text)) is not None:
            self.fault(node, path, f"found the character U+{ord(character[0]):04X}, wanted text that can be shown")
            return None
        if kind == "int" and len(text) > MOST_DIGITS:
            self.fault(node, path, f"found a number of {len(text)} digits, wanted at most {MOST_DIGITS}")
            return None
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
        self.fault(node, path, f"found the tag {_shown_tag(node)}, wanted plain YAML without tags")
        return None

    def fault(self, node: Node, path: Path_, message: str) -> None:
        self.problems.append(Problem(self.positions.file, *self.mark(node), dotted(path), message))

    def mark(self, node: Node) -> Mark:
        return self.lines.at(node.start_mark.index)


def _shown_tag(node: Node) -> str:
    """`!!omap` as it is written, not as the parser spells it out."""
    tag = str(node.tag)
    return f"!!{tag.removeprefix(_CORE)}" if tag.startswith(_CORE) else tag


def _integer(text: str) -> int:
    digits = text.replace("_", "").lower()
    base = {"0x": 16, "0o": 8, "0b": 2}.get(digits.lstrip("+-")[:2], 10)
    return int(digits, base)
