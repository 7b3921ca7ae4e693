"""A trial's name: a hash of all that can change its scores, and of nothing else.

    key = SHA-256 of canonical JSON of  resolved settings · seed · digest of the data · code epoch of the model

The settings of a trial of two phases hold those of its first phase, and the digest covers the data of both. The first
phase is a trial with a key of its own, made in the same way.

The settings are resolved and typed before they are hashed: defaults spelled out or left out give one key, a default
that changes gives another. Canonical JSON writes `1`, `1.0` and `true` differently. For a trainable that is not ours
its name belongs to the key as well (`Trainable.identity`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

KEY_LENGTH = 16
"""Hex digits. Two of a million trials share a key with a chance of 3 in 100 million."""
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical(value: Any) -> str:
    """JSON with one form for one value. Raises ValueError for a number that is none."""
    return _ENCODER.encode(value)


def keys(written: str, seeds: Sequence[int], data_digest: str, trainable: Mapping[str, Any]) -> list[str]:
    """The keys of one variant's trials; `written` is its settings in canonical JSON, once for all seeds."""
    rest = {"settings": written, "data": data_digest, **trainable}
    # canonical JSON sorts its keys, and `seed` is put into its place among them
    before, after = canonical({**rest, "seed": 0}).split('"seed":0')
    return [hashlib.sha256(f'{before}"seed":{seed}{after}'.encode()).hexdigest()[:KEY_LENGTH] for seed in seeds]
