"""What MLflow's UI shows of a study: views, notes and values, and the server and browser that show them."""

from __future__ import annotations

import html
import json
import re
import shutil
import signal
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils import validation

from orchestrator.dashboard import note, server, views
from orchestrator.dashboard.note import StudyText, Summary
from orchestrator.dashboard.views import Outline
from orchestrator.errors import Exit, StudyError
from orchestrator.schema import load
from orchestrator.store import Home
from orchestrator.tracking import aggregates, default_uri, sync
from orchestrator.trial import now
from reports.statistics import spreads
from tests.orchestrator.samples import HEAD, SWEEP, write
from tests.orchestrator.standin import RAISES
from tests.orchestrator.test_command import start
from tests.orchestrator.test_first_phases import STUDY as TWO_PHASES
from tests.orchestrator.test_running import database, home, run  # noqa: F401
from tests.reports import samples

pytestmark = pytest.mark.filterwarnings("default")  # mlflow and its parts warn of each other

VERSION = mlflow.__version__
CHROMIUM = shutil.which("chromium")
OUTLINE = Outline(
    study="sample",
    question="Does it help?",
    budget="full",
    variants=("ours", "without"),
    selected_by="dev/relation_strict_f1",
    metrics=("test/relation_strict_f1", "test/entity_f1"),
    better="higher",
    factors=(),
    n_trials=4,
    epochs=2,
    keys=frozenset(),
)
BUDGETS = HEAD.replace("question:", "description: See https://user:secret@example.org for more.\nquestion:") + (
    f"""\
baseline: ours
variants:
  ours: {{}}
  warm: {{settings: {{model.memory.warmup_proportion: 0.8}}}}
  broken: {{settings: {{training.batch_size: {RAISES}}}}}
budgets:
  small: {{note: one epoch, settings: {{training.epochs: 1}}}}
"""
)


def experiment(tmp_path, name="sample"):
    client = MlflowClient(f"sqlite:///{tmp_path}/home/mlflow.db")
    return client, client.get_experiment_by_name(name)


def view(tags, kind, budget="full"):
    """A view of ours with its state unpacked."""
    return views._read(tags[views.TAG + views.view_id(kind, budget)])


# ----------------------------------------------------------------------------------------------------------- the views


def test_a_view_is_written_once_and_again_only_when_it_shows_something_else():
    first, _ = views.views(OUTLINE)
    value = first.written(None, 1000, VERSION)
    assert first.written(value, 2000, VERSION) is None
    changed, _ = views.views(replace(OUTLINE, variants=("ours", "another")))
    assert changed.tag == first.tag
    known, then = json.loads(value), json.loads(changed.written(value, 2000, VERSION))
    assert (known["createdAt"], known["updatedAt"]) == (1000, 1000)
    assert (then["createdAt"], then["updatedAt"]) == (1000, 2000)
    assert views._read(json.dumps(then))["state"] == changed.state
    assert json.loads(first.written("no view", 2000, VERSION))["createdAt"] == 2000


def test_a_version_without_named_views_gets_the_bare_state():
    one, _ = views.views(OUTLINE)
    value = one.written(None, 1000, "3.13.0")
    assert value.startswith("deflate;") and views._unpacked(value) == one.state
    assert one.written(value, 2000, "3.14.1") is None
    # and one of today writes it anew, with its name
    assert json.loads(one.written(value, 2000, "3.15.0"))["name"] == "Variants"
    assert views.has_names("4.0.0rc1") and views.has_names("unknown") and not views.has_names("3.9")


def test_the_installed_ui_knows_every_key_of_a_view():
    build = Path(mlflow.__file__).parent / "server" / "js" / "build" / "static" / "js"
    scripts = [path.read_text(encoding="utf-8") for path in build.glob("*.js")]
    known = set()
    for first in ("selectedColumns", "searchFilter"):
        lists = {found for script in scripts for found in re.findall(rf'\["{first}"(?:,"[A-Za-z]+")+\]', script)}
        known |= {name for found in lists for name in json.loads(found)}
    assert {"groupBy", "compareRunCharts", "orderByKey"} <= known
    for one in (*views.views(OUTLINE), *views.views(replace(OUTLINE, variants=(), factors=("training.epochs",)))):
        assert one.state.keys() <= known
    everything = "".join(scripts)
    assert f'"{views.TAG}"' in everything and '"viewStateShareKey"' in everything


