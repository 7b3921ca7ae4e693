"""Memory warm-up: when reading starts."""

from __future__ import annotations


def first_reading_step(warmup_proportion: float, n_steps: int) -> int:
    """The first of `n_steps` optimiser steps (counted from 0) at which the memories are read.

    Up to it all reads are off and everything else runs as usual, so the memories are written first; from it on all
    reads are on, at once. 0.0 reads from the start, 1.0 never.

    Source: MRE, section 3.3 (after TriMF, arXiv 2101.10213). The released code takes a proportion that is written as
    an integer for a number of steps and reads in stand-alone evaluation whatever the step; here the proportion is a
    proportion, and a checkpoint says whether it reads.
    """
    return int(warmup_proportion * n_steps)
