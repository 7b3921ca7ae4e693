"""What figures call variants, metrics and budgets, the same in each."""

from __future__ import annotations

from reports.comparison import full_name, metric_title, row_label
from reports.figures.style import drawable
from reports.records import StudyResults, Variant
from reports.settings import ByDatasetSettings, SweepSettings


def variant_title(results: StudyResults, variant: Variant, with_dataset: bool = True) -> str:
    """A variant where it stands alone: in a report by data set its row with group and data set."""
    by_dataset = isinstance(results.report, ByDatasetSettings)
    return full_name(results, variant, with_dataset) if by_dataset else row_label(results, variant)


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