def test_views_show_trials_by_what_selects_and_variants_as_means_over_seeds():
    variants, trials = views.views(OUTLINE)
    assert (variants.name, trials.name) == ("Variants", "Trials")
    for one in (variants, trials):
        assert (one.state["orderByKey"], one.state["orderByAsc"]) == ("metrics.`dev/relation_strict_f1`", False)
        assert set(one.state["selectedColumns"]) >= {
            "tags.`seed`", "metrics.`dev/relation_strict_f1`", "metrics.`test/relation_strict_f1`",
            "metrics.`selected_epoch`", f"metrics.`{views.SECONDS}`", "tags.`trial_key`",
        }  # fmt: skip
        line, *bars = one.state["compareRunCharts"]
        assert (line["type"], line["metricKey"]) == ("LINE", "dev/relation_strict_f1")
        assert line["range"]["xMax"] == 2
        assert [(bar["type"], bar["metricKey"]) for bar in bars] == [("BAR", name) for name in OUTLINE.metrics]
        sections = {section["uuid"] for section in one.state["compareRunSections"]}
        assert {chart["metricSectionId"] for chart in one.state["compareRunCharts"]} <= sections
    assert variants.state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "variant"}]
    assert trials.state["groupBy"] is None and "tags.`variant`" in trials.state["selectedColumns"]
    lower, _ = views.views(replace(OUTLINE, better="lower"))
    assert lower.state["orderByAsc"] is True


def test_a_search_has_one_view_with_what_is_searched():
    asked = replace(OUTLINE, variants=(), metrics=("dev/relation_strict_f1",), factors=("training.learning_rate",))
    (only,) = views.views(asked)
    assert only.name == "Trials" and only.state["groupBy"] is None
    assert {"params.`training.learning_rate`", "tags.`pruned`"} <= set(only.state["selectedColumns"])
    line, parallel = only.state["compareRunCharts"]
    assert (line["type"], parallel["type"]) == ("LINE", "PARALLEL")
    assert parallel["selectedParams"] == ["training.learning_rate"]


def test_a_view_finds_the_runs_of_its_budget_and_no_others(tmp_path):
    outcome, small = run(tmp_path, BUDGETS), run(tmp_path, BUDGETS, "small")
    client, found = experiment(tmp_path)
    for budget, plan in (("full", outcome.plan), ("small", small.plan)):
        for kind in (views.VARIANTS, views.TRIALS):
            state = view(found.tags, kind, budget)["state"]
            order = f"{state['orderByKey']} {'ASC' if state['orderByAsc'] else 'DESC'}"
            runs = client.search_runs([found.experiment_id], state["searchFilter"], order_by=[order])
            assert {one.data.tags["trial_key"] for one in runs} == {trial.key for trial in plan.trials}
            assert runs[0].data.tags["variant"] == "warm" and runs[0].data.metrics[views.SECONDS] >= 0
            assert all(one.info.end_time >= one.info.start_time for one in runs)
    # a trial that has left the study is no longer one of its budget
    run(tmp_path, BUDGETS.replace("seeds: 2", "seeds: 1"))
    runs = client.search_runs([found.experiment_id], view(found.tags, views.TRIALS)["state"]["searchFilter"])
    assert {one.data.tags["seed"] for one in runs} == {"1"} and len(runs) == 3


def test_a_trial_of_two_budgets_is_in_the_views_of_both(tmp_path):
    text = SWEEP + "budgets: {fewer: {note: one seed, seeds: 1}}\n"
    run(tmp_path, text)
    assert run(tmp_path, text, "fewer").executed == ()
    client, found = experiment(tmp_path)
    for budget, n_trials in (("full", 4), ("fewer", 2)):
        asked = view(found.tags, views.VARIANTS, budget)["state"]["searchFilter"]
        assert len(client.search_runs([found.experiment_id], asked)) == n_trials


def test_a_first_phase_is_in_no_view(tmp_path):
    outcome = run(tmp_path, TWO_PHASES)
    client, found = experiment(tmp_path)
    assert len(client.search_runs([found.experiment_id], views.OF_STUDY)) == len(outcome.plan.trials) + 1
    runs = client.search_runs([found.experiment_id], view(found.tags, views.VARIANTS)["state"]["searchFilter"])
    assert {one.data.tags["trial_key"] for one in runs} == {trial.key for trial in outcome.plan.trials}


