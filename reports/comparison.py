"""Tidy results → the frames and the table that a report asks for.

    trials_frame   a row per trial, with every score: what anything else can be computed from again
    scores_frame   a row per variant and metric of the report: mean, sample standard deviation, n, range, best on dev
    table          the same numbers laid out as the report's kind says

Nothing is left out in silence: what did not finish is in the notes with its seed, and marked in its row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from reports import significance
from reports.records import StudyResults, TrialResult, Variant, dataset_place
from reports.settings import METRICS, ByDatasetSettings, ComparisonSettings, Report, SweepSettings, word
from reports.statistics import best_seed, spread
from reports.statistics.family import Comparison
from reports.table import (
    PERCENT_DECIMALS,
    Cell,
    Column,
    Count,
    Difference,
    Quoted,
    Row,
    Score,
    Section,
    Single,
    Table,
    four_digits,
    mark_best,
    marks,
)

TASK_TITLES = {
    "mention": "mention",
    "coreference": "coreference",
    "entity": "entity",
    "relation": "relation",
    "relation_strict": "strict relation",
}
MEASURE_TITLES = {"precision": "precision", "recall": "recall", "f1": "F1"}
SCORES = (
    "variant",
    "label",
    "metric",
    "n",
    "n_declared",
    "mean",
    "sd",
    "low",
    "high",
    "min",
    "max",
    "selected_by",
    "selected_seed",
    "selected",
    "delta",
    "published",
)
"""Columns of the frame of scores, after those that say where a row stands (`x`; or row, group and column).

