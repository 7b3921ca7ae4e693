"""`orchestrate reproduce`: how a trial came about, as commands; and the trial once more, compared with its record."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator import provenance, trainables
from orchestrator.difference import Difference, difference
from orchestrator.errors import refused
from orchestrator.interrupts import caught
from orchestrator.plan import PRETRAINING
from orchestrator.schema import LoadedStudy
from orchestrator.store import LOG, Home, TrialRecord, has_checkpoint
from orchestrator.trainables import FirstPhase, Permissions, Surroundings, Trainable, Unprepared
from orchestrator.trainables.model import Model
from orchestrator.trial import Job, run_trial

FOLDER = "reproduced"
"""Below the home; a trial that is reproduced again takes the place of the one before."""


@dataclass(frozen=True)
class Reproduced:
    """A trial and the same once more."""

    record: TrialRecord
    again: TrialRecord

    @property
    def difference(self) -> Difference:
        return difference(self.record, self.again)

    @property
    def equal(self) -> bool:
        """Every metric, to the last bit."""
        return self.again.status == "finished" and self.again.metrics == self.record.metrics


def commands(record: TrialRecord, home: Home) -> list[str]:
    """What to type, from a checkout of the code, to compute a trial again as it was; comments say why."""
    code = record.provenance.get("code") or {}
    here = provenance.code()
    lines = []
    if code.get("commit") and code["commit"] != here.get("commit"):
        lines.append(f"git checkout {code['commit']}")
    if code.get("diff") and code["diff"] != here.get("diff"):
        patch = home.root / "patches" / f"{code['diff'][:16]}.patch"
        apply = shlex.join(["git", "apply", str(patch)])
        lines.append(
            apply if patch.is_file() else f"# the checkout had changes that were not kept (sha256 {code['diff']})"
        )
    lock = (record.provenance.get("environment") or {}).get("lock")
    if lock and lock != provenance.environment().get("lock"):
        lines.append(f"# the packages were those of another constraints.txt (sha256 {lock}):")
        lines.append("make setup")
    lines.append(
        shlex.join(["orchestrate", "reproduce", record.key, "--run", "--home", str(home.root), *_of_foreign(record)])
    )
    return lines


def _of_foreign(record: TrialRecord) -> list[str]:
    """What else it takes for a trainable that is not ours: the study that names it, and the permission."""
    if not record.trainable:
        return []
    typed = record.provenance.get("command") or []
    study = next((word for word in typed if word.endswith((".yaml", ".yml"))), "STUDY.yaml")
    return ["--study", study, "--allow-command" if record.trainable.get("kind") == "command" else "--allow-import"]


def run(
    record: TrialRecord,
    home: Home,
    data: tuple[Path, ...],
    *,
    study: LoadedStudy | None,
    permissions: Permissions,
    device: str | None = None,
) -> Reproduced:
    """Compute a finished trial again, in this process and in a folder of its own. One of two phases starts from the
    checkpoint of its first phase, which is computed again as well if that is gone.

    Raises StudyError where it could not be the same trial: other data, another code epoch, a trainable that is not
    ours without the study that names it.
    """
    if record.status != "finished":
        raise refused(f"trial {record.key} is {record.status}, wanted one that has finished")
    trainable = _trainable(record, study)
    refusal = trainable.refusal(permissions)
    if refusal is not None:
        raise refused(refusal)
    identity = trainable.identity()
    if identity["code"] != record.code_epoch:
        raise refused(
            f"trial {record.key} is of code epoch {record.code_epoch}, this code is of epoch {identity['code']}; "
            f"{commands(record, home)[0]}"
        )
    try:
        digest = trainable.data_digest(record.settings, data)
    except (ValueError, OSError) as error:
        raise refused(str(error)) from None
    if digest != record.data_digest:
        raise refused(f"the data has the digest {digest}, trial {record.key} read {record.data_digest}")
    resources = record.provenance.get("resources") or {}
    where = Surroundings(data, home.cache, device or resources.get("device", "auto"), resources.get("threads", 1))
    job = Job(
        key=record.key,
        study=record.study,
        budget=record.budget,
        variant=record.variant,
        seed=record.seed,
        settings=record.settings,
        data_digest=digest,
        folder=home.root / FOLDER / record.key,
        where=where,
        required=tuple(record.metrics),
        provenance={**provenance.collect(), "resources": resources},
        trainable=trainable,
        needs=record.needs,
    )
    home.refuse_if_not_writable()
    with caught():
        first = trainable.first_phase(record.settings)
        if first is not None:
            job = replace(job, where=replace(where, first_phase=_first_phase(first, job, home)))
        return Reproduced(record, _computed(job))


def _first_phase(first: FirstPhase, job: Job, home: Home) -> Path:
    """The folder of a trial's first phase, computed again if it is not there any more. Raises StudyError."""
    assert job.needs is not None, "the record of a trial of two phases names the first"
    if has_checkpoint(home.trial(job.needs)):
        return home.trial(job.needs)
    print(f"the checkpoint of trial {job.needs}, which it starts from, is gone: computed again", file=sys.stderr)
    again = replace(
        job,
        key=job.needs,
        variant=f"{PRETRAINING} of {job.variant}",
        seed=first.seed,
        settings=first.settings,
        data_digest=job.trainable.data_digest(first.settings, job.where.data),
        folder=home.root / FOLDER / job.needs,
        required=(),
        needs=None,
        is_first_phase=True,
    )
    record = _computed(again)
    if record.status != "finished":
        raise refused(f"trial {again.key} is {record.status}, see {again.folder / LOG}")
    return again.folder


def _computed(job: Job) -> TrialRecord:
    shutil.rmtree(job.folder, ignore_errors=True)
    try:
        job.trainable.prepare(job.settings, job.where)
    except Unprepared as error:
        raise refused(error.message) from error
    return run_trial(job, _told)


def _trainable(record: TrialRecord, study: LoadedStudy | None) -> Trainable:
    if not record.trainable:
        return Model()
    if study is None:
        raise refused(
            f"trial {record.key} is of a {record.trainable.get('kind', '?')} that its study names; say --study FILE"
        )
    trainable = trainables.of(study)
    if trainable.identity().get("trainable") != record.trainable:
        raise refused(f"{study.path} names another trainable than trial {record.key} is of, {record.trainable}")
    return trainable


def _told(given: dict[str, Any]) -> None:
    print(f"epoch {given['epoch']}", file=sys.stderr)
