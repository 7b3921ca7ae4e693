"""What figures call variants, metrics and budgets, the same in each."""

from __future__ import annotations

from reports.comparison import metric_title, row_label
from reports.figures.style import drawable
from reports.records import StudyResults, Variant, dataset_place
from reports.settings import ByDatasetSettings, SweepSettings


def variant_title(results: StudyResults, variant: Variant, with_dataset: bool = True) -> str:
    """A variant where it stands alone: in a report by data set its row with group and data set."""
    report = results.report
    if not isinstance(report, ByDatasetSettings):
        return row_label(results, variant)
    row, group, column = dataset_place(report, variant)
    shown = report.name(row) if report.rows else row
    parts = [shown, report.name(group) if group is not None else None, report.name(column) if with_dataset else None]
    return ", ".join(part for part in parts if part is not None)


def factor_told(results: StudyResults, what: str) -> list[str]:
    """In a sweep variants are called by the values of a factor; `what` are they, and of which?"""
    report = results.report
    return [f"{what}: {report.x_title}"] if isinstance(report, SweepSettings) else []


def metric_label(results: StudyResults, metric: str) -> str:
    """Of an axis, with the unit."""
    return metric_title(results.report, metric) + (" (%)" if results.report.info(metric).percent else "")


def budget_told(results: StudyResults) -> list[str]:
    """A figure leaves its caption behind when it is copied, so a reduced budget is written into it."""
    return [] if results.budget_note is None else [f"reduced budget “{drawable(results.budget)}”"]
