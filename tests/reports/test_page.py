"""The report as one page: whole in itself, well formed, honest in its words, and with right and wrong told apart."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from model.data.document import Document, Entity, Mention, Relation, to_json
from reports import documents, figures, page, verdict
from reports.build import build, rebuild
from reports.comparison import table
from reports.documents import Annotation, ShownDocument, choose
from reports.records import StudyResults
from tests.reports import samples

SENTENCES = (("Aspirin", "causes", "severe", "fever", "."), ("<b>No", "other", "drug", "does", "."))


def annotation(*entities: tuple, relations: tuple = ()) -> Annotation:
    made = tuple(Entity(tuple(Mention(*span, name) for span in spans)) for name, *spans in entities)
    return Annotation.of(to_json(Document("x", SENTENCES, made, tuple(Relation(*one) for one in relations))))


GOLD = annotation(("Chemical", (0, 1)), ("Disease", (3, 4)), relations=((0, 1, "CID"),))
FOUND = annotation(("Chemical", (0, 1)), ("Disease", (2, 4)), ("Chemical", (7, 8)), relations=((0, 1, "CID"),))


def shown(**predicted: Annotation) -> ShownDocument:
    trials = {name: f"{name}-1" for name in predicted}
    return ShownDocument("1234<", "test", SENTENCES, GOLD, predicted, trials, "it is short")


def with_document() -> StudyResults:
    return replace(samples.counted(), documents=(shown(jerex=FOUND),))


class Read(HTMLParser):
    VOID = ("meta", "img")

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.alts: list[str] = []
        self.outside: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self.tags.add(tag)
        if tag not in self.VOID:
            self.opened.append(tag)
        if "id" in told:
            self.ids.append(told["id"])
        for name in ("href", "src"):
            address = told.get(name) or ""
            if address.startswith("#"):
                self.links.append(address[1:])
            elif address and not address.startswith("data:image/png;base64,"):
                self.outside.append(address)
        if tag == "img":
            self.alts.append(told["alt"])

    def handle_endtag(self, tag):
        assert self.opened.pop() == tag


def read(results: StudyResults) -> tuple[str, Read]:
    text = page.render(results, [table(results)], figures.of_study(results, "origin"), results.documents)
    found = Read()
    found.feed(text)
    found.close()
    assert not found.opened
    return text, found


@pytest.mark.parametrize(
    "results",
    [with_document(), samples.comparison(), samples.by_dataset(), samples.hostile(), samples.foreign()],
    ids=["documents", "comparison", "by_dataset", "hostile", "foreign"],
)
def test_a_page_is_well_formed_and_needs_nothing_but_itself(results: StudyResults):
    text, found = read(results)
    assert found.outside == [] and "script" not in found.tags and "@import" not in text and "url(" not in text
    assert len(set(found.ids)) == len(found.ids) and set(found.links) <= set(found.ids)
    assert found.alts and all(len(alt) > 20 for alt in found.alts)
    assert [heading for heading in re.findall(r"<h([1-6])", text)].count("1") == 1


def test_mentions_are_marked_as_right_wrong_or_missed():
    text, _ = read(with_document())
    assert (
        '<span class="m right">Aspirin<small title="right">Chemical ✓</small></span> causes <span class="m wrong">'
        'severe <span class="m missed">fever<small title="in gold, not found">Disease ○</small></span>'
        '<small title="found, not in gold">Disease ✗</small></span> .'
    ) in text
    assert "&lt;b&gt;No" in text and "1234&lt;" in text
    # the entity of the relation has another span, so the relation found is wrong and that of gold is missed
    rows = re.findall(r'<td class="words (right|wrong|missed)">', text)
    assert rows == ["wrong", "missed"]


def test_mentions_that_cross_are_told_below():
    crossing = annotation(("Chemical", (0, 3)), ("Disease", (2, 4)))
    text, _ = read(replace(samples.counted(), documents=(shown(jerex=crossing),)))
    assert "Overlapping others: severe fever (Disease ✗)" in text


def test_where_gold_and_prediction_are_the_same_all_is_right():
    text, _ = read(replace(samples.counted(), documents=(shown(jerex=GOLD),)))
    assert set(re.findall(r'class="m (right|wrong|missed)">[A-Z]', text)) == {"right"}
    assert re.findall(r'<td class="words (right|wrong|missed)">', text) == ["right"]


def test_failures_are_told_with_their_reason():
    results = samples.comparison()
    trials = tuple(
        replace(trial, failure="ValueError: <i>too wide</i>", attempts=3) if trial.status == "failed" else trial
        for trial in results.trials
    )
    text, _ = read(replace(results, trials=trials))
    assert "cut short, seed 2: failed after 3 attempts" in text and "&lt;i&gt;too wide&lt;/i&gt;" in text


def test_documents_are_kept_beside_the_record_and_only_if_they_are_there(tmp_path: Path):
    made = build(with_document(), tmp_path / "a")
    assert documents.read(made[documents.FILE].read_bytes()) == with_document().documents
    again = rebuild(made["record.json"], tmp_path / "a")
    assert "Document 1234&lt;" in again["report.html"].read_text()
    assert documents.FILE not in build(samples.counted(), tmp_path / "a")
    assert not (tmp_path / "a" / documents.FILE).exists()


def test_documents_are_chosen_where_variants_differ_most():
    results = samples.counted()
    trials = {"jerex": "jerex-1", "gains 0.2": "gains-0.2-1"}
    chosen = choose(results, trials, "test", 3)
    assert results.counts is not None
    gains = {
        name: results.counts.trials[key, "test"].of("relation_strict")[:, :2] @ [1, -1] for name, key in trials.items()
    }
    apart = abs(gains["jerex"] - gains["gains 0.2"])
    assert [apart[int(name[1:])] for name, _ in chosen] == sorted(apart, reverse=True)[:3]
    assert choose(replace(results, counts=None), trials, "test", 3) == []


SAID = [samples.counted(), samples.comparison(), samples.by_dataset(), samples.foreign(), samples.sweep()]
SAID += [samples.study({"a": [], "b": ["failed"]}), samples.study({"a": [40.0], "b": [41.0]}, seeds=(1,))]


@pytest.mark.parametrize("results", SAID)
def test_a_verdict_never_says_more_than_was_shown(results: StudyResults):
    said = verdict.sentences(results)
    text = " ".join(said)
    assert said and "prove" not in text and "significan" not in text and "None" not in text and "nan" not in text
    shown_apart = sum(one.verdict in ("better", "worse") for one in results.comparisons.values())
    assert len(re.findall(r" was (better|worse) than ", text)) == shown_apart
    assert text.count("which says nothing") == sum(
        one.verdict == "cannot reach alpha" and one.difference is not None for one in results.comparisons.values()
    )


def test_a_verdict_names_what_was_better_by_how_much_and_how_sure_that_is():
    results = samples.counted()
    one = results.comparisons["gains 0.2", samples.MAIN]
    (said,) = [said for said in verdict.sentences(results) if " was better than " in said]
    assert said.startswith(f"gains 0.2 was better than JEREX by {one.difference:.2f} points of strict relation F1")
    assert f"95 % interval +{one.low:.2f} to +{one.high:.2f}; adjusted p <0.001" in said


def test_many_differences_that_are_not_shown_are_told_in_one_sentence_and_those_that_are_each_in_its_own():
    results = samples.counted(gains=(0.0, 0.001, -0.001, 0.002, 0.0005, 0.25))
    said = verdict.sentences(results)
    (together,) = [one for one in said if "no difference" in one]
    assert together.startswith(
        "Of 4 variants no difference to the baseline in strict relation F1 on test is shown, and"
    )
    one = results.comparisons["gains -0.001", samples.MAIN]
    expected = f"gains -0.001 ({one.difference:+.2f}, {one.low:+.2f} to {one.high:+.2f})"
    assert expected in together.replace("−", "-")
    assert sum(" was better than " in one for one in said) == 1


def test_where_all_or_some_tie_nobody_is_called_the_best():
    (said, *_) = verdict.sentences(samples.study({"a": [0.0, 0.0], "b": [0.0, 0.0]}, seeds=(1, 2)))
    assert said == "All variants had the same mean strict relation F1 on test: 0.00 over 2 seeds."
    (said, *_) = verdict.sentences(samples.study({"a": [5.0], "b": [7.0], "c": [7.001]}, seeds=(1,)))
    assert said == "b and c had the highest mean strict relation F1 on test: 7.00 (one seed)."


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on PATH")
def test_a_browser_opens_the_page_from_a_file_and_shows_its_pictures(tmp_path: Path):
    made = build(with_document(), tmp_path)
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-quic"
    command = ["chromium", *flags.split(), "--disable-component-update", "--disable-sync", "--virtual-time-budget=5000"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--dump-dom"]
    done = subprocess.run([*command, made["report.html"].as_uri()], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "<h1>Does the memory help?</h1>" in done.stdout
    # what a page may not load is told on the console
    assert "Content Security Policy" not in done.stderr