`low`, `high`: 95 % interval of the mean over seeds. `selected`: score of the seed that is best by the study's selection
metric, which is `selected_by`, with its split. `delta`: difference of the mean to the baseline's. `published`: number
from the literature.
"""
TRIAL = ("key", "variant", "label", "seed", "status", "selected_by", "selected_epoch", "duration_s")
"""First columns of the frame of trials, before factors and metrics."""


def metric_title(report: Report, metric: str) -> str:
    """In running text: `strict relation F1 on test`; of another trainable the label that it is given."""
    if metric in METRICS:
        split, task, measure = _metric_parts(metric)
        return f"{task} {measure} on {split}"
    return report.info(metric).label or metric.replace("/", " · ", 1)


def _metric_parts(metric: str) -> tuple[str, str, str]:
    """Split, task and measure of one of ours, as words: `test/relation_strict_f1` → test, strict relation, F1."""
    split, _, rest = metric.partition("/")
    task, _, measure = rest.rpartition("_")
    return split, TASK_TITLES[task], MEASURE_TITLES[measure]


def _are_ours(report: Report) -> bool:
    return set(report.shown_metrics) <= set(METRICS)


# -------------------------------------------------------------------------------------------------------------- frames


def ordered_variants(results: StudyResults) -> tuple[Variant, ...]:
    """In the order of the report: a comparison begins with its baseline, a sweep follows its factor."""
    report = results.report
    if isinstance(report, SweepSettings):
        return tuple(sorted(results.variants, key=lambda variant: _numbers_first(variant.value(report.x))))
    if isinstance(report, ComparisonSettings):
        return tuple(sorted(results.variants, key=lambda variant: variant.name != results.baseline))
    return results.variants


def ordered_comparisons(results: StudyResults) -> list[tuple[str, str, Comparison]]:
    """Variant, metric and comparison, in the order of the report."""
    order = {variant.name: n for n, variant in enumerate(ordered_variants(results))}
    found = [(variant, metric, one) for (variant, metric), one in results.comparisons.items()]
    return sorted(found, key=lambda one: order[one[0]])


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers_first(value: Any) -> tuple[bool, float]:
    return (False, float(value)) if is_number(value) else (True, 0.0)


def scores_frame(results: StudyResults) -> pd.DataFrame:
    """A row per variant and metric of the report, then one per published number of a system that is not run."""
    rows: list[dict[str, Any]] = []
    for variant in ordered_variants(results):
        finished = results.finished(variant.name)
        selected = _best(results, variant.name)
        for metric in results.report.shown_metrics:
            scores = spread([trial.metrics[metric] for trial in finished])
            rows.append(
                {
                    **_place(results, variant),
                    "variant": variant.name,
                    "label": variant.label,
                    "metric": metric,
                    "n": scores.n,
                    "n_declared": len(results.seeds),
                    "mean": scores.mean,
                    "sd": scores.sd,
                    "low": scores.low,
                    "high": scores.high,
                    "min": scores.min,
                    "max": scores.max,
                    "selected_by": results.select_metric,
                    "selected_seed": None if selected is None else selected.seed,
                    "selected": None if selected is None else selected.metrics[metric],
                    "delta": delta(results, variant.name, metric),
                    "published": _published(results, metric, variant=variant.name),
                }
            )
    for number in results.published:
        if number.system is not None:
            place = {"row": number.system, "group": number.group, "column": number.dataset}
            rows.append(
                {
                    **(place if isinstance(results.report, ByDatasetSettings) else {}),
                    "label": number.system,
                    "metric": number.metric,
                    "published": number.value,
                }
            )
    frame = pd.DataFrame(rows, columns=[*_place(results, results.variants[0]), *SCORES])
    whole = {name: "Int64" for name in ("n", "n_declared", "selected_seed")}
    real = {name: "float64" for name in ("mean", "sd", "low", "high", "min", "max", "selected", "delta", "published")}
    return frame.astype({**whole, **real})


def trials_frame(results: StudyResults) -> pd.DataFrame:
    """A row per declared trial, whatever became of it, in the order of the report and of the seeds."""
    scored = {name for trial in results.trials for name in trial.metrics}
    metrics = [name for name in METRICS if name in scored] + sorted(scored - set(METRICS))
    paths = list(dict.fromkeys(path for variant in results.variants for path in variant.factors))
    told = [*TRIAL, *(["reading"] if any(trial.reading is not None for trial in results.trials) else [])]
    # the settings of another trainable may be named like a column
    titles = {path: f"settings.{path}" if path in told else path for path in paths}
    rows: list[dict[str, Any]] = []
    for variant in ordered_variants(results):
        factors = {titles[path]: word(value) for path, value in variant.factors.items()}
        for seed in results.seeds:
            trial = results.trial(variant.name, seed)
            row: dict[str, Any] = {"variant": variant.name, "label": variant.label, "seed": seed, "status": "not run"}
            if trial is not None:
                row |= {"key": trial.key, "status": trial.status}
                row |= {"selected_by": results.select_metric, "selected_epoch": trial.selected_epoch}
                row |= {"duration_s": trial.duration_s, "reading": trial.reading, **trial.metrics}
            rows.append({**row, **factors})
    frame = pd.DataFrame(rows, columns=[*told, *titles.values(), *metrics])
    return frame.astype({"selected_epoch": "Int64", "duration_s": "float64", **dict.fromkeys(metrics, "float64")})


def delta(results: StudyResults, variant: str, metric: str) -> float | None:
    """Difference of the means to the baseline's, over the seeds that both have, as it is tested; `None` for the
    baseline itself, and between data sets."""
    if results.baseline in (None, variant) or isinstance(results.report, ByDatasetSettings):
        return None
    ours, theirs = (
        {trial.seed: trial.metrics[metric] for trial in results.finished(name)}
        for name in (variant, results.baseline or variant)
    )
    both = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
    return spread(both).mean


def decimals_of(results: StudyResults, metric: str) -> int:
    """Percent with the decimals of the papers, other values with four digits."""
    if results.report.info(metric).percent:
        return PERCENT_DECIMALS
    values = [trial.metrics[metric] for v in results.variants for trial in results.finished(v.name)]
    return four_digits([*values, *(number.value for number in results.published if number.metric == metric)])


def _place(results: StudyResults, variant: Variant) -> dict[str, Any]:
    report = results.report
    if isinstance(report, SweepSettings):
        return {"x": word(variant.value(report.x))}
    if isinstance(report, ByDatasetSettings):
        row, group, column = dataset_place(report, variant)
        return {"row": row, "group": group, "column": column}
    return {}


def _published(results: StudyResults, metric: str, **who: Any) -> float | None:
    """The published number of a variant (`variant=`) or of a system (`system=`, `dataset=`, `group=`)."""
    for number in results.published:
        if number.metric == metric and all(getattr(number, name) == value for name, value in who.items()):
            return number.value
    return None


# --------------------------------------------------------------------------------------------------------------- table


def table(results: StudyResults) -> Table:
    """The table of the report, with the caption's sentences and the notes that the trials call for."""
    report = results.report
    by_dataset = isinstance(report, ByDatasetSettings)
    stub, columns, sections = _dataset_body(results, report) if by_dataset else _metric_body(results)
    columns, sections = _without_empty_columns(columns, sections)
    sections = tuple(mark_best(section, columns) for section in sections)
    return Table(
        label=label(results),
        caption=report.caption or results.question,
        warnings=results.warnings,
        explanations=_explanations(results, columns, sections),
        stub=stub,
        columns=columns,
        sections=sections,
        notes=(*incomplete(results), *_before_reads(results), *significance.notes(results), *sources(results)),
        origin=origin(results),
    )


