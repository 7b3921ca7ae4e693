"""A corpus as sub-words, computed once and kept on disk for all trials that use it.

corpus.json          documents, labels, notes
subwords.safetensors ids and word starts of all documents, end to end
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedTokenizerFast

from model.cache import ensure
from model.data import catalog
from model.data.document import from_json, to_json
from model.data.labels import Labels
from model.data.subwords import EncodedDocument, encode
from model.settings import DataSettings

FORMAT = 1
"""Raised when documents or sub-words come out differently, so that nothing old is read."""

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class EncodedCorpus:
    """A corpus with the sub-words of all its documents. `notes`: what was dropped or changed on the way, counted."""

    train: list[EncodedDocument]
    dev: list[EncodedDocument]
    test: list[EncodedDocument]
    labels: Labels
    digest: str
    notes: tuple[str, ...]


def load_encoded(
    settings: DataSettings, search: Sequence[Path], tokenizer: PreTrainedTokenizerFast, cache: Path
) -> EncodedCorpus:
    """Read the corpus from the cache, or make it. Several processes may ask at once: one makes it, the others wait."""
    digest = catalog.digest(settings, search)
    vocabulary = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
    key = hashlib.sha256(json.dumps([FORMAT, digest, vocabulary]).encode()).hexdigest()[:16]
    folder = cache / "encoded" / f"{settings.name}-{key}"
    ensure(folder, lambda new: _make(new, settings, search, tokenizer))
    return _read(folder)


def _make(folder: Path, settings: DataSettings, search: Sequence[Path], tokenizer: PreTrainedTokenizerFast) -> None:
    corpus = catalog.load(settings, search)
    splits = {split: encode(getattr(corpus, split), tokenizer) for split in SPLITS}
    documents = [document for split in SPLITS for document in splits[split]]
    description = {
        "digest": corpus.digest,
        "labels": asdict(corpus.labels),
        "notes": list(corpus.notes),
        **{split: [to_json(document.document) for document in splits[split]] for split in SPLITS},
    }
    arrays = {
        "subwords": np.concatenate([document.subwords for document in documents]),
        "n_subwords": np.array([document.n_subwords for document in documents], dtype=np.int32),
        "start": np.concatenate([document.start for document in documents]),
    }
    (folder / "corpus.json").write_text(json.dumps(description, ensure_ascii=False), encoding="utf-8")
    save_file(arrays, folder / "subwords.safetensors")


def _read(folder: Path) -> EncodedCorpus:
    description = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
    arrays = load_file(folder / "subwords.safetensors")
    subword_ends = np.cumsum(arrays["n_subwords"])
    splits: dict[str, list[EncodedDocument]] = {}
    index = word = 0
    for split in SPLITS:
        splits[split] = []
        for value in description[split]:
            document = from_json(value)
            end = subword_ends[index]
            subwords = arrays["subwords"][end - arrays["n_subwords"][index] : end]
            start = arrays["start"][word : word + document.n_words + 1]
            splits[split].append(EncodedDocument(document, subwords, start))
            index += 1
            word += document.n_words + 1
    return EncodedCorpus(
        **splits,
        labels=Labels(
            tuple(description["labels"]["entity_types"]),
            tuple(description["labels"]["relation_types"]),
            description["labels"]["relation_names"],
        ),
        digest=description["digest"],
        notes=tuple(description["notes"]),
    )
