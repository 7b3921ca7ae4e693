"""What can be wrong with a study, told with its place; and how the command line ends."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """How `orchestrate` ends. Scripts rely on these numbers."""

    DONE = 0
    TRIAL_FAILED = 1
    INVALID = 2
    INTERRUPTED = 130


@dataclass(frozen=True, order=True)
class Problem:
    """One fault. Lines and columns count from 1; line 0 is a fault of no place in the file."""

    file: str
    line: int
    column: int
    path: str
    """The key in the file, such as `ablate.model.memory.read[1]`; empty for a fault of no key."""
    message: str
    """What was found, what is wanted, and where it helps, what may be meant."""

    def __str__(self) -> str:
        place = ":".join([self.file, *([str(self.line), str(self.column)] if self.line else [])])
        if not place:
            return self.message
        return f"{place} {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class StudyError(ValueError):
    """A study that cannot be run as it is: all its faults at once, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        assert self.problems, "a StudyError has at least one problem"
        super().__init__("\n".join(map(str, self.problems)))


def refused(message: str) -> StudyError:
    """A refusal that concerns the command or the machine, not a place in a file."""
    return StudyError([Problem("", 0, 0, "", message)])


def did_you_mean(found: Any, known: Iterable[str]) -> str:
    """`, did you mean 'read'?`, or nothing if no known name is near."""
    # rapidfuzz would be quicker, but takes longer to import than all names of a study take to compare
    near = difflib.get_close_matches(str(found), list(known), n=1, cutoff=0.6)
    return f", did you mean '{near[0]}'?" if near else ""