def label(results: StudyResults, part: str | None = None) -> str:
    """By which LaTeX refers to the table, or to another one of the report."""
    safe = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in results.study)
    return (results.report.label or f"tab:{safe}") + ("" if part is None else f"-{part}")


def _score(results: StudyResults, variant: str, metric: str) -> Score:
    scores = spread([trial.metrics[metric] for trial in results.finished(variant)])
    # where the difference to the baseline has a column of its own, the star stands there
    starred = not _has_delta(results, metric) and significance.differs(results, variant, metric)
    return Score(scores.mean, scores.sd, scores.n, len(results.seeds), starred=starred)


def _has_delta(results: StudyResults, metric: str) -> bool:
    main, *_ = results.report.shown_metrics
    return metric == main and not isinstance(results.report, ByDatasetSettings)


def _selected(results: StudyResults, variant: str, metric: str) -> Single:
    """Of one declared seed the best is the mean again: nothing is shown."""
    selected = _best(results, variant) if len(results.seeds) > 1 else None
    value = None if selected is None else selected.metrics[metric]
    return Single(value, incomplete=len(results.finished(variant)) < len(results.seeds))


def _best(results: StudyResults, variant: str) -> TrialResult | None:
    """The finished trial that is best by the study's selection metric; `None` of none, or if nothing selects."""
    if results.select_metric is None:
        return None
    better = results.report.info(results.select_metric).better
    assert better != "neither", "StudyResults refuses it"
    return best_seed(results.finished(variant), results.select_metric, better)


def _difference(results: StudyResults, variant: str | None, metric: str) -> Difference:
    value = None if variant is None else delta(results, variant, metric)
    if variant is None or results.baseline is None or value is None:
        return Difference(None)
    return Difference(
        value,
        incomplete=any(len(results.finished(name)) < len(results.seeds) for name in (variant, results.baseline)),
        starred=significance.differs(results, variant, metric),
    )


def _metric_body(results: StudyResults) -> tuple[str, tuple[Column, ...], tuple[Section, ...]]:
    """Variants × metrics: the body of `comparison` and of `sweep`."""
    report = results.report
    sweep = report if isinstance(report, SweepSettings) else None
    main, *_ = report.shown_metrics
    titles = _column_titles(report)
    columns = [Column("n")]
    for metric in report.shown_metrics:
        of_main = ("Δ", _best_title(results)) if metric == main else ()
        columns += _columns(results, metric, (titles[metric], *of_main, "Publ."))

    def cells(variant: str | None, system: str | None) -> Iterable[Cell]:
        n = len(results.finished(variant)) if variant is not None else 0
        yield Count(n, len(results.seeds) if variant is not None else 0)
        for metric in report.shown_metrics:
            yield Score(None, None, 0, 0) if variant is None else _score(results, variant, metric)
            if metric == main:
                yield _difference(results, variant, metric)
                yield Single(None) if variant is None else _selected(results, variant, metric)
            who = {"system": system} if variant is None else {"variant": variant}
            yield Quoted(_published(results, metric, **who))

    rows = [Row(row_label(results, variant), tuple(cells(variant.name, None))) for variant in ordered_variants(results)]
    systems = dict.fromkeys(number.system for number in results.published if number.system is not None)
    rows += [Row(f"{system} (published)", tuple(cells(None, system))) for system in systems]
    return _capital(sweep.x_title) if sweep else "Variant", tuple(columns), (Section(None, tuple(rows)),)


