"""The map from equations to files cannot drift: it is held against the docstrings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

MODEL = Path(__file__).parents[2] / "model"
README = (MODEL / "README.md").read_text(encoding="utf-8")


def sources(path: Path) -> set[int]:
    """Numbers of the paper's equations that the file's `Source: MRE` paragraphs name."""
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"Source: MRE.*?(?:\n\n|\"\"\")", text, flags=re.DOTALL)
    return {int(number) for paragraph in named for number in re.findall(r"Eq\. \((\d)\)", paragraph)}


@pytest.mark.parametrize("equation", range(1, 7))
def test_every_equation_of_the_paper_is_named_by_the_docstring_of_what_computes_it(equation):
    assert any(equation in sources(path) for path in MODEL.rglob("*.py"))


def test_the_table_of_equations_leads_to_files_that_name_them():
    rows = re.findall(r"^\| Eq\. (.*?) \| (.*?) \|$", README, flags=re.MULTILINE)
    assert len(rows) == 4
    for equations, files in rows:
        for number in re.findall(r"\((\d)\)", equations):
            for file in re.findall(r"`(.*?)`", files):
                assert int(number) in sources(MODEL / file), f"{file} does not name Eq. ({number})"


def test_every_file_that_the_map_names_exists():
    for file in re.findall(r"`([a-z_/]+\.py)`", README):
        assert (MODEL / file).is_file(), file
