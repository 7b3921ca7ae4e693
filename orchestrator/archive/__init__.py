"""Trials on their way from one home to another: one file that a machine without a network leaves.

An archive is a tar file, packed by gzip where its name ends in .gz or .tgz, with the paths that files have in a home:

    manifest.json                              first: format, version, and path, size and SHA-256 of every other file
    <study>/study.yaml                         the study file as it was run last
    <study>/[<budget>/]search.jsonl            what a search has suggested
    <study>/[<budget>/]first_phases.json       what its trials start from
    patches/<digest>.patch                     what the checkout had changed
    trials/<key>/record.json, counts/…, …      what came of each trial; its checkpoint and its state where asked for

Nothing of MLflow is in it. The same trials make the same bytes: files come in the order of their paths, without times
and owners. So a reader has nothing to interpret: after the manifest each byte is as the manifest says, or is refused,
and no path, link or file that the manifest does not name can come out of an archive.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from orchestrator import first_phases
from orchestrator.dashboard import note
from orchestrator.identity import KEY_LENGTH
from orchestrator.provenance import PATCHES
from orchestrator.schema import NAME, RESERVED
from orchestrator.search import JOURNAL
from orchestrator.store import CHECKPOINT, RECORD, RESULTS, STATE

MANIFEST = "manifest.json"
VERSION = 1
"""Of the format; raised when an older reader would misread it."""

KEY = re.compile(rf"[0-9a-f]{{{KEY_LENGTH}}}")
_NAME = re.compile(NAME)
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=@-]{0,99}")
_PATCH = re.compile(r"[0-9a-f]{16}\.patch")
_FOLDERS = tuple(name for name in RESULTS if "." not in name) + (CHECKPOINT, STATE)
_FILES = (RECORD, *(name for name in RESULTS if "." in name))


def fault(path: str) -> str | None:
    """Why a path cannot be in an archive, if so."""
    parts = path.split("/")
    if not all(_PART.fullmatch(part) for part in parts):
        return "is no relative path of plain names"
    match parts:
        case ["trials", key, *below] if KEY.fullmatch(key):
            is_known = len(below) == 1 and below[0] in _FILES or len(below) > 1 and below[0] in _FOLDERS
        case [folder, name] if folder == PATCHES:
            is_known = _PATCH.fullmatch(name) is not None
        case [study, name]:
            is_known = _is_study(study) and name in (note.STUDY, JOURNAL, first_phases.FILE)
        case [study, budget, name]:
            is_known = _is_study(study) and _NAME.match(budget) is not None and name in (JOURNAL, first_phases.FILE)
        case _:
            is_known = False
    return None if is_known else "is no file of a trial or a study"


def _is_study(name: str) -> bool:
    return _NAME.match(name) is not None and name not in RESERVED


class File(BaseModel):
    """One file of an archive."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @property
    def key(self) -> str | None:
        """Of the trial that it belongs to."""
        folder, _, rest = self.path.partition("/")
        return rest.partition("/")[0] if folder == "trials" else None

    @property
    def name(self) -> str:
        """Its path below its trial's folder; of a study's file, its path."""
        return self.path if self.key is None else self.path.split("/", 2)[2]


class Manifest(BaseModel):
    """What an archive holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["orchestrate archive"] = "orchestrate archive"
    version: Literal[1] = VERSION
    studies: dict[Annotated[str, Field(pattern=NAME)], list[Annotated[str, Field(pattern=NAME)]]]
    """Study → those of its budgets that the trials are of."""
    files: list[File]

    @field_validator("files")
    @classmethod
    def _are_safe(cls, files: list[File]) -> list[File]:
        paths = [file.path for file in files]
        for path in paths:
            told = fault(path)
            if told is not None:
                raise ValueError(f"{path!r} {told}")
        if any(a >= b for a, b in zip(paths, paths[1:], strict=False)):
            raise ValueError("the files are not in the order of their paths, each once")
        there = set(paths)
        for path in paths:
            above = path.split("/")
            if any("/".join(above[:n]) in there for n in range(1, len(above))):
                raise ValueError(f"{path!r} lies below a file")
        without = {file.key for file in files} - {file.key for file in files if file.name == RECORD} - {None}
        if without:
            raise ValueError(f"trial {min(map(str, without))} has no {RECORD}")
        return files

    @property
    def keys(self) -> list[str]:
        return sorted({file.key for file in self.files if file.key is not None})

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)