def shown_name(results: StudyResults, variant: Variant) -> str:
    """A variant in a comparison or a sweep: its label, or its value of the factor."""
    report = results.report
    return report.name(variant.value(report.x)) if isinstance(report, SweepSettings) else variant.label


def row_label(results: StudyResults, variant: Variant) -> str:
    name = shown_name(results, variant)
    return f"{name} (baseline)" if variant.name == results.baseline else name


def dataset_axes(
    results: StudyResults, report: ByDatasetSettings
) -> tuple[list[str], dict[str | None, list[str]], dict[tuple[str | None, str, str], str]]:
    """Columns; rows of each group; variant of each (group, row, column). All words, in the order of the study.

    Systems that are not run come after the variants of their group.
    """
    rows: dict[str | None, list[str]] = {}
    columns: dict[str, None] = {}
    cells: dict[tuple[str | None, str, str], str] = {}
    for variant in results.variants:
        row, group, column = dataset_place(report, variant)
        cells[group, row, column] = variant.name
        columns[column] = None
        if row not in rows.setdefault(group, []):
            rows[group].append(row)
    for number in results.published:
        if number.system is not None and number.dataset is not None:
            columns[number.dataset] = None
            if number.system not in rows.setdefault(number.group, []):
                rows[number.group].append(number.system)
    return list(columns), rows, cells


def dataset_published(results: StudyResults, report: ByDatasetSettings, *place: Any) -> float | None:
    """The published number at (variant or None, group, row, column)."""
    variant, group, row, column = place
    if variant is not None:
        return _published(results, report.metric, variant=variant)
    return _published(results, report.metric, system=row, group=group, dataset=column)


def _dataset_body(
    results: StudyResults, report: ByDatasetSettings
) -> tuple[str, tuple[Column, ...], tuple[Section, ...]]:
    """Variants × data sets: mean ± sd, best on dev and published number of each data set."""
    names, rows, variants = dataset_axes(results, report)
    titles = ("Mean ± sd", _best_title(results), "Publ.")
    columns = [column for name in names for column in _columns(results, report.metric, titles, report.name(name))]

    def cells(group: str | None, row: str) -> Iterable[Cell]:
        for name in names:
            variant = variants.get((group, row, name))
            yield Score(None, None, 0, 0) if variant is None else _score(results, variant, report.metric)
            yield Single(None) if variant is None else _selected(results, variant, report.metric)
            yield Quoted(dataset_published(results, report, variant, group, row, name))

    sections = tuple(
        Section(
            None if group is None else report.name(group),
            tuple(Row(row_name(report, row), tuple(cells(group, row))) for row in in_group),
        )
        for group, in_group in rows.items()
    )
    title = "Model" if report.rows is None else _capital(report.title(report.rows))
    return title, tuple(columns), sections


def _columns(results: StudyResults, metric: str, titles: Iterable[str], over: str | None = None) -> Iterable[Column]:
    """Columns of one metric."""
    better, decimals = results.report.info(metric).better, decimals_of(results, metric)
    return [Column(title, over, decimals, better) for title in titles]


def _best_title(results: StudyResults) -> str:
    return f"Best on {(results.select_metric or '').partition('/')[0]}"


