"""What makes a run impossible, found before anything starts."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator import provenance
from orchestrator.errors import Problem, StudyError
from orchestrator.plan import Plan
from orchestrator.positions import Path_
from orchestrator.schema import Resources


@dataclass(frozen=True)
class Machine:
    """What trials can be given here."""

    cpus: int
    gpus: float

    @classmethod
    def here(cls, cpus: int | None = None) -> Machine:
        return cls(cpus or provenance.cores(), float(len(provenance.gpus())))


def check(plan: Plan, resources: Resources, machine: Machine) -> None:
    """Raises StudyError with all that keeps the missing trials from being run: resources, encoders."""
    problems = [*_resources(plan, resources, machine), *_encoders(plan)]
    if problems and plan.missing:
        raise StudyError(problems)


def _resources(plan: Plan, resources: Resources, machine: Machine) -> list[Problem]:
    # a request that cannot be met would wait for ever
    place: Path_ = ("resources",) if plan.budget.resources is None else ("budgets", plan.budget_name, "resources")
    problem = plan.loaded.positions.problem
    problems = []
    if resources.cpus > machine.cpus:
        message = f"a trial wants {resources.cpus} CPUs, this run has {machine.cpus}; want fewer, or set --cpus"
        problems.append(problem((*place, "cpus"), message))
    if resources.gpus > machine.gpus:
        message = (
            f"a trial wants {resources.gpus:g} GPUs, this machine has {machine.gpus:g}; set `gpus: 0`, say "
            f"--trial-gpus 0, or choose another of the budgets {', '.join(plan.study.budget_names)}"
        )
        problems.append(problem((*place, "gpus"), message))
    return problems


def _encoders(plan: Plan) -> list[Problem]:
    from model import embedded

    problems = []
    checked: dict[str, str | None] = {}
    for variant in plan.variants:
        name = variant.settings.model.encoder.name
        if name not in checked:
            checked[name] = embedded.check(name)
        message = checked[name]
        if message is not None:
            place, _ = variant.resolved.origin(("model", "encoder", "name"))
            problems.append(plan.loaded.positions.problem(place or variant.place, message))
    return problems
