"""The training loop: epochs of steps, an evaluation after each, the best epoch kept.

Source: MRE, sections 3.3 and 4.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from model.data.encoded import EncodedCorpus
from model.data.subwords import EncodedDocument
from model.joint.network import Network
from model.memory.warmup import first_reading_step
from model.metrics.evaluation import Evaluation
from model.sampling.draw import pool
from model.settings import TrainingSettings
from model.training import checkpoint
from model.training.checkpoint import Progress
from model.training.feed import feed
from model.training.optimiser import build_optimiser, build_schedule
from model.training.step import check_norms, training_step

log = logging.getLogger("model")

LOOKED_AT_TOGETHER = 50
"""Steps after which their gradients are looked at: on a GPU each look waits for all that was begun."""

Report = Callable[[dict], None]
"""Takes {"epoch": int, "metrics": {name: float}} after every epoch."""


def evaluate(network: Network, documents: Sequence[EncodedDocument], timed: bool = False) -> Evaluation:
    """Extract from documents and count against their gold annotation: a function of the network alone.

    `timed`: each document by itself, with the seconds that it took.
    """
    network.eval()
    gold = [encoded.document for encoded in documents]
    if not timed:
        return Evaluation.of(gold, network.extract(documents))
    seconds = [0.0] * len(documents)
    network.extract(documents[:1])  # what is made at first use is no document's cost
    return Evaluation.of(gold, network.extract(documents, clock=seconds.__setitem__), seconds)


def train(
    network: Network,
    tokenizer: PreTrainedTokenizerFast,
    corpus: EncodedCorpus,
    settings: TrainingSettings,
    seed: int,
    folder: Path,
    report: Report,
) -> int:
    """Train to the end, from `folder/last` if there is one, and return the selected epoch (from 1).

    It is the first with the highest `settings.select.score`, or the last, if that is set. Each epoch is evaluated on
    dev; on test only where it selects, which makes the scores on test too high.

    Draws depend on the seed, the epoch and the document only, dropout on torch's generators, whose state is part of
    `last`: an interrupted training goes on as if it had not been. Leaves the selected network in `folder/checkpoint`,
    its dev predictions and counts beside it, and a line for each epoch in `history.jsonl`.
    """
    selected_by = settings.select.score
    if settings.select.on == "test":
        log.warning("the epoch is selected by %s, so the scores on test are too high", selected_by)
    n_steps = -(-len(corpus.train) // settings.batch_size) * settings.epochs
    reading_from = first_reading_step(network.settings.memory.warmup_proportion, n_steps)
    pools = [pool(document, corpus.labels, network.settings.mention.max_span_size) for document in corpus.train]
    optimiser = build_optimiser(network, settings)
    last, selected_folder, history_path = folder / "last", folder / "checkpoint", folder / "history.jsonl"
    history: list[dict] = []
    step = 0
    if checkpoint.recover(last):
        progress = checkpoint.load_weights(last, network)
        checkpoint.load_training_state(last, network, optimiser)
        step = progress.step
        history = [json.loads(line) for line in history_path.read_text(encoding="utf-8").splitlines()]
        history = history[: progress.epoch]
        log.info("resuming after epoch %d of %d (step %d of %d)", progress.epoch, settings.epochs, step, n_steps)
    schedule = build_schedule(optimiser, n_steps, settings.learning_rate_warmup, step)
    keeps_last = settings.select.epoch == "last"
    best = max((entry["metrics"][selected_by] for entry in history), default=-1.0)

    for epoch in range(len(history) + 1, settings.epochs + 1):
        started = time.monotonic()
        network.train()
        total = torch.zeros(len(_LOSSES), device=network.device)
        norms: list[torch.Tensor] = []
        n_batches = 0
        for batch in feed(
            pools, settings, seed, epoch,
            layout=network.encoder.layout, with_mention_pairs=network.joint.needs_mention_pairs, device=network.device,
        ):  # fmt: skip
            network.joint.reading = step >= reading_from
            losses, norm = training_step(network, optimiser, batch, settings)
            schedule.step()
            step += 1
            n_batches += 1
            total += torch.stack([getattr(losses, name).detach() for name in _LOSSES])
            norms.append(norm)
            if len(norms) == LOOKED_AT_TOGETHER:
                check_norms(norms, step)
                norms.clear()
        check_norms(norms, step)
        trained = time.monotonic() - started

        # evaluation reads if the last training step did, so never with reads that were not trained
        evaluation = evaluate(network, corpus.dev)
        metrics = {
            **evaluation.scores("dev"),
            **(evaluate(network, corpus.test).scores("test") if settings.select.on == "test" else {}),
            **{f"loss/{name}": value / n_batches for name, value in zip(_LOSSES, total.tolist(), strict=True)},
            "learning_rate": schedule.get_last_lr()[0],
            "reading": float(network.joint.reading and network.settings.memory.read is not None),
            "seconds/training": trained,
            "seconds/evaluation": time.monotonic() - started - trained,
        }
        progress = Progress(epoch, step, network.joint.reading)
        log.info(
            "epoch %d of %d: loss %.3f, %s, %.0f s",
            epoch, settings.epochs, metrics["loss/total"],
            # mentions are found long before relations, so their score shows early whether anything is learnt
            ", ".join(f"{name} {metrics[name]:.2f}" for name in dict.fromkeys((selected_by, "dev/mention_f1"))),
            time.monotonic() - started,
        )  # fmt: skip
        if epoch == settings.epochs if keeps_last else metrics[selected_by] > best:
            best = metrics[selected_by]
            evaluation.write(folder, "dev")
            of_data = {"data_digest": corpus.digest}
            checkpoint.save(selected_folder, network, tokenizer, progress, {"metrics": metrics, **of_data})
        history.append({"epoch": epoch, "step": step, "metrics": metrics})
        _write_lines(history_path, history)
        if epoch < settings.epochs:
            checkpoint.save(last, network, tokenizer, progress, {}, optimiser)
        report({"epoch": epoch, "metrics": metrics})
    if keeps_last:
        return settings.epochs
    # the first of equal ones
    return max(history, key=lambda entry: entry["metrics"][selected_by])["epoch"]


_LOSSES = ("mention", "coreference", "entity", "relation", "total")


def _write_lines(path: Path, entries: list[dict]) -> None:
    new = path.with_suffix(".new")
    new.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    new.replace(path)
