"""One trial, from settings and a seed to scores: all that the orchestrator knows of the model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from model.data.catalog import digest_of_phases
from model.data.encoded import EncodedCorpus, load_encoded
from model.encoder import load_tokenizer, quiet_libraries, vocabulary_of
from model.joint.network import Network
from model.settings import DataSettings, EncoderSettings, ExperimentSettings
from model.training import checkpoint
from model.training.device import memory, reset_peak_memory, resolve_device
from model.training.loop import Report, evaluate, train
from model.training.transfer import take_over
from model.training.vectors import with_vectors

log = logging.getLogger("model")


def prepare(settings: ExperimentSettings, *, data: Sequence[Path], cache: Path) -> dict:
    """Read and encode the data of a trial into the cache, once for all trials that share it.

    Returns the digest of the data, the number of documents by split, and notes on what was dropped or changed.
    """
    quiet_libraries()
    corpus = _corpus(settings.data, settings.model.encoder, data, cache)
    return {
        "data_digest": corpus.digest,
        "documents": {"train": len(corpus.train), "dev": len(corpus.dev), "test": len(corpus.test)},
        "notes": list(corpus.notes),
    }


def run(
    settings: ExperimentSettings,
    seed: int,
    folder: Path,
    *,
    data: Sequence[Path],
    cache: Path,
    device: str = "auto",
    threads: int | None = None,
    report: Report = lambda epoch: None,
    first_phase: Path | None = None,
) -> dict:
    """Train on train, select the epoch by `settings.training.select`, evaluate the selected network on test.

    Goes on from `folder/last` where an earlier call was interrupted. `device`: `auto` takes a GPU where there is one.
    `threads`: CPU threads, for the caller to choose, as trials run side by side. `first_phase`: where the settings have
    `pretraining`, the folder in which `run(settings.first_phase, settings.pretraining.seed, …)` has finished; training
    starts from its weights. Returns `metrics` (`{dev,test}/{subtask}_{precision,recall,f1}` in percent, at the selected
    epoch), `selected_epoch`, and facts about the trial: `reading_at_selected_epoch` is None where the settings let the
    memories never be read, the facts of `model.training.device.memory` are there on a GPU only, and `pretraining` tells
    what was taken over from the first phase. Leaves checkpoint, predictions and per-document counts in `folder`, and in
    `.last.old` the state before the last epoch, for the case that the result gets lost.
    """
    if (settings.pretraining is None) != (first_phase is None):
        raise ValueError(
            "the settings have `pretraining`, wanted `first_phase`, the folder of the trial that comes before"
            if first_phase is None
            else f"found the first phase {first_phase}, but the settings have no `pretraining`"
        )
    quiet_libraries()
    if threads is not None:
        torch.set_num_threads(threads)
    place = resolve_device(device)
    reset_peak_memory(place)
    folder.mkdir(parents=True, exist_ok=True)
    corpus = _corpus(settings.data, settings.model.encoder, data, cache)
    _log_what_cannot_be_found(corpus, settings)

    torch.manual_seed(seed)
    tokenizer = load_tokenizer(settings.model.encoder)
    network = Network(settings.model, corpus.labels, vocabulary_of(tokenizer)).to(place)
    transfer = None if first_phase is None else take_over(first_phase, settings, network)
    if not settings.model.encoder.train:
        corpus = with_vectors(corpus, network.encoder, cache)
    layout = network.encoder.layout
    n_windows = sum(len(layout.windows(d.n_subwords)) > 1 for d in (*corpus.train, *corpus.dev, *corpus.test))
    if n_windows:
        log.info("%d documents are longer than the encoder and are encoded in overlapping windows", n_windows)
    selected_epoch = train(network, tokenizer, corpus, settings.training, seed, folder, report)

    progress = checkpoint.load_weights(folder / "checkpoint", network)
    assert progress.epoch == selected_epoch
    test = evaluate(network, corpus.test, timed=True)
    test.write(folder, "test")
    dev_scores = checkpoint.describe(folder / "checkpoint")["metrics"]
    metrics = {name: value for name, value in dev_scores.items() if name.startswith("dev/")} | test.scores("test")
    checkpoint.put_aside(folder / "last")
    log.info(
        "selected epoch %d by %s: test strict relation F1 %.2f, relation F1 %.2f, entity F1 %.2f, mention F1 %.2f",
        selected_epoch, settings.training.select, metrics["test/relation_strict_f1"],
        metrics["test/relation_f1"], metrics["test/entity_f1"], metrics["test/mention_f1"],
    )  # fmt: skip
    return {
        "metrics": metrics,
        "selected_epoch": selected_epoch,
        "reading_at_selected_epoch": progress.reading if settings.model.memory.are_read else None,
        "parameters": sum(p.numel() for p in network.parameters()),
        "trained_parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
        "data_digest": digest_of_phases(corpus.digest, None if transfer is None else transfer.data_digest),
        **({} if transfer is None else {"pretraining": transfer.facts()}),
        "device": str(place),
        **memory(place),
        "documents_in_windows": n_windows,
        "notes": list(corpus.notes),
    }


def _corpus(data: DataSettings, encoder: EncoderSettings, search: Sequence[Path], cache: Path) -> EncodedCorpus:
    return load_encoded(data, search, load_tokenizer(encoder), cache)


def _log_what_cannot_be_found(corpus: EncodedCorpus, settings: ExperimentSettings) -> None:
    for note in corpus.notes:
        log.info("data: %s", note)
    longest = settings.model.mention.max_span_size
    for split in ("train", "dev", "test"):
        sizes = np.array([m.end - m.start for d in getattr(corpus, split) for m in d.document.mentions()], dtype=int)
        if (sizes > longest).any():
            log.info(
                "%s: %d of %d gold mentions are longer than max_span_size (%d words): no prediction can match them",
                split, (sizes > longest).sum(), len(sizes), longest,
            )  # fmt: skip
