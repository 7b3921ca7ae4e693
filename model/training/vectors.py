"""The vectors that a frozen encoder gives to the sub-words of a corpus: computed once, for all trials that share them.

An encoder of which no part is trained has no dropout either (`EncoderSettings.train`), so a document has the same
vectors in every epoch and every trial. They are kept in the cache, documents of train, dev and test end to end:

    vectors.npy   float32 [sub-words, width], which trials map into their memory, so that all on a machine share it
    vectors.json  sub-words of each document, and the seconds that its vectors took
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import transformers

from model import batch as batches
from model.cache import ensure
from model.data.encoded import SPLITS, EncodedCorpus
from model.data.subwords import EncodedDocument, Encoding
from model.encoder import Encoder

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
    ensure(folder, lambda new: _make(new, documents, encoder))
    log.info("the encoder is frozen: the vectors of all documents are in %s", folder)
    encodings = _read(folder)
    return replace(
        corpus,
        **{
            split: [replace(document, encoding=next(encodings)) for document in getattr(corpus, split)]
            for split in SPLITS
        },
    )


def _read(folder: Path) -> Iterator[Encoding]:
    about = json.loads((folder / "vectors.json").read_text(encoding="utf-8"))
    vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
    ends = np.cumsum(about["subwords"])
    for end, size, took in zip(ends, about["subwords"], about["seconds"], strict=True):
        yield Encoding(vectors[end - size : end], took)


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


def _make(folder: Path, documents: Sequence[EncodedDocument], encoder: Encoder) -> None:
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
    vectors = np.lib.format.open_memmap(
        folder / "vectors.npy", mode="w+", dtype=np.float32, shape=(n_subwords, encoder.width)
    )
    with (folder / "vectors.npy").open("r+b") as handle:
        # a full disk is told here, and not by the end of the process in the middle
        os.posix_fallocate(handle.fileno(), 0, (folder / "vectors.npy").stat().st_size)
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
    (folder / "vectors.json").write_text(json.dumps(about), encoding="utf-8")


@torch.no_grad()
def _encoded(document: EncodedDocument, encoder: Encoder) -> tuple[np.ndarray, float]:
    """Each document by itself, so that its vectors depend on no other, and the seconds that they took."""
    device = next(encoder.parameters()).device
    now = time.process_time if device.type == "cpu" else time.perf_counter
    began = now()
    windows = batches.to(batches.windows([document.subwords], encoder.layout), device)
    return encoder(windows).float().cpu().numpy(), now() - began
