"""Predictions for a split, counted against gold and written beside each other.

`predictions/{split}.json` has Documents. `counts/{split}.json` has what every score is made of, in columns, without
rows of noughts only:

    {
      "documents": {"id": ["a", "b"], "words": [210, 187]},
      "mention": {"document": [0, 1], "correct": [9, 4], "spurious": [1, 0], "missed": [2, 3]},
      "coreference": …,
      "entity": {"document": [0, 0, 1], "type": ["Chemical", "Disease", "Disease"], "correct": …},
      "relation": …,
      "relation_strict": …
    }

`document` is an index into `documents`. Rows of a sub-task whose items have types are by type. What a document cost
lies apart, in `seconds/{split}.json`, as it is another each time: `{"id": ["a", "b"], "seconds": [0.031, 0.024]}`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.data.document import Document, to_json
from model.metrics import matching
from model.metrics.matching import Counts


@dataclass(frozen=True)
class Evaluation:
    """Predictions for a split and the counts of each document."""

    gold: list[Document]
    predicted: list[Document]
    counts: list[dict[str, Counts]]
    seconds: list[float] | None = None
    """Of each document, extracted alone; `None` where they were not taken."""

    @classmethod
    def of(
        cls, gold: Sequence[Document], predicted: Sequence[Document], seconds: Sequence[float] | None = None
    ) -> Evaluation:
        """Raises ValueError where the two are not the same texts in the same order."""
        counts = [matching.count(wanted, found) for wanted, found in zip(gold, predicted, strict=True)]
        return cls(list(gold), list(predicted), counts, None if seconds is None else list(seconds))

    def scores(self, split: str) -> dict[str, float]:
        return matching.scores(matching.pool(self.counts), split)

    def write(self, folder: Path, split: str) -> None:
        """`predictions/{split}.json`, `counts/{split}.json` and, if they were taken, `seconds/{split}.json`, each in
        the place of its predecessor at once."""
        files: dict[str, Any] = {
            "predictions": [to_json(document) for document in self.predicted],
            "counts": self._columns(),
        }
        if self.seconds is not None:
            ids = [one.id for one in self.gold]
            files["seconds"] = {"id": ids, "seconds": [round(one, 6) for one in self.seconds]}
        for kind, content in files.items():
            path = folder / kind / f"{split}.json"
            path.parent.mkdir(exist_ok=True)
            new = path.with_suffix(".new")
            new.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
            new.replace(path)

    def _columns(self) -> dict[str, dict[str, list[Any]]]:
        documents = {"id": [one.id for one in self.gold], "words": [one.n_words for one in self.gold]}
        columns: dict[str, dict[str, list[Any]]] = {"documents": documents}
        of_types = [matching.count_types(gold, found) for gold, found in zip(self.gold, self.predicted, strict=True)]
        for task in matching.SUBTASKS:
            rows: list[tuple[int, str, Counts]]
            if task in matching.TYPED:
                rows = [(n, name, one) for n, of in enumerate(of_types) for name, one in of[task].items()]
            else:
                rows = [(n, "", of[task]) for n, of in enumerate(self.counts) if of[task] != Counts()]
            columns[task] = {"document": [n for n, _, _ in rows]}
            if task in matching.TYPED:
                columns[task]["type"] = [name for _, name, _ in rows]
            for name in ("correct", "spurious", "missed"):
                columns[task][name] = [getattr(one, name) for _, _, one in rows]
        return columns
