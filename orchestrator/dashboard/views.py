"""The views of a study in MLflow's UI: which runs it shows, in which columns, groups, order and charts.

MLflow keeps a view as a tag of the experiment, `mlflow.sharedViewState.<id>`, and its UI opens it by the address
`…?viewStateShareKey=<id>`. The tag is the UI's own state as JSON, deflated, in base64, behind `deflate;`. Since 3.15
that is the `state` in a JSON object beside `name`, `createdAt` and `updatedAt`, in milliseconds, and the UI lists the
view by its name. None of this is documented: it was read in the UI of 3.13 to 3.17, and a test opens the views in a
browser. A version that keeps views otherwise shows its own default.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

from orchestrator.plan import Plan
from orchestrator.schema import FULL
from reports.records import StudyResults
from reports.search import SearchResults
from reports.settings import SPLITS

TAG = "mlflow.sharedViewState."
VARIANTS, TRIALS = "variants", "trials"
OF_STUDY = "tags.kind = 'trial'"
"""The runs of trials, of whatever budget."""

SECONDS = "seconds/trial"
"""The metric of a run that tells how long its trial took, over all attempts that its result rests on."""

_NAMED_SINCE = (3, 15)
"""The version of MLflow that gave names to views."""
_DEFLATED = "deflate;"
_NOTHING_OWN: dict[str, Any] = {
    "runsExpanded": {},
    "runsPinned": [],
    "runsHidden": [],
    "runsVisibilityMap": {},
    "viewMaximized": False,
    "runListHidden": False,
    "autoRefreshEnabled": True,
    "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
}
"""What a view of 3.13 must have, as that fills in nothing by itself."""
_MOST_SHOWN = 100
"""Trials up to which charts show all of them."""
_MODEL_METRICS = "Model metrics"
"""The section in which MLflow puts the charts of metrics without a slash in their name."""


@dataclass(frozen=True)
class Outline:
    """What the views of a study under a budget are made of."""

    study: str
    question: str
    budget: str
    variants: tuple[str, ...]
    """In the study's order; none of a search, whose trials are not replicates of each other."""
    selected_by: str | None
    """`dev/relation_strict_f1`; `None` where nothing is selected."""
    metrics: tuple[str, ...]
    """Those of the report, the main one first."""
    better: Literal["higher", "lower", "neither"]
    """Of `selected_by`, or else of the main metric."""
    factors: tuple[str, ...]
    """Dotted paths of settings that tell trials apart."""
    n_trials: int
    epochs: int | None
    """The longest training; `None` where the settings do not tell."""
    keys: frozenset[str]
    """Of its trials, as far as they are known."""
    elsewhere: Mapping[str, int] = field(default_factory=dict)
    """Study → how many of the trials ran first for it, so that its experiment has their runs, and this one has not."""

    @property
    def sorted_by(self) -> str:
        return self.selected_by or self.metrics[0]


def of_plan(plan: Plan) -> Outline:
    """Of a study that is about to run."""
    study, search = plan.study, plan.search
    on_test = any(plan.trainable.selects_on_test(variant.settings) for variant in plan.variants)
    selected_by = f"{'test' if on_test else study.select.on}/{study.select.metric}"
    names = () if search is not None else tuple(variant.name for variant in plan.variants)
    return Outline(
        study=study.study,
        question=study.question,
        budget=plan.budget_name,
        variants=names,
        selected_by=selected_by if search is None else search.metric,
        metrics=study.report.shown_metrics if search is None else (search.metric,),
        better=study.report.info(selected_by).better if search is None else search.better,
        factors=study.report.paths if search is None else tuple(search.asked.space),
        n_trials=len(names) * len(plan.seeds) if search is None else search.asked.trials,
        epochs=_epochs(variant.settings for variant in plan.variants),
        keys=frozenset(trial.key for trial in plan.trials),
    )


def of_results(results: StudyResults | SearchResults) -> Outline:
    """Of a report, where there is no plan."""
    if isinstance(results, SearchResults):
        return Outline(
            study=results.study,
            question=results.question,
            budget=results.budget,
            variants=(),
            selected_by=results.metric,
            metrics=(results.metric,),
            better=results.report.info(results.metric).better,
            factors=tuple(parameter.path for parameter in results.space),
            n_trials=results.n_declared,
            epochs=max((one.epochs for one in results.tried), default=0) or None,
            keys=keys_of(results),
        )
    names = tuple(variant.name for variant in results.variants)
    metrics = results.report.shown_metrics
    return Outline(
        study=results.study,
        question=results.question,
        budget=results.budget,
        variants=names,
        selected_by=results.select_metric,
        metrics=metrics,
        better=results.report.info(results.select_metric or metrics[0]).better,
        factors=results.report.paths,
        n_trials=len(names) * len(results.seeds),
        epochs=_epochs(trial.settings or {} for trial in results.trials),
        keys=keys_of(results),
    )


