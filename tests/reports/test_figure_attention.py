"""Heat maps of attention: what is shown of a document, how dark it is, and that it can be read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from model import inspection
from model.data.document import Document, Entity, Mention, Relation
from reports.figures import attention
from reports.figures.attention import AttentionMap, draw, files
from reports.figures.style import PAGE, TALLEST, style
from tests.reports.legible import faults, is_grey

WORDS = (
    "Pneumonoultramicroscopicsilicovolcanoconiosis",
    "was",
    "not",
    "induced",
    "by",
    "2,4-dinitrophenol",
    "β",
    "中",
    ".",
)
TYPES = tuple(f"relation type {n} with a long name" for n in range(96))


def document(n_sentences: int, words: tuple[str, ...] = WORDS, related: tuple[int, ...] = (0,)) -> Document:
    """Each sentence has a disease first and a chemical sixth; relations are inside of the sentences `related`."""
    sentences = tuple(words for _ in range(n_sentences))
    entities = []
    for number in range(n_sentences):
        at = number * len(words)
        entities += [Entity((Mention(at, at + 1, "Disease"),)), Entity((Mention(at + 5, at + 6, "Chemical"),))]
    relations = tuple(Relation(2 * number + 1, 2 * number, "CID") for number in related)
    return Document("a document / of some name", sentences, tuple(entities), relations)


def attended(multiple: np.ndarray, slots: tuple[str, ...]) -> inspection.Attention:
    """Weights that are so many times those of no preference."""
    n = max(len(multiple), 1)
    return inspection.Attention(slots, multiple / n, np.full(len(multiple), 1 / n))


def looked_at(
    one: Document,
    predicted: Document | None = None,
    memories: dict[str, tuple[str, ...]] | None = None,
    over: inspection.Over = "inputs",
    sites: tuple[str, ...] = ("words", "mentions"),
    spread: float = 1.0,
) -> dict[str, Any]:
    """JSON of an inspection with drawn weights."""
    draws = np.random.default_rng(1)
    predicted = predicted or one
    memories = memories or {"entity": ("Chemical", "Disease"), "relation": ("CID",)}
    mentions = tuple(sorted(predicted.mentions()))

    def of(n_inputs: int) -> dict[str, inspection.Attention]:
        return {
            memory: attended(2 ** draws.normal(0, spread, (n_inputs, len(slots))), slots)
            for memory, slots in memories.items()
        }

    return inspection.Inspection(
        document=one,
        predicted=predicted,
        read="slot_wise" if over == "slots" else "inverse",
        over=over,
        words=of(one.n_words) if "words" in sites else {},
        mentions=mentions,
        of_mentions=of(len(mentions)) if "mentions" in sites else {},
        names={"CID": "chemical-induced disease"},
    ).to_json()


MANY = {"entity": tuple("ABCDEF"), "relation": TYPES}
SAMPLES = {
    "short": looked_at(document(1)),
    "long": looked_at(document(40, related=(3, 30, 31))),
    "long_sentence": looked_at(document(1, WORDS * 20)),
    "ninety_six": looked_at(document(12), memories=MANY),
    "slots": looked_at(document(3), memories=MANY, over="slots", spread=3.0),
    "hops": looked_at(document(8), memories={f"hop {n}": tuple(f"slot {k}" for k in range(64)) for n in (1, 2, 3)}),
    "only_words": looked_at(document(2), sites=("words",)),
    "only_mentions": looked_at(document(9), sites=("mentions",)),
    "nothing_found": looked_at(document(2), Document("x", document(2).sentences)),
    "no_preference": looked_at(document(2), spread=0.0),
}


def drawn(given: dict[str, Any]) -> Figure:
    with style():
        figure = draw(AttentionMap.of(given))
        figure.canvas.draw()
    return figure


def texts(figure: Figure) -> list[str]:
    (axes,) = figure.axes
    return [text.get_text() for text in axes.texts]


def greys(axes: Axes, row: str) -> list[float]:
    """Of the cells beside a label, from the left; the first time that it stands there."""
    label = next(text for text in axes.texts if text.get_text() == row)
    cells = [
        patch
        for patch in axes.patches
        if isinstance(patch, Rectangle) and abs(patch.get_y() + patch.get_height() / 2 - label.get_position()[1]) < 1e-6
    ]
    return [to_rgb(cell.get_facecolor())[0] for cell in sorted(cells, key=lambda cell: cell.get_x())]


@pytest.mark.parametrize("name", SAMPLES)
def test_all_text_can_be_read_and_a_figure_fits_on_a_page(name: str):
    figure = drawn(SAMPLES[name])
    with style():
        assert faults(figure) == [] and is_grey(figure)
    width, height = figure.get_size_inches()
    assert width == PAGE and height <= TALLEST
    (axes,) = figure.axes
    assert all(patch.get_x() + patch.get_width() <= PAGE for patch in axes.patches if isinstance(patch, Rectangle))


def test_the_more_attention_a_cell_has_the_darker_it_is_on_a_scale_of_powers_of_two():
    given = looked_at(document(1), sites=("words",), memories={"entity": ("Chemical", "Disease")})
    powers = np.array([-2, -1, 0, 1, 2, 0, 0, 0, 0])
    uniform = np.array(given["words"]["entity"]["uniform"])
    given["words"]["entity"]["weight"] = (np.stack([2.0**powers, np.ones(9)], axis=1) * uniform[:, None]).tolist()
    figure = drawn(given)
    (axes,) = figure.axes
    assert np.argsort(greys(axes, "Chemical")[:5]).tolist() == [4, 3, 2, 1, 0]
    assert greys(axes, "Chemical")[0] == 1.0 and greys(axes, "Chemical")[4] == pytest.approx(0.05)
    assert len(set(greys(axes, "Disease"))) == 1 and greys(axes, "Disease")[0] == greys(axes, "Chemical")[5]
    # the mean over the slots is what scales an input of an inverse read: (4 + 1) / 2 is between 2 and 4
    mean = greys(axes, "mean of 2 entity types")
    assert greys(axes, "Chemical")[4] < mean[4] < greys(axes, "Chemical")[3]
    scale = [text for text in texts(figure) if text in ("1/4", "1/2", "1", "2", "4")]
    assert scale == ["1/4", "1/2", "1", "2", "4"]


def test_without_a_preference_all_cells_are_alike_however_small_the_weights_are():
    for name in ("long", "short"):
        given = looked_at(document(40 if name == "long" else 1), spread=0.0)
        (axes,) = drawn(given).axes
        assert len(set(greys(axes, "Chemical"))) == 1
        assert greys(axes, "Chemical")[0] == greys(drawn(SAMPLES["no_preference"]).axes[0], "Chemical")[0]


def test_of_a_long_document_the_sentences_with_relations_are_shown():
    shown = texts(drawn(SAMPLES["long"]))
    told = " ".join(text for text in shown if text.startswith("sentence"))
    assert "document a document / of some name, " in shown[0] and " of 40 sentences; inverse read" in shown[0]
    numbers = {
        int(part)
        for part in told.replace("sentences", "").replace("sentence", "").replace(",", " ").replace("–", " ").split()
    }
    assert {4, 31, 32} <= numbers
    assert "6 sentences" in texts(drawn(looked_at(document(6))))[0]


def test_types_of_the_document_are_shown_before_those_that_are_attended_to_most():
    figure = drawn(SAMPLES["ninety_six"])
    labels = texts(figure)
    relations = [label for label in labels if label.startswith("relation type")]
    n_blocks = sum(label.startswith("sentence") for label in labels) + 1  # and the mentions
    assert len(relations) == attention.SLOTS * n_blocks
    assert any(f"{attention.SLOTS} of 96 slots (relation)" in " ".join(label.split()) for label in labels)
    one = document(2)
    with_type = Document(one.id, one.sentences, one.entities, (Relation(0, 1, "gold type"),))
    given = looked_at(with_type, memories={"relation": (*TYPES[:40], "gold type")})
    for site in ("words", "of_mentions"):
        weights = np.array(given[site]["relation"]["weight"])
        weights[:, 40] = 1e-9
        given[site]["relation"]["weight"] = weights.tolist()
    assert "gold type" in texts(drawn(given))


def test_mentions_have_their_types_and_a_dot_in_the_row_of_it():
    figure = drawn(SAMPLES["short"])
    (axes,) = figure.axes
    assert "2,4-dinitrophenol · Chemical" in texts(figure)
    rows = {}
    for name in ("Chemical", "Disease"):
        rows[name] = [text.get_position()[1] for text in axes.texts if text.get_text() == name][-1]
    dots = sorted((float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in axes.lines)
    assert [y for _, y in dots] == pytest.approx([rows["Disease"], rows["Chemical"]])


def test_gold_and_found_mentions_and_relations_are_told_apart():
    one = document(2)
    found = Document(one.id, one.sentences, one.entities[:3], (Relation(1, 0, "CID"), Relation(2, 0, "CID")))
    given = looked_at(Document(one.id, one.sentences, one.entities, (*one.relations, Relation(3, 2, "CID"))), found)
    figure = drawn(given)
    told = [" ".join(text.split()) for text in texts(figure)]
    assert any(text.startswith("relations in gold that were found: 2,4-dinitrophenol → Pneu") for text in told)
    assert any(text.startswith("in gold, not found: 2,4-dinitrophenol → Pneu") for text in told)
    assert any(text.startswith("found, not in gold: Pneumono") and text.endswith("disease (CID)") for text in told)
    (axes,) = figure.axes
    assert len(greys(axes, "gold mentions")) == 4 and len(greys(axes, "found mentions")) == 3


def test_what_is_left_out_is_told():
    assert any("mentions are not shown" in " ".join(text.split()) for text in texts(drawn(SAMPLES["long"])))
    assert not any("not shown" in text for text in texts(drawn(SAMPLES["short"])))


def test_files_are_the_same_bytes_and_say_where_they_are_from():
    given = AttentionMap.of(SAMPLES["short"])
    made, again = (files(given, "name", "orchestrate: trial 00") for _ in range(2))
    assert made == again and set(made) == {"name.pdf", "name.png"}
    assert all(b"orchestrate: trial 00" in content for content in made.values())


def test_what_is_no_inspection_is_refused():
    with pytest.raises(ValueError, match="predicted"):
        AttentionMap.of({name: value for name, value in SAMPLES["short"].items() if name != "predicted"})
    with pytest.raises(ValueError, match="heads"):
        AttentionMap.of({**SAMPLES["short"], "heads": 3})