def _column_titles(report: Report) -> dict[str, str]:
    """Of ours the task, and measure and split where they differ between the columns; what all share, the caption says.

    Where one is of another trainable all have their whole title, with the unit where that differs.
    """
    shown = report.shown_metrics
    if _are_ours(report):
        parts = {metric: _metric_parts(metric) for metric in shown}
        varies = [len({part[axis] for part in parts.values()}) > 1 for axis in range(3)]
        return {
            metric: " ".join(
                [_capital(task), *([measure] if varies[2] else []), *([f"({split})"] if varies[0] else [])]
            )
            for metric, (split, task, measure) in parts.items()
        }
    percent = {metric: report.info(metric).percent for metric in shown}
    return {
        metric: metric_title(report, metric) + (" (%)" if percent[metric] and not all(percent.values()) else "")
        for metric in shown
    }


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _without_empty_columns(
    columns: tuple[Column, ...], sections: tuple[Section, ...]
) -> tuple[tuple[Column, ...], tuple[Section, ...]]:
    """Differences, best seeds and published numbers stay only where there is one; scores and counts always."""
    rows = [row for section in sections for row in section.rows]
    kept = [
        any(not isinstance(cell, Difference | Single | Quoted) or cell.value is not None for cell in cells)
        for cells in zip(*(row.cells for row in rows), strict=True)
    ]

    def keep(items: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(item for item, stays in zip(items, kept, strict=True) if stays)

    return keep(columns), tuple(
        Section(section.title, tuple(Row(row.label, keep(row.cells)) for row in section.rows)) for section in sections
    )


# ------------------------------------------------------------------------------------------------------- what is said


def _explanations(results: StudyResults, columns: tuple[Column, ...], sections: tuple[Section, ...]) -> tuple[str, ...]:
    report = results.report
    n = len(results.seeds)
    over = f"mean ± sample standard deviation over n = {n} seeds" if n > 1 else "one seed, so no spread is defined"
    said = [f"{_what(report)}, {over}{selection(results)}."]

    cells = [cell for section in sections for row in section.rows for cell in row.cells]
    titles = {column.title for column in columns}
    if _best_title(results) in titles:
        said.append(f"{_best_title(results)}: score of the one seed that is best by that metric.")
    if "Δ" in titles and results.baseline is not None:
        over = " over the seeds that both have" if incomplete(results) else ""
        said.append(f"Δ: difference of the means to {shown_name(results, results.variant(results.baseline))}{over}.")
    if any(isinstance(cell, Score | Single) and cell.best for cell in cells):
        among = "its column and group" if len(sections) > 1 else "its column"
        complete = ", among the variants with all seeds" if any(_incomplete_cell(cell) for cell in cells) else ""
        lower = [metric_title(report, name) for name in report.shown_metrics if report.info(name).better == "lower"]
        of_lower = f"; of {', '.join(lower)} the lowest" if lower else ""
        said.append(f"Bold: best of {among}{complete}{of_lower}.")
    if any(isinstance(cell, Score) and cell.n == 1 for cell in cells) and n > 1:
        said.append("± –: of one seed no standard deviation is defined.")
    said += significance.explanation(results)
    if "Publ." in titles:
        said.append("Publ.: as published, not ranked with ours.")
    return tuple(said)


def _what(report: Report) -> str:
    """What the scores are: all that the columns share."""
    shown = report.shown_metrics
    if _are_ours(report):
        splits, tasks, measures = (list(dict.fromkeys(part)) for part in zip(*map(_metric_parts, shown), strict=True))
        what = [*(measures if len(measures) == 1 else ["scores"]), *([f"on {splits[0]}"] if len(splits) == 1 else [])]
        title = " ".join([*(tasks if len(tasks) == 1 else []), *what])
    else:
        title = metric_title(report, shown[0]) if len(shown) == 1 else "Scores"
    return _capital(f"{title} in percent" if all(report.info(metric).percent for metric in shown) else title)


def selection(results: StudyResults) -> str:
    """By what the epoch was selected; nothing if there are trials and none of them has epochs to select among."""
    finished = [trial for trial in results.trials if trial.status == "finished"]
    if results.select_metric is None or (finished and all(trial.selected_epoch is None for trial in finished)):
        return ""
    return f"; epoch selected by {metric_title(results.report, results.select_metric)}"


def _incomplete_cell(cell: Cell) -> bool:
    return "†" in marks(cell)


def incomplete(results: StudyResults) -> tuple[str, ...]:
    """A sentence on each variant that has fewer finished seeds than declared, with what became of the others."""
    n = len(results.seeds)
    said = []
    for variant in ordered_variants(results):
        finished = len(results.finished(variant.name))
        if finished == n:
            continue
        became: dict[str, list[int]] = {"failed": [], "interrupted": [], "not run": []}
        for seed in results.seeds:
            trial = results.trial(variant.name, seed)
            status = "not run" if trial is None else trial.status
            if status != "finished":
                became[status].append(seed)
        counts = [
            f"{len(seeds)} {status} (seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))})"
            for status, seeds in became.items()
            if seeds
        ]
        said.append(f"{full_name(results, variant)}: {finished} of {n} seeds, {', '.join(counts)}")
    return (f"† Fewer seeds than declared, not ranked. {'; '.join(said)}.",) if said else ()


def _before_reads(results: StudyResults) -> tuple[str, ...]:
    """A sentence on the variants of which a selected network does not read, though its settings let it do so later."""
    said = []
    for variant in ordered_variants(results):
        finished = results.finished(variant.name)
        n = sum(trial.reading is False for trial in finished)
        if n:
            said.append(f"{full_name(results, variant)} ({n} of {len(finished)} seeds)")
    return (f"Selected before the memory reads set in, so scored without them: {'; '.join(said)}.",) if said else ()


def full_name(results: StudyResults, variant: Variant, with_dataset: bool = True) -> str:
    """A variant where it stands alone: in a report by data set its row with group and data set."""
    report = results.report
    if not isinstance(report, ByDatasetSettings):
        return shown_name(results, variant)
    row, group, column = dataset_place(report, variant)
    parts = [row_name(report, row), None if group is None else report.name(group)]
    return ", ".join(part for part in (*parts, report.name(column) if with_dataset else None) if part is not None)


def row_name(report: ByDatasetSettings, row: str) -> str:
    """Without a factor for its rows a report has the variants' labels in them, which are what they are."""
    return report.name(row) if report.rows else row


def side_by_side(results: StudyResults) -> list[tuple[str | None, list[tuple[str, Variant]]]]:
    """What a table may rank: in a report by data set the variants of one data set and group, with its title, each
    called by its row; else all of them."""
    report = results.report
    if not isinstance(report, ByDatasetSettings):
        return [(None, [(full_name(results, variant), variant) for variant in ordered_variants(results)])]
    columns, groups, _ = dataset_axes(results, report)
    found: dict[tuple[str, str | None], list[tuple[str, Variant]]] = {
        (column, group): [] for column in columns for group in groups
    }
    for variant in results.variants:
        row, group, column = dataset_place(report, variant)
        found[column, group].append((row_name(report, row), variant))
    return [
        (", ".join(report.name(part) for part in place if part is not None), variants)
        for place, variants in found.items()
        if variants
    ]


def sources(results: StudyResults) -> tuple[str, ...]:
    sources = dict.fromkeys(number.source for number in results.published)
    return (f"Published: {'; '.join(sources)}.",) if sources else ()


def origin(results: StudyResults) -> tuple[str, ...]:
    """Lines that trace every number: study, budget, selection, provenance, and the key of each trial."""
    lines = [
        f"study: {results.study}",
        f"budget: {results.budget}" + (f" ({results.budget_note})" if results.budget_note else ""),
        f"selected by: {results.select_metric or 'nothing'}",
        f"seeds: {', '.join(map(str, results.seeds))}",
    ]
    given = {"commit": "not recorded", "data": "not recorded", "command": "not recorded", **results.provenance}
    _flatten("", given, lambda name, value: lines.append(f"{name}: {value}"))
    for variant in ordered_variants(results):
        trials = [results.trial(variant.name, seed) for seed in results.seeds]
        keys = [f"{trial.seed}={trial.key} {trial.status}" for trial in trials if trial is not None]
        lines.append(f"trials of {variant.name}: {', '.join(keys) or 'none'}")
    return tuple(" ".join(line.split()) for line in lines)


def _flatten(prefix: str, value: Any, add: Callable[[str, str], None]) -> None:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            _flatten(f"{prefix}.{name}" if prefix else str(name), inner, add)
    else:
        add(prefix, word(value))