def keys_of(results: StudyResults | SearchResults) -> frozenset[str]:
    """Of the trials in a report."""
    trials = results.tried if isinstance(results, SearchResults) else results.trials
    return frozenset(trial.key for trial in trials if trial.key is not None)


def _epochs(settings: Iterable[dict[str, Any]]) -> int | None:
    trainings = [one.get("training") for one in settings]
    found = [training.get("epochs") for training in trainings if isinstance(training, dict)]
    return max((n for n in found if isinstance(n, int)), default=None)


# ----------------------------------------------------------------------------------------------------------- the views


@dataclass(frozen=True)
class View:
    """A view under a name, as MLflow keeps it."""

    id: str
    name: str
    state: dict[str, Any]
    """As the UI has it: search, order, columns, groups, sections of charts, charts."""

    @property
    def tag(self) -> str:
        return TAG + self.id

    def written(self, known: str | None, at: int, version: str) -> str | None:
        """The tag's value for a version of MLflow, or `None` where `known`, which is there, shows the same. `at`: now,
        in milliseconds."""
        if not has_names(version):
            return None if _unpacked(known) == self.state else _packed(self.state)
        before = _read(known)
        if before is not None and (before["name"], before["state"]) == (self.name, self.state):
            return None
        created = at if before is None else before["createdAt"]
        return _json({"name": self.name, "createdAt": created, "updatedAt": at, "state": _packed(self.state)})


def has_names(version: str) -> bool:
    """Whether a version of MLflow has views with names; one that cannot be told is taken for a new one."""
    try:
        major, minor = map(int, version.split(".")[:2])
    except ValueError:
        return True
    return (major, minor) >= _NAMED_SINCE


def _packed(state: dict[str, Any]) -> str:
    return _DEFLATED + base64.b64encode(zlib.compress(_json(state).encode(), 9)).decode()


def _unpacked(value: str | None) -> Any:
    """`None` for what the UI could not open."""
    try:
        return json.loads(zlib.decompress(base64.b64decode((value or "").removeprefix(_DEFLATED))))
    except (ValueError, zlib.error):
        return None


def _read(value: str | None) -> dict[str, Any] | None:
    """A view that has a name, with its state unpacked; `None` for a tag that is none."""
    try:
        found = json.loads(value or "")
        return {**found, "name": found["name"], "createdAt": found["createdAt"], "state": _unpacked(found["state"])}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def views(outline: Outline) -> tuple[View, ...]:
    """What a study is looked at with: its variants, each the mean over its seeds, and its trials. A search has only
    trials."""
    said = "" if outline.budget == FULL else f" · {outline.budget}"
    if outline.elsewhere:
        # the means are of these alone, which nothing else in the table tells
        said += f" · {outline.n_trials - sum(outline.elsewhere.values())} of {outline.n_trials} trials"
    trials = View(view_id(TRIALS, outline.budget), f"Trials{said}", _state(outline, grouped=False))
    if not outline.variants:
        return (trials,)
    variants = View(view_id(VARIANTS, outline.budget), f"Variants{said}", _state(outline, grouped=True))
    return variants, trials


def view_id(kind: str, budget: str) -> str:
    return f"orchestrate-{kind}-{budget}"


def in_budget(budget: str) -> str:
    """The tag of runs whose trials the study has under a budget. `budget` alone does not tell, as it is the budget
    under which a trial ran first."""
    return f"in/{budget}"


def _column(kind: Literal["metrics", "params", "tags", "attributes"], name: str) -> str:
    return f"{kind}.`{name}`"


def _state(outline: Outline, grouped: bool) -> dict[str, Any]:
    name = _column("attributes", "Run Name")
    metrics = dict.fromkeys((outline.sorted_by, outline.metrics[0], "selected_epoch", SECONDS))
    tags = ["seed"] if grouped else ["variant", "seed"]
    widths = {name: 280, "runDateAndNestInfo": 140}
    # tags, not the parameters of the same names: MLflow would show the mean of the seeds' numbers
    widths |= {_column("tags", tag): 160 if tag == "variant" else 60 for tag in tags if outline.variants}
    widths |= {_column("params", factor): min(60 + 7 * len(factor), 260) for factor in outline.factors}
    widths |= {_column("metrics", metric): 110 if metric in ("selected_epoch", SECONDS) else 190 for metric in metrics}
    widths |= {_column("tags", "trial_key"): 150} | ({} if outline.variants else {_column("tags", "pruned"): 70})
    widths |= {_column("tags", "failure"): 250, "duration": 90}
    always = (name, "runDateAndNestInfo", "duration")
    groups = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "variant"}]}
    sections, charts = _charts(outline)
    return {
        "searchFilter": f"{OF_STUDY} and tags.`{in_budget(outline.budget)}` = 'yes'",
        **_order(outline),
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": [column for column in widths if column not in always],
        "columnOrder": list(widths),
        "columnWidths": widths,
        "groupBy": groups if grouped else None,
        "groupsExpanded": {f"tag.variant.{variant}": False for variant in outline.variants} if grouped else {},
        "runsHiddenMode": "SHOW_ALL" if outline.n_trials <= _MOST_SHOWN else "FIRST_20_RUNS",
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        # MLflow would put its own sections first
        "isAccordionReordered": True,
        "compareRunSections": sections,
        "compareRunCharts": charts,
        **_NOTHING_OWN,
    }


