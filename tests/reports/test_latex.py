"""LaTeX that compiles: read by a strict tokeniser here, and by pdflatex where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reports import by_type, differences, latex, macros, sub_tasks
from reports.comparison import table
from reports.latex import escape
from reports.records import StudyResults
from reports.table import Table
from tests.reports import samples
from tests.reports.figured import counted

SAMPLES = {
    "comparison": samples.comparison(),
    "sweep": samples.sweep((None, 32, 128), samples.SLOT, names={None: "encoder width"}),
    "by_dataset": samples.by_dataset(),
    "hostile": samples.hostile(),
    "one_seed": samples.study({"a": [40.0], "b": [41.0]}, seeds=(1,)),
    "narrow": samples.sweep((0.0, 0.4), x_label="proportion", metrics=(samples.MAIN,)),
    "nothing_yet": samples.study({"a": [], "b": ["failed"]}),
    "foreign": samples.foreign(),
    "foreign_sweep": samples.foreign_sweep(),
    "counted": samples.counted(n_types=30),
}


def tables(results: StudyResults) -> dict[str, Table]:
    made = {"main": table(results), "differences": differences.table(results)}
    made |= {"sub_tasks": sub_tasks.table(results), "types": by_type.table(results)}
    return {name: one for name, one in made.items() if one is not None}


COMMANDS = set(
    """begin end centering small footnotesize setlength tabcolsep belowcaptionskip caption label toprule
    midrule bottomrule cmidrule multicolumn textit textbf mathbf pm rlap dagger Delta smallskip
    parbox linewidth raggedright textwidth allowbreak mbox textbackslash textasciitilde
    textasciicircum alpha beta varepsilon o ss to leq i cdot
    sbox ifdim wd resizebox usebox else fi""".split()
)


def tokens(text: str) -> list[str]:
    """Control words, control symbols and characters, without comments."""
    return re.findall(r"\\[A-Za-z]+|\\.|\\\n|[^\\]", re.sub(r"(?<!\\)%.*", "", text), flags=re.DOTALL)


def check(text: str) -> None:
    """Braces, environments and mathematics are balanced, commands are known, rows have one width."""
    assert text.isascii()
    depth, mathematics = 0, False
    for token in tokens(text):
        depth += (token == "{") - (token == "}")
        assert depth >= 0
        mathematics ^= token == "$"
        assert not (token in "^_" and len(token) == 1 and not mathematics), f"{token} outside of mathematics"
        assert token not in ("#", "~"), token
        if re.fullmatch(r"\\[A-Za-z]+", token):
            assert token[1:] in COMMANDS, token
    assert depth == 0 and not mathematics

    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened

    columns = re.search(r"\\begin\{tabular\}\{@\{\}(?:l|p\{[^}]*\})([lr]*)@\{\}\}", text)
    assert columns is not None
    body = text[columns.end() : text.index(r"\end{tabular}")]
    rows = re.split(r"(?<!\\)\\\\(?=\n)", body)[:-1]
    assert len(rows) >= 2
    for row in rows:
        width = sum(int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", row)) - row.count(r"\multicolumn")
        assert tokens(row).count("&") + 1 + width == len(columns[1]) + 1, row


@pytest.mark.parametrize("name", SAMPLES)
def test_every_table_is_well_formed(name: str):
    made = tables(SAMPLES[name])
    for one in made.values():
        check(latex.render(one))
    assert (len(made) == 4) == (name == "counted")


def test_the_checks_see_what_is_wrong():
    good = latex.render(table(SAMPLES["comparison"]))
    cell = "& 5 &"
    assert cell in good
    for old, new in (
        (cell, "& 5"),
        (cell, "& 5% &"),
        (cell, "& 5_1 &"),
        (cell, r"& \unknown &"),
        (cell, "& {5 &"),
        (cell, "& $5 &"),
        (r"\end{tabular}", r"\end{table}"),
    ):
        with pytest.raises((AssertionError, ValueError)):
            check(good.replace(old, new, 1))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on PATH")
def test_all_tables_compile_with_what_they_say_they_need_and_none_is_wider_than_the_page(tmp_path: Path):
    document = [r"\documentclass[twocolumn,10pt]{article}", r"\usepackage[margin=0.75in]{geometry}"]
    document += [r"\usepackage{booktabs,graphicx}", r"\begin{document}"]
    labels = [f"a variant with a name that goes on and on, number {n}, \u4e2d\u6587" for n in range(40)]
    forty = counted([n / 40 for n in range(40)], [f"P{n}" for n in range(9)], labels=labels)
    for name, results in {**SAMPLES, "forty": forty}.items():
        for kind, one in tables(results).items():
            needs = [line for line in latex.render(one).splitlines() if line.startswith("% needs: ")]
            assert needs in (["% needs: \\usepackage{booktabs}"], ["% needs: \\usepackage{booktabs,graphicx}"])
            assert ("graphicx" in needs[0]) == ("resizebox" in latex.render(one))
            label = rf"\label{{tab:{name}-{kind}}}"
            text = re.sub(r"\\label\{[^}]*\}", lambda _, label=label: label, latex.render(one))
            (tmp_path / f"{name}-{kind}.tex").write_text(text)
            document.append(rf"\input{{{name}-{kind}.tex}}\clearpage")
    (tmp_path / "all.tex").write_text("\n".join([*document, r"text\end{document}"]))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert "undefined" not in done.stdout


def test_what_latex_takes_for_its_own_is_escaped():
    assert escape("50% of_a & #1 {x} $y$ ~ ^ \\") == (
        r"50\% of\_a \& \#1 \{x\} \$y\$ \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )
    assert escape("a\nb") == "a b"


def test_letters_are_printed_or_shown_by_their_code():
    assert escape("β ± Δ é ś ï ß") == r"$\beta$ $\pm$ $\Delta$ \'{e} \'{s} \"{\i} \ss{}"
    assert escape("中") == "[U+4E2D]"


def test_two_hyphens_do_not_become_a_dash():
    assert escape("--flag a-b ---") == "-{}-flag a-b -{}-{}-"


def test_the_best_is_bold_with_its_ties_and_the_incomplete_carries_a_dagger():
    text = latex.render(table(samples.comparison()))
    assert text.count(r"& $\mathbf{43.00} \pm 1.58$ &") == 1
    assert text.count(r"& $\mathbf{43.00} \pm 0.00$ &") == 1
    assert r"$60.50 \pm 0.71$\rlap{$^{\dagger}$}" in text
    assert r"$^{\dagger}$ Fewer seeds than declared" in text


def test_of_one_finished_seed_the_deviation_is_shown_as_undefined():
    text = latex.render(table(samples.study({"a": [40.0, "failed"], "b": [41.0, 42.0]}, seeds=(1, 2))))
    assert r"$40.00 \pm \mbox{--}$" in text
    assert "of one seed no standard deviation is defined" in text


def test_a_difference_has_its_sign_and_nothing_has_none():
    results = samples.study({"a": [40.0, 40.0], "b": [39.0, 39.0], "c": [39.999, 40.0]}, seeds=(1, 2))
    text = latex.render(table(results))
    assert "$-1.00$" in text and "& $0.00$ &" in text


def test_a_reduced_budget_stands_in_the_caption_itself():
    text = latex.render(table(samples.hostile()))
    caption = next(line for line in text.splitlines() if line.startswith(r"\caption"))
    assert r"\textbf{Reduced budget ``cpu'': 3 epochs \& 100\% of\_nothing. Not the whole protocol" in caption


def test_the_comment_on_top_tells_the_origin_and_cannot_be_left():
    results = samples.study({"a": [40.0]}, seeds=(1,))
    results.provenance["command"] = "orchestrate run\n\\input{x}"
    head = latex.render(table(results)).split(r"\begin{table")[0].splitlines()
    assert all(line.startswith("% ") for line in head)
    assert "% command: orchestrate run \\input{x}" in head
    assert "% trials of a: 1=a-1 finished" in head


def test_numbers_of_another_trainable_have_four_digits_and_their_column_room_for_them():
    text = latex.render(table(samples.foreign()))
    assert r"& Accuracy (\%) & $\Delta$ & Best on dev & test $\cdot$ seconds & dev $\cdot$ f1\_macro \\" in text
    assert r"width 128 & 2 & $\mathbf{85.50} \pm 0.71$ & $+4.00$ &" in text
    assert r"& $1800 \pm 0$ & $\mathbf{0.8014} \pm 0.0000$ \\" in text


def test_a_narrow_table_takes_one_column_and_a_wide_one_both():
    assert r"\begin{table*}" in latex.render(table(samples.comparison()))
    assert r"\begin{table}" in latex.render(table(SAMPLES["narrow"]))


def test_a_star_and_a_dagger_take_no_width_and_a_caption_says_what_the_star_is():
    text = latex.render(table(samples.counted()))
    assert r"\rlap{$^{*}$}" in text
    said = r"*: differs from the baseline (paired bootstrap over 40 documents and 4 seeds, 10,000 resamples; "
    assert said in text


@pytest.mark.parametrize("name", SAMPLES)
def test_every_number_has_a_command_of_its_own(name: str):
    text = macros.render(SAMPLES[name])
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    named = [re.fullmatch(r"\\newcommand\{\\([A-Za-z]+)\}\{(.*?)\}% .*", line) for line in lines]
    assert all(named), [line for line, found in zip(lines, named, strict=True) if not found]
    names = [found[1] for found in named if found]
    assert len(set(names)) == len(names) and text.isascii() == all(line.isascii() for line in text.splitlines())


def test_commands_are_named_by_study_variant_metric_and_what_it_is_of_it():
    text = macros.render(samples.counted())
    results = samples.counted()
    mean = sum(trial.metrics[samples.MAIN] for trial in results.finished("gains 0.2")) / 4
    assert rf"\newcommand{{\SampleGainsZeroPointTwoTestRelationStrictFOneMean}}{{{mean:.2f}}}%" in text
    assert r"\newcommand{\SampleGainsZeroPointTwoTestRelationStrictFOneP}{\ensuremath{<0.001}}%" in text
    assert r"\newcommand{\SampleGainsZeroPointTwoTestRelationStrictFOneVerdict}{better}%" in text


def test_numbers_of_all_tables_have_their_commands():
    results = samples.counted()
    one = results.comparisons["gains 0.2", samples.MAIN]
    text = macros.render(results)
    start = r"\newcommand{\SampleGainsZeroPointTwo"
    for what, value in (("Delta", one.difference), ("DeltaLow", one.low), ("DeltaHigh", one.high)):
        assert rf"{start}TestRelationStrictFOne{what}}}{{\ensuremath{{{value:+.2f}}}}}%" in text
    recall = sum(trial.metrics["test/mention_recall"] for trial in results.finished("gains 0.2")) / 4
    assert rf"{start}TestMentionRecallMean}}{{{recall:.2f}}}%" in text
    made = by_type.table(results)
    assert made is not None
    row = made.sections[0].rows[0]
    assert f"{start}Type{row.label[0]}Zero" in text and f"{{{row.cells[-1].mean:.2f}}}%" in text
    assert r"{\SampleSeqTwoRel" in macros.render(samples.by_dataset()) and "Published}{42.04}%" in macros.render(
        samples.by_dataset()
    )


def commands(results: StudyResults) -> dict[str, str]:
    """What a command stands for → its name."""
    found = re.findall(r"\\newcommand\{\\([A-Za-z]+)\}\{.*\}% (.*)", macros.render(results))
    return {told: name for name, told in found}


def test_a_sign_is_part_of_a_name_and_a_hyphen_is_not():
    assert macros.camel("x=-0.5") == "XIsMinusZeroPointFive" and macros.camel("lr=1e-05") == "LrIsOneEMinusZeroFive"
    assert macros.camel("slot-wise") == "SlotWise" and macros.camel("2-3") == "TwoThree"


def test_a_command_never_passes_to_another_number_when_a_study_grows():
    values = [chr(0x4E00 + n) for n in range(30)]
    all_of_them = samples.study({name: [40.0 + n] for n, name in enumerate(values)}, seeds=(1,))
    fewer = samples.study({name: [40.0 + n] for n, name in reversed([*enumerate(values)][5:])}, seeds=(1,))
    names, before = commands(all_of_them), commands(fewer)
    assert len(set(names.values())) == len(names)
    means = {told: name for told, name in before.items() if told.endswith(", Mean")}
    assert len(means) >= 25 and all(names[told] == name for told, name in means.items())


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on PATH")
def test_commands_of_all_studies_compile_and_print_their_numbers(tmp_path: Path):
    document = [r"\documentclass{article}", r"\begin{document}"]
    for n, results in enumerate(SAMPLES.values()):
        text = macros.render(results).replace(r"\newcommand{" + "\\", r"\newcommand{" + f"\\Of{chr(65 + n)}")
        (tmp_path / f"numbers{n}.tex").write_text(text, encoding="utf-8")
        document.append(rf"\input{{numbers{n}}}")
        document += [rf"{found}{{}} " for found in re.findall(r"newcommand\{(\\[A-Za-z]+)\}", text)]
    (tmp_path / "all.tex").write_text("\n".join([*document, r"\end{document}"]))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