def test_a_second_run_writes_nothing_a_second_time(tmp_path):
    run(tmp_path, BUDGETS)
    client, first = experiment(tmp_path)
    run(tmp_path, BUDGETS)
    sync(Home.at(tmp_path / "home"), now())
    _, then = experiment(tmp_path)
    assert then.tags == first.tags
    assert sum(name.startswith(views.TAG) for name in then.tags) == 2
    (summary,) = client.search_runs([then.experiment_id], "tags.kind = 'summary'")
    histories = [client.get_metric_history(summary.info.run_id, name) for name in summary.data.metrics]
    assert {len(history) for history in histories} == {1}


def test_runs_that_another_study_has_are_told(tmp_path):
    run(tmp_path)
    run(tmp_path, SWEEP.replace("study: sample", "study: other").replace("0.4]", "0.4, 0.8]"))
    _, sample = experiment(tmp_path)
    _, other = experiment(tmp_path, "other")
    assert view(other.tags, views.VARIANTS)["name"] == "Variants · 2 of 6 trials"
    assert view(sample.tags, views.VARIANTS)["name"] == "Variants"
    there = f"so their runs are [there](#/experiments/{sample.experiment_id}/"
    assert f"4 of its trials ran first for the study sample, {there}" in other.tags[note.TAG]
    assert "ran first" not in sample.tags[note.TAG]


# ------------------------------------------------------------------------------------------------------------ the notes


def test_the_note_of_a_study_says_what_it_is_and_what_came_of_it_without_secrets(tmp_path):
    outcome = run(tmp_path, BUDGETS)
    run(tmp_path, BUDGETS, "small")
    client, found = experiment(tmp_path)
    told = found.tags[note.TAG]
    mark, first, second = told.split("\n\n")[:3]
    assert (mark, first, second) == (note.MARK, "**Does it help?**", r"See https://\*\*\*@example.org for more.")
    assert "secret" not in told and "<details>" not in told
    assert told.index("**Budget full**") < told.index("**Budget small**") < told.index("Reduced budget")
    assert "| ours (baseline) | &ensp;2 |" in told and "study.yaml**\n\n```yaml\nstudy: sample\n" in told
    full, small = (
        client.search_runs([found.experiment_id], f"tags.kind = 'summary' and tags.budget = '{name}'")[0]
        for name in ("full", "small")
    )
    for one in (full, small):
        assert f"/runs/{one.info.run_id}/artifacts/report/report.html" in told
        assert one.data.tags[note.TAG] in told
        path = client.download_artifacts(one.info.run_id, "study.yaml")
        assert "secret" not in Path(path).read_text() and load(Path(path)).study.study == "sample"
    assert "Reduced budget" not in full.data.tags[note.TAG]
    assert {file.path for file in client.list_artifacts(full.info.run_id, "report")} == {
        f"report/{name}" for name in outcome.files
    }


def test_what_somebody_has_written_above_the_note_stays(tmp_path):
    run(tmp_path)
    client, found = experiment(tmp_path)
    ours = found.tags[note.TAG]
    client.set_experiment_tag(found.experiment_id, note.TAG, f"Ask Ada.\n\n{ours[:-100]}")
    run(tmp_path)
    assert experiment(tmp_path)[1].tags[note.TAG] == f"Ask Ada.\n\n{ours}"
    client.set_experiment_tag(found.experiment_id, note.TAG, "Mine alone.")
    run(tmp_path)
    assert experiment(tmp_path)[1].tags[note.TAG] == f"Mine alone.\n\n{ours}"
    client.set_experiment_tag(found.experiment_id, note.TAG, "Mine. " * 3000)
    assert run(tmp_path).trouble is None
    assert experiment(tmp_path)[1].tags[note.TAG] == "Mine. " * 3000


@pytest.mark.parametrize("longest", [*note.LONGEST, note.LEAST])
@pytest.mark.parametrize("n_lines", [3, 60, 5000])
@pytest.mark.parametrize("n_rows", [2, 100])
def test_a_note_is_never_longer_than_a_tag_may_be(longest, n_lines, n_rows):
    rows = "\n".join(["| a | b |", "|:--|--:|", *(f"| variant {n} | 12.34 ± 0.56 |" for n in range(n_rows))])
    yaml = "".join(f"setting_{n}: {n}\n" for n in range(n_lines))
    summaries = [Summary(budget, "0" * 32, rows) for budget in ("small", "full")]
    whole = note.of_experiment("1", OUTLINE, StudyText(yaml, "Why."), summaries, {}, longest)
    assert len(whole) <= longest and whole.startswith("**Does it help?**")
    assert "How to read the runs" in whole and "study.yaml" in whole
    shown = whole.count("setting_")
    if shown < n_lines:
        left = re.search(r"… (\d+) lines; the whole file is `study.yaml` among the artifacts", whole)
        assert left is not None and int(left[1]) + shown == n_lines
    assert whole.count("```") % 2 == 0


