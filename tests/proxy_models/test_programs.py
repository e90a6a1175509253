"""Refining programs: what is read, what is run, and what the safety rules forbid."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gristmill.proxy_models.rewriting.programs import (
    DropDoc,
    Normalize,
    Program,
    RemoveLines,
    difference,
    execute,
    join,
    parse,
)

PROSE = "one two three four five six seven eight nine ten eleven twelve"


@pytest.mark.parametrize(
    ("text", "operations"),
    [
        ("keep_doc()", ()),
        ("drop_doc()", (DropDoc(),)),
        ("keep_chunk()\n", ()),
        ("remove_lines(line_start=0, line_end=3)", (RemoveLines(0, 3),)),
        ("remove_lines(line_start=007, line_end=[012])", (RemoveLines(7, 12),)),
        ("remove_lines(2, 4); remove_lines(9)", (RemoveLines(2, 4), RemoveLines(9, 9))),
        ("remove_lines(all=True)", (RemoveLines(0, None),)),
        ('normalize(source_str="a, b", target_str="c=d")', (Normalize("a, b", "c=d"),)),
        ('normalize(source_str="f(x), (y)", target_str="")', (Normalize("f(x), (y)", ""),)),
        ('normalize("gone")', (Normalize("gone", ""),)),
        ("normalize(source_str='it\\'s', target_str='\"')", (Normalize("it's", '"'),)),
        (r'normalize("\\d+\u00e9\x41", "\t")', (Normalize("\\d+éA", "\t"),)),
        ('normalize(source_str=" ", target_str="x")', ()),
        ('normalize(source_str="", target_str="x")', ()),
        ("```python\nremove_lines(1, 1)  # menu\n```", (RemoveLines(1, 1),)),
        ("summarise(text)\n", None),
        ("summarise(level=3)\nremove_lines(1,2)", (RemoveLines(1, 2),)),
        (
            'normalize(source_str="x) remove_lines(line_start=0, line_end=99", target_str="")',
            (Normalize("x) remove_lines(line_start=0, line_end=99", ""),),
        ),
    ],
)
def test_programs_are_read(text, operations):
    program = parse(text)
    if operations is None:
        assert len(program.errors) == 1
    else:
        assert (program.operations, program.errors) == (operations, ())


@pytest.mark.parametrize(
    "text",
    [
        "remove_lines(line_start=5, line_end=2)",
        "remove_lines(line_start=-1, line_end=2)",
        "remove_lines()",
        "remove_lines(line_start=True, line_end=2)",
        "remove_lines(line_start=1.5, line_end=2)",
        'normalize(source_str="open, target_str="")',
        'normalize(source_str="a\\nb", target_str="")',
        'normalize(source_str="a", target_str="\\ud800")',
        "normalize(source_str=3, target_str=4)",
        "remove_lines(1, 2",
        "drop_doc",
        "Sure! Here is the program.",
    ],
)
def test_what_cannot_be_read_is_one_error_and_reading_goes_on(text):
    program = parse(text + "\nremove_lines(1, 1)")
    assert len(program.errors) == 1
    assert program.operations[-1:] == (RemoveLines(1, 1),)


@given(st.text(max_size=200))
@example("#")
@example(";")
def test_any_text_is_operations_or_errors_but_for_space_and_comments(text):
    program = parse(text)
    assert program.operations or program.errors or not re.sub(r"#[^\n]*|```\w*|[\s;]", "", text)


operations = st.one_of(
    st.builds(lambda a, b: RemoveLines(a, a + b), st.integers(0, 12), st.integers(0, 4)),
    st.builds(
        Normalize,
        st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1, max_size=4).filter(
            lambda s: s.strip(" ")
        ),
        st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=4),
    ),
    st.just(DropDoc()),
)


@given(st.lists(operations, max_size=6))
def test_a_program_reads_back_as_it_was_written(written):
    program = Program(tuple(written))
    assert parse(str(program)) == program


@given(st.lists(st.builds(lambda a, b: RemoveLines(a, a + b), st.integers(0, 9), st.integers(0, 3)), max_size=4))
def test_the_recorded_spans_are_what_was_cut(removals):
    text = "\n".join(f"{i} {PROSE}" for i in range(10))
    outcome = execute(text, Program(tuple(removals)))
    rest, at = [], 0
    for start, end, _ in outcome.removed:
        assert at <= start < end
        rest.append(text[at:start])
        at = end
    if outcome.kept:
        assert "".join([*rest, text[at:]]) == outcome.text


documents = st.lists(st.text("ab xyz.", max_size=30), min_size=1, max_size=15).map("\n".join)


@given(documents, st.lists(operations, max_size=5), st.lists(st.just("error"), max_size=3))
def test_nothing_is_invented_and_the_safety_ratio_holds(text, written, errors):
    program = Program(tuple(written), tuple(errors))
    outcome = execute(text, program)
    if not outcome.kept:
        assert outcome.rule in ("drop_doc", "least_kept", "least_words")
        return
    words, kept = len(text.split()), len(outcome.text.split())
    if outcome.text != text:
        assert kept > 10
        assert kept > 0.05 * words
        assert len(outcome.errors) < 2
    targets = [operation.target for operation in written if isinstance(operation, Normalize)]
    if not targets:
        lines = iter(text.split("\n"))
        assert all(any(line == before for before in lines) for line in outcome.text.split("\n")) or outcome.text == text
    assert set(outcome.text) <= set(text) | set("".join(targets))


def test_line_numbers_mean_the_lines_that_the_model_saw():
    text = f"menu\n{PROSE}\nfooter menu\n{PROSE}"
    outcome = execute(text, parse('normalize("menu", "")\nremove_lines(2, 2)'))
    assert outcome.text == f"\n{PROSE}\n{PROSE}"
    assert outcome.removed == ((0, 4, "normalize"), (68, 80, "remove_lines"))


def test_a_removed_tail_leaves_no_line_feed():
    text = f"{PROSE}\nshare\nlike"
    outcome = execute(text, parse("remove_lines(1, 2)"))
    assert (outcome.text, outcome.removed) == (PROSE, ((len(PROSE), len(text), "remove_lines"),))


@pytest.mark.parametrize(
    ("keep", "of", "errors", "kept", "rule"),
    [
        (11, 100, 0, True, None),
        (10, 100, 0, False, "least_words"),
        (20, 400, 0, False, "least_kept"),
        (21, 400, 0, True, None),
        (20, 400, 1, False, "least_kept"),
        (20, 400, 2, True, None),
        (10, 100, 2, False, "least_words"),
    ],
)
def test_the_published_safety_rules(keep, of, errors, kept, rule):
    text = "\n".join([" ".join(["word"] * keep), " ".join(["menu"] * (of - keep))])
    outcome = execute(text, Program((RemoveLines(1, 1),), ("error",) * errors))
    assert (outcome.kept, outcome.rule) == (kept, rule)
    if kept:
        assert (outcome.text == text) is (errors == 2)


def test_a_range_beyond_the_last_line_is_an_error_and_one_across_it_is_cut():
    text = f"{PROSE}\n{PROSE}\nmenu"
    assert execute(text, parse("remove_lines(2, 90)")).text == f"{PROSE}\n{PROSE}"
    assert len(execute(text, parse("remove_lines(7, 8)")).errors) == 1


def test_an_empty_document_stays_as_it_is():
    assert execute("", parse("keep_doc()")).kept


def test_chunks_join_into_one_program_with_the_errors_of_all():
    program = join([parse("remove_lines(0, 1)"), parse("nonsense here"), parse("drop_doc()")])
    assert (len(program.operations), len(program.errors)) == (2, 1)


def test_the_difference_shows_the_lines_that_go():
    text = f"menu\n{PROSE}"
    shown = difference(text, execute(text, parse("remove_lines(0, 0)")))
    assert "-menu" in shown.split("\n")
    assert f"-{PROSE}" not in shown.split("\n")
