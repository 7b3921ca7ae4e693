"""A trial's name: a hash of all that can change its scores, and of nothing else.

    key = SHA-256 of canonical JSON of  resolved settings · seed · digest of the data · code epoch of the model

The settings are resolved and typed before they are hashed: defaults spelled out or left out give one key, a default
that changes gives another. Canonical JSON writes `1`, `1.0` and `true` differently.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import model
from model.settings import ExperimentSettings

KEY_LENGTH = 16
"""Hex digits. Two of a million trials share a key with a chance of 3 in 100 million."""


def canonical(value: Any) -> str:
    """JSON with one form for one value. Raises ValueError for a number that is none."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def trial_key(settings: ExperimentSettings, seed: int, data_digest: str) -> str:
    """The key of one trial."""
    return keys(settings, [seed], data_digest)[0]


def keys(settings: ExperimentSettings, seeds: list[int], data_digest: str) -> list[str]:
    """The keys of one variant's trials: settings are written once for all seeds."""
    written = canonical(settings.model_dump(mode="json"))
    return [
        hashlib.sha256(
            canonical({"settings": written, "seed": seed, "data": data_digest, "code": model.CODE_EPOCH}).encode()
        ).hexdigest()[:KEY_LENGTH]
        for seed in seeds
    ]