def _order(outline: Outline) -> dict[str, Any]:
    """The best by what selects first: that is on dev, where the study does not say otherwise."""
    return {"orderByKey": _column("metrics", outline.sorted_by), "orderByAsc": outline.better == "lower"}


def _charts(outline: Outline) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Sections and charts. MLflow adds one for each other metric; theirs are closed, below ours."""
    main, *others = outline.metrics
    sections = [_section("Scores", columns=2, height=420)]
    charts = [_line(outline, "Scores")] if outline.selected_by is not None else []
    if main != outline.selected_by:
        charts.append(_bars(main, "Scores"))
    if outline.factors and not outline.variants:
        charts.append(_parallel(outline, "Scores"))
    if others:
        sections.append(_section("Other scores of the report", columns=3, height=320))
        charts += [_bars(metric, "Other scores of the report") for metric in others if metric != outline.selected_by]
    named = (
        *SPLITS,
        *(metric.partition("/")[0] for metric in (*outline.metrics, outline.sorted_by)),
        "loss",
        "seconds",
    )
    sections += [_section(name, opened=False) for name in dict.fromkeys((*named, _MODEL_METRICS))]
    return sections, charts


def _section(name: str, columns: int = 3, height: int = 360, opened: bool = True) -> dict[str, Any]:
    more = {"isReordered": True, "deleted": False, "isGenerated": False, "columns": columns, "cardHeight": height}
    return {"uuid": f"section {name}", "name": name, "display": opened, **more}


def _chart(kind: str, metric: str, section: str, n_runs: int = _MOST_SHOWN) -> dict[str, Any]:
    own = {"uuid": f"{kind} {metric}", "type": kind, "metricSectionId": f"section {section}"}
    return {**own, "runsCountToCompare": n_runs, "deleted": False, "isGenerated": False, "displayName": metric}


def _line(outline: Outline, section: str) -> dict[str, Any]:
    """The selecting metric over epochs. The step after the last epoch is left out: there stands once more the value of
    the selected epoch, for the run table."""
    metric = outline.sorted_by
    ends = {"xMin": 0.9, "xMax": outline.epochs} if outline.epochs is not None else {}
    return {
        **_chart("LINE", metric, section),
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "lineSmoothness": 0,
        "useGlobalLineSmoothing": False,
        "xAxisKey": "step",
        "useGlobalXaxisKey": False,
        "selectedXAxisMetricKey": "",
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "range": ends,
    }


def _bars(metric: str, section: str) -> dict[str, Any]:
    return {**_chart("BAR", metric, section), "metricKey": metric}


def _parallel(outline: Outline, section: str) -> dict[str, Any]:
    metric = outline.sorted_by
    chosen = {"selectedParams": list(outline.factors), "selectedMetrics": [metric], "showAllRuns": True}
    return {**_chart("PARALLEL", f"{metric} over what is searched", section), **chosen}


# ------------------------------------------------------------------------------------------------------- the addresses


def address(experiment: str, parameters: dict[str, str], charts: bool = False) -> str:
    """The run table, or the charts, of an experiment as the part of an address after the server's."""
    shown = {"compareRunsMode": "CHART"} if charts else {}
    # without it a browser that was used for traces before opens on MLflow's other half
    return f"#/experiments/{experiment}/runs?" + urlencode({**parameters, "workflowType": "machine_learning", **shown})


def opening(view: str) -> dict[str, str]:
    """Parameters that open a view."""
    return {"viewStateShareKey": view}


def without_view() -> dict[str, str]:
    """Parameters that show the trials of an experiment that has no view."""
    return {"searchFilter": OF_STUDY, "orderByKey": "attributes.start_time", "orderByAsc": "true", "startTime": "ALL"}


def run_address(experiment: str, run: str, artifact: str | None = None) -> str:
    """A run, or an artifact of it."""
    below = f"/artifacts/{artifact}" if artifact is not None else ""
    return f"#/experiments/{experiment}/runs/{run}{below}?workflowType=machine_learning"