def test_the_longest_description_of_a_run_is_cut_at_a_line_and_says_so():
    results = replace(samples.comparison(), provenance={"command": "orchestrate run `a`?token=abc"})
    table = "Caption.\n\n" + "\n".join(f"| variant {n} | 12.34 |" for n in range(1000))
    told = note.of_summary(results, table + "\n\n<details><summary>Origin</summary>\n\n- trials\n\n</details>\n")
    assert len(told) <= note.LONGEST_OF_RUN and "details" not in told
    assert told.endswith("the rest is in the report, among the artifacts.\n\nFrom `` orchestrate run `a`?token=*** ``")
    assert re.search(r"\| variant \d+ \| &ensp;12.34 \|\n\n…", told)


def test_letters_that_mean_something_in_a_note_are_shown_as_they_are():
    outline = replace(OUTLINE, question="a < b & c > d, *so* $5 a_b?")
    text = note.of_experiment("1", outline, None, [], {})
    assert text.startswith(r"**a &lt; b &amp; c &gt; d, \*so\* $5 a\_b?**")


# ------------------------------------------------------------------------------------------------- the summary's values


def test_a_summary_has_intervals_over_seeds_and_each_comparison_with_the_baseline():
    results = samples.counted()
    found = aggregates(results)
    of = spreads(results)["gains 0.2"][samples.MAIN]
    name = f"gains 0.2/{samples.MAIN}"
    assert (found[f"{name}_mean"], found[f"{name}_n"]) == (of.mean, of.n)
    assert found[f"{name}_low"] == of.low < of.mean < of.high == found[f"{name}_high"]
    one = results.comparisons["gains 0.2", samples.MAIN]
    kinds = {"difference": one.difference, "difference_low": one.low, "difference_high": one.high}
    for kind, value in {**kinds, "p_adjusted": one.p_adjusted}.items():
        assert found[f"{name}_{kind}"] == value
    assert f"jerex/{samples.MAIN}_difference" not in found


def test_what_is_undefined_is_no_metric():
    found = aggregates(samples.study({"a": [40.0], "b": []}, seeds=(1,)))
    assert found[f"a/{samples.MAIN}_n"] == 1 and found[f"a/{samples.MAIN}_mean"] == 40.0
    assert not {name for name in found if name.endswith(("_sd", "_low", "_high"))}


def test_sync_tells_the_same_as_the_run_did(tmp_path):
    run(tmp_path, BUDGETS)
    client, found = experiment(tmp_path)
    (summary,) = client.search_runs([found.experiment_id], "tags.kind = 'summary'")
    client.delete_run(summary.info.run_id)
    for tag in found.tags:
        client.delete_experiment_tag(found.experiment_id, tag)
    assert sync(Home.at(tmp_path / "home"), now()).trouble is None
    _, again = experiment(tmp_path)
    (made,) = client.search_runs([found.experiment_id], "tags.kind = 'summary'")
    assert made.data.metrics == summary.data.metrics
    old, new = summary.info.run_id, made.info.run_id
    assert again.tags[note.TAG] == found.tags[note.TAG].replace(old, new)
    for kind in (views.VARIANTS, views.TRIALS):
        assert view(again.tags, kind)["state"] == view(found.tags, kind)["state"]


