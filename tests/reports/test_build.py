"""The folder of a report: complete, the same bytes every time, and following from its own record."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
from PIL import Image

from reports import build as builder
from reports.build import build, rebuild
from tests.reports import samples

FILES = {"table.tex", "table.md", "table.html", "table.csv", "trials.csv", "numbers.tex", "record.json"}
FILES |= {"figure.pdf", "figure.png"}
DIFFERENCES = {f"differences.{kind}" for kind in ("tex", "md", "html", "csv")}
COUNTED = {"counts.jsonl.gz", *(f"types.{kind}" for kind in ("tex", "md", "html", "csv")), "sub_tasks.tex"}
SAMPLES = {
    "comparison": samples.comparison(),
    "sweep": samples.sweep(),
    "sweep_words": samples.sweep(("bilinear", None, True, 3), "model.x"),
    "by_dataset": samples.by_dataset(),
    "hostile": samples.hostile(),
    "one_seed": samples.study({"a": [40.0], "b": [41.0]}, seeds=(1,)),
    "nothing_yet": samples.study({"a": [], "b": ["failed"]}),
    "foreign": samples.foreign(),
    "foreign_sweep": samples.foreign_sweep(),
    "sweep_gap": samples.sweep((0.2,)),
    "counted": samples.counted(),
}
RECORDS = sorted(Path(builder.__file__).parents[1].glob("studies/results/*/record.json"))


def digests(paths: dict[str, Path]) -> dict[str, str]:
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_report_follows_from_its_record_to_the_last_byte(name: str, tmp_path: Path):
    made = build(SAMPLES[name], tmp_path / "a")
    assert set(made) == {path.name for path in (tmp_path / "a").iterdir()} and set(made) >= FILES
    assert (set(made) >= DIFFERENCES) == bool(SAMPLES[name].comparisons)
    assert (set(made) >= COUNTED) == (name == "counted")
    again = rebuild(made["record.json"], tmp_path / "b")
    assert digests(again) == digests(made)


def test_another_process_with_other_hashes_and_settings_makes_the_same_bytes(tmp_path: Path):
    made = build(samples.hostile(), tmp_path / "a")
    (tmp_path / "matplotlibrc").write_text("font.size: 20\naxes.facecolor: red\n")
    record = str(made["record.json"])
    code = f"from pathlib import Path; from reports.build import rebuild; rebuild(Path({record!r}), Path('b'))"
    root = Path(builder.__file__).parents[1]
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert digests({name: tmp_path / "b" / name for name in made}) == digests(made)


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.parent.name)
def test_the_recorded_results_are_made_again_from_their_records(record: Path, tmp_path: Path):
    again = rebuild(record, tmp_path)
    # what a figure's bytes are is also up to matplotlib's version
    for name in (name for name in again if not name.endswith((".pdf", ".png"))):
        assert again[name].read_bytes() == (record.parent / name).read_bytes(), name


def test_a_report_that_fails_leaves_the_old_one_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = build(samples.comparison(), tmp_path)
    before = digests(made)

    def broken(results, origin):
        raise RuntimeError("no ink")

    monkeypatch.setattr(builder.figures, "of_study", broken)
    with pytest.raises(RuntimeError, match="no ink"):
        build(samples.hostile(), tmp_path)
    assert digests(made) == before
    assert {path.name for path in tmp_path.iterdir()} == set(made)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_file_says_from_which_trials_commit_and_data_it_is(tmp_path: Path):
    results = samples.counted()
    key = results.trials[0].key
    made = build(results, tmp_path)
    for name, path in made.items():
        content = path.read_bytes()
        if path.suffix == ".png":
            with Image.open(io.BytesIO(content)) as picture:
                content = str(picture.info["Comment"]).encode()
        if name != "counts.jsonl.gz":  # which has the keys, and lies beside the record
            assert all(told in content for told in (key.encode(), b"0123abc", b"11aa")), name
    (row, *_) = rows(made["differences.csv"])
    assert row["keys"].split() == [trial.key for trial in results.finished(row["variant"])]
    assert {row["key"] for row in rows(made["types.csv"])} == {trial.key for trial in results.trials}


def test_the_csv_files_come_back_as_the_numbers_of_the_trials(tmp_path: Path):
    results = samples.comparison()
    made = build(results, tmp_path)
    trials = rows(made["trials.csv"])
    assert len(trials) == len(results.variants) * len(results.seeds)
    of_key = {row["key"]: row for row in trials}
    for trial in results.trials:
        row = of_key[trial.key]
        assert {name: float(row[name]) for name in trial.metrics} == trial.metrics
        assert (row["variant"], row["seed"], row["status"]) == (trial.variant, str(trial.seed), trial.status)
    for row in rows(made["table.csv"]):
        finished = [t for t in trials if t["variant"] == row["variant"] and t["status"] == "finished"]
        ours = [float(trial[row["metric"]]) for trial in finished]
        assert (int(row["n"]), float(row["min"]), float(row["max"])) == (len(ours), min(ours), max(ours))
        assert float(row["mean"]) == pytest.approx(statistics.mean(ours))
        assert float(row["sd"]) == pytest.approx(statistics.stdev(ours))


def test_pictures_have_no_date_fonts_are_type_42_and_widths_are_those_of_a_column_or_a_page(tmp_path: Path):
    for name, inches in (("sweep", 3.3), ("comparison", 3.3), ("by_dataset", 6.9)):
        made = build(SAMPLES[name], tmp_path / name)
        pdf = made["figure.pdf"].read_bytes()
        assert b"CreationDate" not in pdf and b"Type3" not in pdf and b"/CIDFontType2" in pdf
        box = re.search(rb"/MediaBox \[ ?0 0 ([0-9.]+) ([0-9.]+) ?\]", pdf)
        assert box is not None and float(box[1]) == pytest.approx(72 * inches, abs=0.5)
        with Image.open(io.BytesIO(made["figure.png"].read_bytes())) as picture:
            assert picture.width == pytest.approx(300 * inches, abs=1)
            # by what it was drawn, for `report --check`; when, nothing says
            maker = f"matplotlib {matplotlib.__version__}"
            assert picture.info["Software"] == maker and maker.encode() in pdf


@pytest.mark.parametrize("name", SAMPLES)
def test_markdown_rows_have_one_width_and_hostile_labels_do_not_change_it(name: str, tmp_path: Path):
    text = build(SAMPLES[name], tmp_path)["table.md"].read_text()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert len(lines) >= 3


def test_markdown_says_what_latex_says(tmp_path: Path):
    text = build(samples.by_dataset(), tmp_path)["table.md"].read_text()
    assert "**Reduced budget “cpu”" in text
    assert "**43.00** ± 1.00" in text
    assert "Published: arXiv 2307.11762, Table 2" in text
