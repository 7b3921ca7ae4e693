"""The files of figures: which a report has, the same bytes each time, in the metadata where they are from."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from reports import build
from reports.figures import OPTIONAL, of_study
from reports.records import StudyResults
from reports.settings import ComparisonSettings
from tests.reports import samples
from tests.reports.figured import counted, with_curves

ALL = ("learning", "differences", "types", "scale", "cost")


def asked(results: StudyResults, *figures: str) -> StudyResults:
    return replace(results, report=ComparisonSettings.model_validate({"metrics": (samples.MAIN,), "figures": figures}))


STUDY = with_curves(counted((0.0, 0.5), ("P1", "P2")))


def names(results: StudyResults) -> set[str]:
    files = of_study(results, "origin")
    assert all(f"{name.removesuffix('.pdf')}.png" in files for name in files if name.endswith(".pdf"))
    return {name.removesuffix(".pdf") for name in files if name.endswith(".pdf")}


def test_a_report_has_the_figures_that_it_asks_for_and_curves_and_differences_unasked():
    assert names(STUDY) == {"figure", "learning", "differences"}
    assert names(asked(STUDY, *ALL)) == {"figure", *ALL}
    assert names(asked(STUDY, "scale")) == {"figure", "scale"}
    assert names(asked(STUDY)) == {"figure"}
    with pytest.raises(ValueError, match="figures"):
        asked(STUDY, "scales")


def test_what_there_is_nothing_to_show_of_is_left_out_and_told_if_it_was_asked_for(caplog):
    with caplog.at_level(logging.WARNING):
        assert names(samples.foreign()) == {"figure", "differences"}
        assert caplog.text == ""
        assert names(asked(samples.comparison(), *ALL)) == {"figure", "learning", "differences"}
    assert "'types' is left out: no finished trial has left counts by relation type" in caplog.text
    assert "'scale' is left out" in caplog.text
    assert names(samples.study({"a": [], "b": ["failed"]})) == {"figure"}


def test_the_same_results_give_the_same_bytes_which_name_their_origin():
    results = asked(STUDY, *ALL)
    origin = "orchestrate: sample, budget full, record sha256:00"
    files, again = of_study(results, origin), of_study(asked(STUDY, *ALL), origin)
    assert files == again and len(files) == 12
    for name, content in files.items():
        assert origin.encode() in content
        if name.endswith(".pdf"):
            assert b"CreationDate" not in content and b"Type3" not in content and b"/CIDFontType2" in content


def test_a_figure_of_an_earlier_report_does_not_stay_beside_a_new_one_without(tmp_path):
    made = build.build(asked(STUDY, *ALL), tmp_path)
    assert set(made) >= OPTIONAL
    build.build(asked(STUDY), tmp_path)
    assert not {path.name for path in tmp_path.iterdir()} & OPTIONAL
