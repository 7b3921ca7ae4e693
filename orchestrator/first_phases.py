"""Which trials wait for which first phase, beyond the run that planned them.

    <home>/<study>/[<budget>/]first_phases.json     first phase's key → keys of the trials that start from it

A trial that was never started has no record to tell what it needs. So what a study wants is written down when it is
run, and `gc` leaves the checkpoints alone that some trial still starts from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from orchestrator.errors import refused
from orchestrator.plan import PlannedTrial
from orchestrator.schema import RESERVED
from orchestrator.store import Home, write_durably

FILE = "first_phases.json"


def keep(home: Home, study: str, budget: str, trials: Iterable[PlannedTrial]) -> None:
    """Write down what the trials of a study under a budget need, in place of what was there. Raises OSError."""
    path = home.report(study, budget).parent / FILE
    needed: dict[str, list[str]] = {}
    for trial in trials:
        if trial.needs is not None:
            needed.setdefault(trial.needs, []).append(trial.key)
    if needed:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, written(needed))
    else:
        path.unlink(missing_ok=True)


def parse(content: bytes) -> dict[str, set[str]]:
    """First phase's key → keys of the trials that start from it. Raises ValueError."""
    try:
        return {str(key): {str(one) for one in keys} for key, keys in json.loads(content).items()}
    except (AttributeError, TypeError) as error:
        raise ValueError(str(error)) from None


def written(needed: Mapping[str, Iterable[str]]) -> str:
    return json.dumps({key: list(keys) for key, keys in needed.items()}, indent=1) + "\n"


def wanted(home: Home) -> dict[str, set[str]]:
    """First phase's key → keys of all trials that any study of the home has it for.

    Raises StudyError for a file that cannot be read, as it may name any of them.
    """
    found: dict[str, set[str]] = {}
    paths = sorted([*home.root.glob(f"*/{FILE}"), *home.root.glob(f"*/*/{FILE}")])
    for path in (path for path in paths if path.relative_to(home.root).parts[0] not in RESERVED):
        try:
            needed = parse(path.read_bytes())
        except (ValueError, OSError) as error:
            raise refused(
                f"{path} cannot be read ({error}), so which first phases are needed is not known; `orchestrate run` of "
                f"its study writes it again, or move it away"
            ) from None
        for key, keys in needed.items():
            found.setdefault(key, set()).update(keys)
    return found
