"""Predictions for a split, counted against gold and written beside each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.data.document import Document, to_json
from model.metrics import matching
from model.metrics.matching import Counts


@dataclass(frozen=True)
class Evaluation:
    """Predictions for a split and the counts of each document."""

    predicted: list[Document]
    counts: list[dict[str, Counts]]

    @classmethod
    def of(cls, gold: Sequence[Document], predicted: Sequence[Document]) -> Evaluation:
        """Raises ValueError where the two are not the same texts in the same order."""
        counts = [matching.count(wanted, found) for wanted, found in zip(gold, predicted, strict=True)]
        return cls(list(predicted), counts)

    def scores(self, split: str) -> dict[str, float]:
        return matching.scores(matching.pool(self.counts), split)

    def write(self, folder: Path, split: str) -> None:
        """`predictions/{split}.json`: Documents; `counts/{split}.json`: [correct, spurious, missed] by document."""
        counts = [
            {"id": document.id, **{task: [c.correct, c.spurious, c.missed] for task, c in of_document.items()}}
            for document, of_document in zip(self.predicted, self.counts, strict=True)
        ]
        for kind, content in (("predictions", [to_json(document) for document in self.predicted]), ("counts", counts)):
            path = folder / kind / f"{split}.json"
            path.parent.mkdir(exist_ok=True)
            new = path.with_suffix(".new")
            new.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
            new.replace(path)
