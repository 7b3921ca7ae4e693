"""The vectors that a frozen encoder gives to the sub-words of a corpus: computed once, for all trials that share them.

An encoder of which no part is trained has no dropout either (`EncoderSettings.train`), so a document has the same
vectors in every epoch and every trial. They are kept in the cache, documents of train, dev and test end to end:

    vectors.npy   float32 [sub-words, width], which trials map into their memory, so that all on a machine share it
    vectors.json  sub-words of each document, and the seconds that its vectors took
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import transformers

from model import batch as batches
from model.data.encoded import SPLITS, EncodedCorpus
from model.data.subwords import EncodedDocument, Encoding
from model.encoder import Encoder
from model.training.durable import sync_files

log = logging.getLogger("model")

FORMAT = 1
"""Raised when vectors come out differently, so that nothing old is read."""
TOLD_EVERY = 30.0
"""Seconds between two lines about how far it is."""


def with_vectors(corpus: EncodedCorpus, encoder: Encoder, cache: Path) -> EncodedCorpus:
    """The corpus with the vectors of all documents, from the cache or computed by this encoder into it.

    Several processes may ask at once: one computes and the others wait for it. Raises OSError where the disk is too
    small, before anything is computed.
    """
    documents = [document for split in SPLITS for document in getattr(corpus, split)]
    folder = cache / "vectors" / _key(documents, encoder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    encodings = _read(folder, documents, encoder.width)
    if encodings is None:
        with _alone(folder):
            encodings = _read(folder, documents, encoder.width)  # another may have been first
            if encodings is None:
                encodings = _make(folder, documents, encoder)
    log.info("the encoder is frozen: the vectors of all documents are in %s", folder)
    found = iter(encodings)
    return replace(
        corpus,
        **{split: [replace(document, encoding=next(found)) for document in getattr(corpus, split)] for split in SPLITS},
    )


def _read(folder: Path, documents: Sequence[EncodedDocument], width: int) -> list[Encoding] | None:
    """Of each document, if all is there; a cache may lose files, and what is lost is made again."""
    try:
        about = json.loads((folder / "vectors.json").read_text(encoding="utf-8"))
        vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    sizes = [document.n_subwords for document in documents]
    seconds = about.get("seconds", ())
    if about.get("subwords") != sizes or len(seconds) != len(sizes) or vectors.shape != (sum(sizes), width):
        return None
    return _apart(vectors, sizes, seconds)


def _apart(vectors: np.ndarray, sizes: Sequence[int], seconds: Sequence[float]) -> list[Encoding]:
    ends = np.cumsum(sizes)
    return [Encoding(vectors[end - size : end], took) for end, size, took in zip(ends, sizes, seconds, strict=True)]


def _key(documents: Sequence[EncodedDocument], encoder: Encoder) -> str:
    """Of all that the vectors depend on: sub-words, weights, configuration, layout, and what computes with them."""
    told = hashlib.sha256()
    device = next(encoder.parameters()).device.type
    computed_by = [torch.__version__, transformers.__version__, device]
    what = [FORMAT, encoder.config.to_dict(), asdict(encoder.layout), computed_by]
    told.update(json.dumps(what, sort_keys=True, default=str).encode())
    for name, value in encoder.state_dict().items():
        told.update(name.encode())
        told.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    for document in documents:
        told.update(document.subwords.tobytes())
        told.update(b"|")
    return told.hexdigest()[:16]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; the system takes it from a process that ends, however it does."""
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting for the vectors of the frozen encoder, which another trial computes")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(folder: Path, documents: Sequence[EncodedDocument], encoder: Encoder) -> list[Encoding]:
    new = folder.with_name(f".{folder.name}.new")
    for left in (new, folder):
        shutil.rmtree(left, ignore_errors=True)
    sizes = [document.n_subwords for document in documents]
    n_subwords = sum(sizes)
    wanted, free = n_subwords * encoder.width * 4, shutil.disk_usage(folder.parent).free
    if wanted > free:
        raise OSError(
            f"the vectors of the frozen encoder need {wanted / 2**30:.1f} GiB in {folder.parent}, but "
            f"{free / 2**30:.1f} GiB are free; make room, or name another home by --home"
        )
    log.info(
        "the encoder is frozen: computing the vectors of %d documents once (%.2f GiB)", len(documents), wanted / 2**30
    )
    new.mkdir()
    vectors = np.lib.format.open_memmap(
        new / "vectors.npy", mode="w+", dtype=np.float32, shape=(n_subwords, encoder.width)
    )
    with (new / "vectors.npy").open("r+b") as handle:
        # a full disk is told here, and not by the end of the process in the middle
        os.posix_fallocate(handle.fileno(), 0, (new / "vectors.npy").stat().st_size)
    seconds = []
    start, told = 0, time.monotonic()
    for n, document in enumerate(documents, start=1):
        end = start + document.n_subwords
        vectors[start:end], took = _encoded(document, encoder)
        seconds.append(round(took, 6))
        start = end
        if time.monotonic() - told > TOLD_EVERY:
            log.info("vectors of %d of %d documents", n, len(documents))
            told = time.monotonic()
    vectors.flush()
    about = {"subwords": sizes, "seconds": seconds}
    (new / "vectors.json").write_text(json.dumps(about), encoding="utf-8")
    sync_files(new)
    new.rename(folder)
    return _apart(np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False), sizes, seconds)


@torch.no_grad()
def _encoded(document: EncodedDocument, encoder: Encoder) -> tuple[np.ndarray, float]:
    """Each document by itself, so that its vectors depend on no other, and the seconds that they took."""
    device = next(encoder.parameters()).device
    now = time.process_time if device.type == "cpu" else time.perf_counter
    began = now()
    windows = batches.to(batches.windows([document.subwords], encoder.layout), device)
    return encoder(windows).float().cpu().numpy(), now() - began
