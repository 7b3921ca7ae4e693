"""The documents that a report shows, with gold from the data and predictions from the trials' folders."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from model.data import catalog
from model.data.document import to_json
from model.settings import DataSettings
from orchestrator.errors import did_you_mean
from orchestrator.store import Home
from reports import significance
from reports.comparison import ordered_variants
from reports.documents import Annotation, ShownDocument, choose
from reports.records import StudyResults, TrialResult
from reports.statistics import best_seed

log = logging.getLogger("orchestrator.report")

_Data: TypeAdapter[DataSettings] = TypeAdapter(DataSettings)
MOST_VARIANTS = 3
"""So many are shown of each document: the baseline, and those with the highest mean."""


def shown_documents(results: StudyResults, home: Home, search: Sequence[Path]) -> tuple[ShownDocument, ...]:
    """What the report asks for, of trials on one data set that have left predictions. What cannot be shown is told in
    the log, as a report is worth having without it."""
    asked = results.report.documents
    split = results.report.shown_metrics[0].partition("/")[0]
    trials = _of_one_data_set(_trials(results))
    predictions = {name: found for name, one in trials.items() if (found := _predictions(home, one.key, split))}
    if not asked or not predictions:
        return ()
    trials = {name: trials[name] for name in predictions}
    try:
        gold = _gold(next(iter(trials.values())), split, search)
    except (ValueError, OSError) as error:
        log.warning("no documents are shown, as their gold cannot be read: %s", error)
        return ()
    keys = {name: trial.key for name, trial in trials.items()}
    if isinstance(asked, int):
        chosen = choose(results, keys, split, asked)
    else:
        chosen = [(name, "the study names it") for name in asked]
    shown = []
    for name, why in chosen:
        if name not in gold:
            log.warning("there is no document '%s' on %s%s", name, split, did_you_mean(name, list(gold)))
            continue
        predicted = {variant: Annotation.of(found[name]) for variant, found in predictions.items() if name in found}
        sentences = tuple(tuple(sentence) for sentence in gold[name]["sentences"])
        keys_shown = {variant: keys[variant] for variant in predicted}
        shown.append(ShownDocument(name, split, sentences, Annotation.of(gold[name]), predicted, keys_shown, why))
    return tuple(shown)


def _trials(results: StudyResults) -> dict[str, TrialResult]:
    """Variant → its best seed on dev, of the baseline and of the best others."""
    metric = results.select_metric or results.report.shown_metrics[0]
    better = results.report.info(metric).better
    if better == "neither":
        return {}
    best = {
        variant.name: found
        for variant in ordered_variants(results)
        if (found := best_seed(results.finished(variant.name), metric, better)) is not None
    }
    first = [name for name in best if significance.baseline_of(results, name) is None and results.baseline == name]
    sign = 1 if better == "higher" else -1
    others = sorted((name for name in best if name not in first), key=lambda name: -sign * best[name].metrics[metric])
    chosen = [*first, *others][:MOST_VARIANTS]
    return {name: best[name] for name in best if name in chosen}


def _of_one_data_set(trials: Mapping[str, TrialResult]) -> dict[str, TrialResult]:
    """Those on the data of the first."""
    digests = [trial.data_digest for trial in trials.values()]
    return {name: trial for name, trial in trials.items() if trial.data_digest == digests[0]}


def _predictions(home: Home, key: str, split: str) -> dict[str, Any]:
    """Id → Document in JSON."""
    path = home.trial(key) / "predictions" / f"{split}.json"
    try:
        return {one["id"]: one for one in json.loads(path.read_text(encoding="utf-8"))}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, OSError) as error:
        log.warning("%s cannot be shown: %s", path, error)
        return {}


def _gold(trial: TrialResult, split: str, search: Sequence[Path]) -> dict[str, Any]:
    """Id → Document in JSON. Raises ValueError for settings that name no data set of ours, and data that is not there
    as the trial has read it."""
    try:
        settings = _Data.validate_python((trial.settings or {}).get("data"))
    except ValidationError as error:
        raise ValueError(f"`data` names no data set of the catalog ({error.errors()[0]['msg']})") from None
    if split not in ("dev", "test"):
        raise ValueError(f"there is no split {split}")
    corpus = catalog.load(settings, search)
    return {document.id: to_json(document) for document in getattr(corpus, split)}
