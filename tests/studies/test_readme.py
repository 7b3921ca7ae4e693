"""What `studies/README.md` teaches is true: its studies are valid, and each study of the folder is in its list."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from orchestrator.schema import load
from orchestrator.variants import check

STUDIES = Path(__file__).parents[2] / "studies"
README = (STUDIES / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split("\n")[0])
def test_an_example_is_a_study_or_a_part_of_one(tmp_path, example):
    yaml = YAML()
    given = {"study": "part", "question": "?", "seeds": 1, **yaml.load(example)}
    path = tmp_path / "study.yaml"
    with path.open("w") as file:
        yaml.dump(given, file)
    assert check(load(path))["full"].variants


def test_together_the_examples_show_every_key_of_a_study():
    from orchestrator.schema import Study

    shown = set[str]().union(*(YAML().load(example) for example in EXAMPLES))
    assert set(Study.model_fields) - shown <= {"title", "description"}


def test_every_study_is_in_the_list():
    listed = dict(re.findall(r"^\| `(\w+)\.yaml` \| (.*) \|$", README, flags=re.MULTILINE))
    assert listed == {path.stem: load(path).study.question for path in sorted(STUDIES.glob("*.yaml"))}
