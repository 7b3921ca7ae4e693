"""A study in MLflow's UI: its views, its note, and the server that shows them.

    views     what the run table and the charts show, saved as MLflow saves views
    note      what the experiment and its summary runs say of themselves
    server    `orchestrate ui`

All of it is for people to look at: what cannot be written is left out, and a study or its runs never wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator import provenance
from orchestrator.dashboard import note, views
from orchestrator.dashboard.note import StudyText, Summary
from orchestrator.dashboard.views import Outline

KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Without it the UI takes the experiment for one of a language model's traces, and opens on those."""

_MOST_TOLD = 200
"""Characters of what a server says."""


def present(
    client: Any,
    experiment: str,
    outline: Outline,
    study: StudyText | None,
    summaries: Sequence[Summary],
) -> list[str]:
    """Write kind, views and note of an experiment, where they are not as they should be.

    Returns what the server has refused, as messages. Raises MlflowException where it cannot be reached.
    """
    import mlflow

    known: Mapping[str, str] = client.get_experiment(experiment).tags
    wanted = {name: value for name, value in KIND.items() if name not in known}
    for view in views.views(outline):
        value = view.written(known.get(view.tag), int(time.time() * 1000), mlflow.__version__)
        if value is not None:
            wanted[view.tag] = value
    refused = [told for name, value in wanted.items() if (told := _refused(client, experiment, name, value))]
    told = None
    others = {name: client.get_experiment_by_name(name) for name in outline.elsewhere}
    places = {name: found.experiment_id for name, found in others.items() if found is not None}
    above = note.kept(known.get(note.TAG))
    for longest in note.LONGEST:
        if len(above) > longest - note.LEAST:
            break  # somebody has written so much that ours has no place
        text = above + note.of_experiment(experiment, outline, study, summaries, places, longest - len(above))
        told = None if text == known.get(note.TAG) else _refused(client, experiment, note.TAG, text)
        if told is None:
            break
    return refused if told is None else [*refused, told]


def _refused(client: Any, experiment: str, name: str, value: str) -> str | None:
    """Set a tag of an experiment. What the server says, if it does not take it."""
    from mlflow.exceptions import MlflowException

    try:
        client.set_experiment_tag(experiment, name, value)
    except MlflowException as error:
        if not 400 <= error.get_http_status_code() < 500:
            raise
        return f"{name} ({provenance.masked(str(error).splitlines()[0])[:_MOST_TOLD]})"
    return None
