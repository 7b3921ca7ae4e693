"""Batches of an epoch, each made while the one before is computed on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from model import batch as batches
from model.batch import Batch
from model.data.subwords import Layout
from model.sampling.draw import Pool, draw
from model.settings import PhaseSettings

AHEAD = 2
"""Batches that are made before they are asked for."""


def feed(
    pools: Sequence[Pool],
    settings: PhaseSettings,
    seed: int,
    epoch: int,
    *,
    layout: Layout,
    with_mention_pairs: bool,
    device: torch.device,
) -> Iterator[Batch]:
    """All documents once, in an order and with draws that depend on the seed, the epoch and the document alone.

    Drawing and laying out need no GPU and leave Python's lock where numpy and torch compute, so one thread does them
    beside the training. On a CPU, where they would take from the training what they do beside it, it is the same
    thread's work, batch by batch.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(pools)).tolist()

    def made(at: int) -> Batch:
        samples = [
            draw(pools[i], settings.sampling, np.random.default_rng([seed, epoch, i]), with_mention_pairs)
            for i in order[at : at + settings.batch_size]
        ]
        return batches.to(batches.collate(samples, layout), device)

    starts = range(0, len(order), settings.batch_size)
    if device.type == "cpu":
        yield from map(made, starts)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as maker:
        coming: deque[Future[Batch]] = deque()
        try:
            for start in starts:
                coming.append(maker.submit(made, start))
                if len(coming) > AHEAD:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            maker.shutdown(cancel_futures=True)
