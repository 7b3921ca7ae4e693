"""`orchestrate attention`: what the memories of a trained model attend to in a document, as numbers and as a figure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model.data import catalog
from model.data.document import Document
from model.settings import ExperimentSettings
from orchestrator.errors import did_you_mean, refused
from orchestrator.store import CHECKPOINT, Home, TrialRecord, has_checkpoint

FOLDER = "attention"
"""In the folder of the trial."""
SPLITS = ("test", "dev", "train")
"""In which a document is looked for, in this order."""


def write(
    record: TrialRecord,
    home: Home,
    document: str,
    search: Sequence[Path],
    *,
    folder: Path | None = None,
    device: str = "auto",
) -> dict[str, Path]:
    """Weights (`.json`) and heat maps (`.pdf`, `.png`) of one document, by its id: file name → path.

    Raises StudyError for a trial without reads or without checkpoint, and for a document that its data does not have.
    """
    _refuse_without_reads(record)
    if not has_checkpoint(home.trial(record.key)):
        raise refused(_without_checkpoint(record, home))
    found = _document(record, document, search)

    from model.inspection import inspect
    from reports.figures import attention

    try:
        inspection = inspect(home.trial(record.key) / CHECKPOINT, found, device)
    except ValueError as error:
        raise refused(f"trial {record.key}: {error}") from None
    trial = {"key": record.key, "study": record.study, "variant": record.variant, "seed": record.seed}
    given = {"trial": {**trial, "epoch": record.selected_epoch}, **inspection.to_json()}
    content = (json.dumps(given, ensure_ascii=False) + "\n").encode()
    origin = (
        f"orchestrate: trial {record.key}, document {document}, weights sha256:{hashlib.sha256(content).hexdigest()}"
    )
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", document).strip(".-")[:80] or "document"
    files = {f"{name}.json": content, **attention.files(attention.AttentionMap.of(given), name, origin)}
    folder = folder or home.trial(record.key) / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, of in files.items():
            (folder / file).write_bytes(of)
    except OSError as error:
        raise refused(f"{folder} cannot be written: {error.strerror}") from None
    return {file: folder / file for file in files}


def _refuse_without_reads(record: TrialRecord) -> None:
    if record.trainable:
        raise refused(f"trial {record.key} is of a {record.trainable.get('kind', '?')}, wanted one of our models")
    memory: Mapping[str, Any] = record.settings["model"].get("memory") or {}
    if memory.get("read") is None:
        raise refused(f"trial {record.key} ('{record.variant}') reads no memory (model.memory.read is null)")
    if record.facts.get("reading_at_selected_epoch") is False:
        raise refused(
            f"trial {record.key} ('{record.variant}') was selected at epoch {record.selected_epoch}, before its reads "
            f"set in (model.memory.warmup_proportion is {memory['warmup_proportion']:g}): it attends to nothing yet"
        )


def _without_checkpoint(record: TrialRecord, home: Home) -> str:
    if record.status != "finished":
        return f"trial {record.key} is {record.status} and has no checkpoint yet; run its study first"
    others = [
        other
        for other in home.records().values()
        if (other.study, other.variant) == (record.study, record.variant) and has_checkpoint(home.trial(other.key))
    ]
    told = ", ".join(f"{other.key} (seed {other.seed})" for other in others)
    return f"trial {record.key} has no checkpoint any more: `orchestrate gc` has cleared it; " + (
        f"of '{record.variant}' there are those of {told}"
        if told
        else "`orchestrate gc --keep all-finished` keeps those of the trials to come"
    )


def _document(record: TrialRecord, document: str, search: Sequence[Path]) -> Document:
    """By its id, of the data that the trial was trained on."""
    try:
        corpus = catalog.load(ExperimentSettings.model_validate(record.settings).data, search)
    except (ValueError, OSError) as error:
        raise refused(f"the data of trial {record.key} cannot be read: {error}") from None
    known: dict[str, Document] = {}
    for split in SPLITS:
        for one in getattr(corpus, split):
            known.setdefault(one.id, one)
    if document not in known:
        some = ", ".join(list(known)[:3])
        raise refused(
            f"there is no document '{document}' in {corpus.name}{did_you_mean(document, known)}; its "
            f"{len(known)} documents are {some}, …"
        )
    return known[document]
