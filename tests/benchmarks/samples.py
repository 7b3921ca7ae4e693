"""Records as a finished trial of our model leaves them."""

from __future__ import annotations

from typing import Any

from orchestrator.store import RECORD, Home, TrialRecord
from reports.settings import METRICS


def finished(key: str, variant: str, seed: int, settings: dict[str, Any]) -> TrialRecord:
    return TrialRecord(
        key=key, study="sample", budget="full", variant=variant, seed=seed, status="finished",
        started="2026-01-01T00:00:00+00:00", ended="2026-01-01T00:05:00+00:00", duration_s=300.0,
        metrics={name: 50.0 + seed for name in METRICS}, selected_epoch=10,
        facts={"parameters": 4_400_000, "device": "cpu", "notes": [], "documents": {"train": 500, "dev": 100}},
        settings=settings, data_digest="0" * 64, code_epoch=1,
        provenance={
            "code": {"commit": "0" * 40, "dirty": False, "diff": None},
            "environment": {"lock": "0" * 64, "installed": "0" * 64},
            "packages": {f"package-{n}": "1.2.3" for n in range(8)},
            "command": ["orchestrate", "run", "studies/sample.yaml"],
        },
    )  # fmt: skip


def put(home: Home, record: TrialRecord) -> None:
    """Write a record at once, without waiting for the disk."""
    folder = home.trial(record.key)
    folder.mkdir(parents=True)
    (folder / RECORD).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
