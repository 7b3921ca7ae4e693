"""What reports/README.md says is so: its files, its settings, its command and its rows."""

from __future__ import annotations

import re
from pathlib import Path

from ruamel.yaml import YAML

import reports
from reports import build
from reports.settings import ComparisonSettings, StatisticsSettings

ROOT = Path(reports.__file__).parents[1]
TEXT = (ROOT / "reports" / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "studies" / "results" / "warmup"


def test_the_settings_in_it_are_the_defaults():
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)
    given = YAML(typ="safe").load(block)["report"]
    assert ComparisonSettings.model_validate(given).statistics == StatisticsSettings()


def test_every_file_of_the_results_is_in_its_list():
    listed = TEXT[TEXT.index("## The files") : TEXT.index("`record.json` and `counts.jsonl.gz` are")]
    named = set(re.findall(r"`([a-z_]+)(?:\.[a-z.*]+)?`", listed))
    for path in [*RESULTS.iterdir(), *map(Path, build.OPTIONAL)]:
        assert path.name.split(".")[0] in named, path.name


def test_rows_and_commands_that_it_quotes_stand_in_the_results():
    for row in (line[2:] for line in TEXT.splitlines() if line.startswith("> | ") and ":--" not in line):
        cells = [cell.strip() for cell in row.strip("| ").split("|") if cell.strip() != "…"]
        found = "\n".join((RESULTS / name).read_text() for name in ("table.md", "differences.md")).replace("\\", "")
        assert " | ".join(cells) in found, row
    commands = re.findall(r"\\(Warmup[A-Za-z]+)", TEXT)
    assert commands and all(f"\\{name}}}" in (RESULTS / "numbers.tex").read_text() for name in commands)
