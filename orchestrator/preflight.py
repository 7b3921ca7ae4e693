"""What makes a run impossible, found before anything starts."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator import packages, provenance
from orchestrator.errors import Problem
from orchestrator.plan import Plan
from orchestrator.positions import Path_
from orchestrator.schema import Resources
from orchestrator.trainables import Permissions
from orchestrator.words import counted


@dataclass(frozen=True)
class Machine:
    """What trials can be given here."""

    cpus: int
    gpus: float

    @classmethod
    def here(cls, cpus: int | None = None, gpus: int | None = None) -> Machine:
        """The machine, or what was declared of it."""
        return cls(cpus or provenance.cores(), float(len(provenance.gpus()) if gpus is None else gpus))


def check(plan: Plan, resources: Resources, machine: Machine | None, permissions: Permissions) -> list[Problem]:
    """All that keeps the trials of a plan from being run. `machine` is `None` for a cluster, which is asked once it is
    there."""
    problems = [*_permission(plan, permissions), *_faults(plan)]
    return problems if machine is None else [*problems, *resource_problems(plan, resources, machine)]


def resource_problems(plan: Plan, resources: Resources, machine: Machine) -> list[Problem]:
    """What a trial asks for and no machine has: such a request would wait for ever."""
    place: Path_ = ("resources",) if plan.budget.resources is None else ("budgets", plan.budget_name, "resources")
    problem = plan.loaded.positions.problem
    problems = []
    if resources.cpus > machine.cpus:
        message = (
            f"a trial wants {counted(resources.cpus, 'CPU')}, this run has {machine.cpus}; want fewer, or set --cpus"
        )
        problems.append(problem((*place, "cpus"), message))
    if resources.most_gpus > machine.gpus:
        others = [name for name in plan.study.budget_names if name != plan.budget_name]
        choose = f", or choose another budget ({', '.join(others)})" if others else ""
        message = (
            f"a trial wants {counted(resources.most_gpus, 'GPU')}, this run has {machine.gpus:g}; set `gpus: 0`, or "
            f"say --trial-gpus 0{choose}"
        )
        problems.append(problem((*place, "gpus"), message))
    return problems


def search_problems(plan: Plan) -> list[Problem]:
    """What keeps a search from suggesting more."""
    absent = packages.missing(["optuna"]) if plan.to_come else []
    told = packages.refusal(absent, "a search suggests settings by") if absent else ""
    return [plan.loaded.positions.problem(("search",), told)] if told else []


def _permission(plan: Plan, permissions: Permissions) -> list[Problem]:
    message = plan.trainable.refusal(permissions)
    return [] if message is None else [plan.loaded.positions.problem(("trainable",), message)]


def _faults(plan: Plan) -> list[Problem]:
    problems: dict[tuple[Path_, str], Problem] = {}
    for variant in plan.variants:
        for path, message in plan.trainable.faults(variant.settings):
            place = ("trainable",) if path is None else variant.resolved.origin(path)[0] or variant.place
            problems.setdefault((place, message), plan.loaded.positions.problem(place, message))
    return list(problems.values())
