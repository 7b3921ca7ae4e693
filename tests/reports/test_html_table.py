"""A table as HTML: well formed, nothing of a study's text is taken for markup, cells as in the other forms."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from reports import differences, html_table, sub_tasks
from reports.comparison import table
from reports.table import Table
from tests.reports import samples

SAMPLES = {
    "comparison": table(samples.comparison()),
    "by_dataset": table(samples.by_dataset()),
    "hostile": table(samples.hostile()),
    "nothing_yet": table(samples.study({"a": [], "b": ["failed"]})),
    "differences": differences.table(samples.counted()),
    "sub_tasks": sub_tasks.table(samples.counted()),
}


class Read(HTMLParser):
    """Tags are balanced; rows of cells with the columns that each takes."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.rows: list[int] = []
        self.texts: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.opened.append(tag)
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append(0)
        if tag in ("td", "th"):
            self.rows[-1] += int(dict(attrs).get("colspan") or 1)
            if tag == "th":
                assert dict(attrs)["scope"] in ("col", "colgroup", "row", "rowgroup")

    def handle_endtag(self, tag):
        assert self.opened.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read(made: Table) -> Read:
    found = Read()
    found.feed(html_table.render(made))
    found.close()
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_it_is_well_formed_and_its_rows_have_one_width(name: str):
    made = SAMPLES[name]
    assert made is not None
    found = read(made)
    assert not found.opened and set(found.rows) == {len(made.columns) + 1}
    text = " ".join("".join(found.texts).split())
    for said in (made.caption, *made.warnings, *made.explanations, *made.notes, *made.origin):
        assert " ".join(said.split()) in text
    for section in made.sections:
        for row in section.rows:
            assert " ".join(row.label.split()) in text


def test_text_of_a_study_is_not_taken_for_markup():
    made = table(samples.study({"<script>alert(1)</script>": [40.0], 'b" onclick="': [41.0]}, seeds=(1,)))
    found = read(made)
    assert "script" not in found.tags and "<script>alert(1)</script>" in "".join(found.texts)


def test_best_stars_and_daggers_stand_as_in_latex():
    text = html_table.render(table(samples.comparison()))
    assert "<strong>43.00</strong> ± 1.58" in text and "60.50 ± 0.71<sup>†</sup>" in text
    assert "<sup>*</sup>" in html_table.render(table(samples.counted()))