def test_a_run_that_the_tracker_has_not_seen_lasts_as_long_as_its_trial(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/nowhere/mlflow.db")
    record = run(tmp_path).plan.trials[0].record
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    sync(Home.at(tmp_path / "home"), now())
    client, found = experiment(tmp_path)
    (one,) = client.search_runs([found.experiment_id], f"tags.trial_key = '{record.key}'")
    assert one.info.end_time - one.info.start_time == int(1000 * record.duration_s)


# --------------------------------------------------------------------------------------------------- what cannot be had


def test_a_server_that_takes_shorter_notes_gets_a_shorter_one(tmp_path, monkeypatch):
    monkeypatch.setattr(validation, "MAX_EXPERIMENT_TAG_VAL_LENGTH", 5000)
    run(tmp_path, BUDGETS + "\n".join(f"# line {n} of many, none of which is read" for n in range(200)) + "\n")
    told = experiment(tmp_path)[1].tags[note.TAG]
    assert 4500 < len(told) <= 5000 and " lines; the whole file is" in told


def test_a_study_runs_on_where_neither_views_nor_notes_are_taken(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(validation, "MAX_EXPERIMENT_TAG_VAL_LENGTH", 40)
    outcome = run(tmp_path)
    assert (outcome.exit_code, outcome.trouble) == (Exit.DONE, None)
    client, found = experiment(tmp_path)
    assert set(found.tags) == {"mlflow.experimentKind"}
    assert len(client.search_runs([found.experiment_id], "tags.kind = 'trial'")) == 4
    told = [record.getMessage() for record in caplog.records if "does not take" in record.getMessage()]
    assert len(told) == 3  # each once, though tried at the start and at the end
    # and the address is a plain one, by which the trials are found
    (one,) = server.find(default_uri(Home.at(tmp_path / "home")), "sample", None)
    assert one.budget is None
    (place,) = one.places
    asked = parse_qs(urlsplit("http://x/" + place.address.replace("#", "")).query)
    assert "viewStateShareKey" not in asked
    assert len(client.search_runs([found.experiment_id], asked["searchFilter"][0])) == 4


def test_a_study_file_that_cannot_be_copied_does_not_end_its_study(tmp_path, caplog):
    (tmp_path / "home" / "sample").mkdir()
    (tmp_path / "home" / "sample" / "study.yaml").mkdir()
    outcome = run(tmp_path)
    assert (outcome.exit_code, outcome.trouble) == (Exit.DONE, None)
    assert any("is not copied" in record.getMessage() for record in caplog.records)
    assert "study.yaml" not in experiment(tmp_path)[1].tags[note.TAG]


def test_a_study_or_a_budget_that_mlflow_does_not_have_is_refused_with_what_may_be_meant(tmp_path):
    run(tmp_path, BUDGETS, "small")
    uri = default_uri(Home.at(tmp_path / "home"))
    with pytest.raises(StudyError, match="MLflow has no study 'sampel', did you mean 'sample'?"):
        server.find(uri, "sampel", None)
    with pytest.raises(StudyError, match="no budget 'smal' of the study sample, wanted one of small, did you mean"):
        server.find(uri, "sample", "smal")
    with pytest.raises(
        StudyError, match="MLflow at sqlite:////proc/nowhere/mlflow.db cannot be read: FileNotFoundError"
    ):
        server.find("sqlite:////proc/nowhere/mlflow.db", "sample", None)
    (one,) = server.find(uri, None, None)
    assert (one.study, one.budget, one.places[0].what) == ("sample", "small", "variants")


def test_a_browser_is_opened_only_where_somebody_sees_it():
    assert server.has_desktop({"DISPLAY": ":0"}, "linux") and server.has_desktop({}, "darwin")
    assert not server.has_desktop({}, "linux")
    assert not server.has_desktop({"DISPLAY": "localhost:10", "SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, "linux")


# --------------------------------------------------------------------------------------------------- server and browser


def free_port():
    with socket.socket() as free:
        free.bind((server.LOOPBACK, 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """`orchestrate ui` of a study that has run: folder, port, addresses by what they show."""
    folder, port = tmp_path_factory.mktemp("opened"), free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        run(folder, BUDGETS)
    path = write(folder, BUDGETS)
    process = start("ui", path, "--home", folder / "home", "--port", port, "--no-open", start_new_session=True)
    try:
        lines = [process.stdout.readline() for _ in range(6)]
        yield folder, port, dict(line.split() for line in lines[1:])
        # a second one at the same port is told so
        code, _, errors = (other := start("ui", "--home", folder / "home", "--port", port)).wait(), *other.communicate()
        assert code == Exit.INVALID and f"port {port} cannot be had" in errors
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=180)
        assert (process.returncode, output) == (0, "") and "Traceback" not in errors
        server.refuse_if_taken(port)
    finally:
        process.kill()


def shown(tmp_path, address, *wanted):
    """What a browser makes of an address: its document, and the texts in it, among which are those wanted."""
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-quic"
    # wide, as columns out of sight are not in the document
    command = [CHROMIUM, *flags.split(), "--disable-component-update", "--disable-sync", "--window-size=2800,1600"]
    command += ["--virtual-time-budget=40000", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", address]
    missing: set[str] = set()
    for _ in range(3):  # a busy machine may take longer than the page waits
        document = subprocess.run(command, capture_output=True, text=True, timeout=170, check=True).stdout
        text = re.sub(r"<(script|style)\b.*?</\1>", "", document, flags=re.DOTALL)
        words = [html.unescape(part).strip() for part in re.sub(r"<[^>]*>", "\n", text).split("\n")]
        missing = {word for word in wanted if word not in words}
        if not missing:
            return document, words
    raise AssertionError(f"{address} does not show {missing}")


@pytest.mark.slow
def test_a_study_file_opens_on_its_variants(opened):
    _, port, places = opened
    assert list(places) == ["variants", "trials", "charts", "summary", "report"]
    assert places["variants"].startswith(f"http://127.0.0.1:{port}/#/experiments/1/runs?viewStateShareKey=orchestrate-")


@pytest.mark.slow
def test_over_http_all_is_as_in_a_database_and_a_second_run_doubles_nothing(opened, tmp_path, monkeypatch):
    _, port, _ = opened
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    text = BUDGETS.replace("study: sample", "study: remote")
    client = MlflowClient(f"http://127.0.0.1:{port}")
    outcome = run(tmp_path, text)
    assert outcome.trouble is None
    first = client.get_experiment_by_name("remote")
    assert {view(first.tags, kind)["name"] for kind in (views.VARIANTS, views.TRIALS)} == {"Variants", "Trials"}
    assert "| ours (baseline) |" in first.tags[note.TAG] and "secret" not in str(first.tags)
    run(tmp_path, text)
    assert client.get_experiment_by_name("remote").tags == first.tags
    (summary,) = client.search_runs([first.experiment_id], "tags.kind = 'summary'")
    assert "study.yaml" in {file.path for file in client.list_artifacts(summary.info.run_id)}
    # the longest note that this version takes: one letter more is refused, not cut
    client.set_experiment_tag(first.experiment_id, "longest", "x" * note.LONGEST[0])
    assert len(client.get_experiment(first.experiment_id).tags["longest"]) == note.LONGEST[0]
    with pytest.raises(MlflowException, match="exceeds the maximum length"):
        client.set_experiment_tag(first.experiment_id, "longest", "x" * (note.LONGEST[0] + 1))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
def test_a_browser_shows_variants_trials_charts_and_what_the_report_says(opened, tmp_path):
    _, _, places = opened
    of_variants = ("Variants", "Does it help?", "study.yaml", "selected_epoch", views.SECONDS)
    _, words = shown(tmp_path, places["variants"], *of_variants, "49.7", "matching runs")
    assert not [word for word in words if "Error loading" in word]
    groups = [word.removeprefix("Group: ") for word in words if word.startswith("Group: ")]
    assert groups == ["warm", "ours", "broken"]  # the best on dev first, what has no score last

    of_trials = ("Trials", "variant", "seed", "selected_epoch", "trial_key", "failure", "Duration")
    _, words = shown(tmp_path, places["trials"], *of_trials, "ValueError: the loss is not finite")
    names = [word for word in words if re.fullmatch(r"\w+ · seed \d", word)]
    assert names[:4] == ["warm · seed 2", "warm · seed 1", "ours · seed 2", "ours · seed 1"] and len(names) == 6

    sections = ("Scores", "Other scores of the report", "dev", "test", "loss", "Model metrics")
    document, _ = shown(tmp_path, places["charts"], *sections, "dev/relation_strict_f1", "test/entity_f1")
    # a line and a band for each variant that has scores; a bar chart for each metric of the report
    assert len(re.findall(r'class="trace scatter trace\w+ is-band', document)) >= 2
    assert document.count('class="trace bars"') >= 5

    shown(tmp_path, places["summary"], "sample · full", "ours (baseline)", "Does it help?")
    document, _ = shown(tmp_path, places["report"], "report/report.html", "study.yaml")
    assert "mlflow-html-iframe" in document
    document, _ = shown(tmp_path, places["report"].replace("report.html", "figure.png"), "report/figure.png")
    assert re.search(r'<img[^>]*src="blob:', document)
    document, _ = shown(tmp_path, places["report"].replace("report.html", "table.md"), "ours (baseline)")
    assert 'role="cell"' in document
    shown(tmp_path, places["report"].replace("report.html", "table.csv"), "variant", "n_declared", "warm")
