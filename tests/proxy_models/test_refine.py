"""Refining documents: by rules, by a trained line model, by a language model; and the stage around them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.fate import read_kept
from gristmill.corpus.store.shards import read_batches
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.engine.stage import run_stage
from gristmill.pipelines.stages.refine.stage import REFINE, RefineSettings, learn, preview
from gristmill.proxy_models.engines.cache import Reply
from gristmill.proxy_models.rewriting.programs import DropDoc, Normalize, Program, RemoveLines, execute
from gristmill.proxy_models.rewriting.refine import head, program_of, refine_requests, windows
from gristmill.proxy_models.rewriting.refine_model import load_line_model, save_line_model, train_line_model
from gristmill.proxy_models.rewriting.refine_rules import refine_program

SENTENCES = [
    "The mill stood at the bend of the river for three hundred years before anybody thought of moving it elsewhere.",
    "Its stones were cut in the quarry behind the chapel, and every farmer of the valley had paid for a part of them.",
    "When the water was low in August the miller slept, and when it rose in autumn nobody in the house slept at all.",
    "A visitor from the city once asked why the wheel turned so slowly, and was told that the grain was in no hurry.",
]
MENU = ["Home", "World", "Business", "Sport", "Opinion", "Travel", "Weather", "Video"]
PAGE = "\n".join([*MENU, "", *SENTENCES, "", "Share on Facebook", "© 2021 The Valley Post. All rights reserved."])
ARTICLE = "\n".join(SENTENCES)


def refined(text):
    return execute(text, refine_program(text)).text.strip()


def test_a_page_loses_its_menu_and_its_notices_and_keeps_its_prose():
    assert refined(PAGE) == ARTICLE


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("We use cookies to improve your experience.", "cookie_notice"),
        ("By continuing to browse you agree to our use of cookies", "cookie_notice"),
        ("Sign in", "sign_in"),
        ("Subscribe to our newsletter", "sign_in"),
        ("Facebook", "share"),
        ("  • Share this article", "share"),
        ("12 shares", "share"),
        ("Copyright © 2019 Somebody", "copyright"),
        ("Skip to main content", "navigation"),
        ("« Previous", "navigation"),
        ("Privacy Policy", "terms"),
        ("Read our privacy policy here", "terms"),
        ("You may also like", "related"),
        ("Most read", "related"),
        ("Advertisement", "advertisement"),
        ("Leave a comment", "comments"),
    ],
)
def test_lines_that_only_furniture_says_go_with_the_name_of_their_rule(line, rule):
    program = refine_program(f"{ARTICLE}\n{line}")
    assert [(op.start, op.end, op.rule) for op in program.operations] == [(4, 4, rule)]


@pytest.mark.parametrize(
    "line",
    [
        "He said that the cookies had been baked on Tuesday, and that the newsletter told of it at some length, too.",
        "Share prices fell in the afternoon after the company had told its investors of the privacy case in Berlin.",
        "Homecoming was the word they used.",
        "Next morning the rain had stopped and the wheel turned again as though nothing had ever happened to it.",
        "Copyright law was not taught at the village school.",
    ],
)
def test_prose_that_uses_the_same_words_stays(line):
    assert refine_program(f"{ARTICLE}\n{line}").operations == ()


def test_text_wrapped_by_hand_keeps_every_line():
    import textwrap

    text = (
        "\n".join(textwrap.wrap(" ".join(SENTENCES * 3), 60)) + "\n\n" + "\n".join(f"short item {i}" for i in range(9))
    )
    assert refine_program(text).operations == ()


def test_code_keeps_every_line():
    code = "\n".join(
        ["import sys", "def main(argument):", "    share = 1", "    return share", "x = main(2)", "print(x)"] * 5
    )
    assert refine_program(f"{ARTICLE}\n{code}").operations == ()


def test_verse_without_prose_keeps_its_short_lines():
    verse = "\n".join(["The wheel goes round", "the river runs", "and so do I", "until it ends"] * 6)
    assert refine_program(verse).operations == ()


def test_double_encoded_characters_are_repaired_and_nothing_else_changes():
    broken = ARTICLE.replace("river", "cafÃ© â€œriverâ€\x9d")
    program = refine_program(broken)
    assert all(isinstance(op, Normalize) for op in program.operations)
    assert "café “river" in execute(broken, program).text
    assert refine_program("Ârvíztűrő tükörfúrógép, Âme et Ãngelo").operations == ()


def test_a_line_that_comes_back_is_kept_once():
    header = "Valley Council minutes of March"
    text = "\n".join([header, SENTENCES[0], header, SENTENCES[1], header, SENTENCES[2], header, SENTENCES[3]])
    assert refined(text) == "\n".join([header, *SENTENCES])


@given(st.text(max_size=300))
def test_the_rules_take_any_text_and_invent_nothing(text):
    program = refine_program(text)
    outcome = execute(text, program)
    targets = "".join(op.target for op in program.operations if isinstance(op, Normalize))
    assert not outcome.errors
    assert set(outcome.text) <= set(text) | set(targets)


@given(st.text(alphabet="ab \n", max_size=400), st.integers(20, 200))
def test_windows_number_every_line_once_and_in_order(text, limit):
    made = windows(text, len, limit)
    lines = [line for window in made for line in window.text.split("\n")]
    assert lines == [f"[{at:03d}] {line}" for at, line in enumerate(text.split("\n"))]
    assert all(len(window.text) < limit or "\n" not in window.text for window in made)


@given(st.text(max_size=200), st.integers(1, 50))
def test_the_head_of_a_document_fits_its_budget(text, limit):
    assert len(head(text, len, limit)) <= limit
    assert text.startswith(head(text, len, limit))


def test_an_engine_is_asked_about_the_document_and_then_about_its_lines():
    whole, window = refine_requests(PAGE, len, "instruct", 10_000)
    assert whole.document.startswith("Home\nWorld")
    assert window.document.startswith("[000] Home\n[001] World")
    _, window = refine_requests(PAGE, len, "prox", 10_000)
    assert window.user.startswith("[doc]\n[000] Home")
    assert window.user.endswith("\n[/doc]")


def test_replies_become_one_program():
    said = [Reply("keep_doc()"), Reply("remove_lines(0, 1)"), Reply("drop_doc()\nremove_lines(5, 5)")]
    program = program_of(said)
    assert program.operations == (RemoveLines(0, 1), RemoveLines(5, 5))
    assert len(program.errors) == 1
    assert program_of([Reply("drop_doc()"), Reply("keep_chunk()")]).operations == (DropDoc(),)
    failed = program_of([Reply("drop_doc()"), Reply("", "error", error="HTTP 500")])
    assert (failed.operations, len(failed.errors)) == ((), 1)


def pages(count):
    """Pages whose furniture is other words than the rules know."""
    return [
        f"kringel {i}\nzapfel knopf\n" + ARTICLE.replace("miller", f"miller{i}") + "\nkringel zapfel"
        for i in range(count)
    ]


def test_a_line_model_learns_what_programs_removed_and_survives_storage(tmp_path):
    texts = pages(20)
    program = Program((RemoveLines(0, 1), RemoveLines(6, 6)))
    model = train_line_model([(text, program) for text in texts[:15]])
    save_line_model(model, str(tmp_path / "model.npz"))
    loaded = load_line_model(str(tmp_path / "model.npz"))
    for text in texts[15:]:
        assert [(op.start, op.end) for op in loaded.program(text).operations] == [(0, 1), (6, 6)]
    with pytest.raises(RequestError, match="not a line model"):
        load_line_model(__file__)
    with pytest.raises(RequestError, match="nothing to tell apart"):
        train_line_model([(texts[0], Program())])


# ---- the stage ----


def run(workspace, settings=None, force=False, options=None):
    return run_stage(REFINE, workspace, settings or RefineSettings(), options or RunnerOptions(), force, quiet=True)


def ids(*numbers):
    return [f"{number:032x}" for number in numbers]


@pytest.fixture
def workspace(make_documents):
    first, second, third, fourth = ids(1, 2, 3, 4)
    empty = "\n".join(["Share on Facebook"] * 30 + ["few words here"])
    return make_documents(
        {"a.parquet": [(first, PAGE), (second, ARTICLE)], "b.parquet": [(third, empty), (fourth, "")]}
    )


def rows(workspace, table):
    return sorted(
        (row for batch in workspace.table(table).read() for row in batch.to_pylist()), key=lambda row: row["id"]
    )


def test_the_stage_decides_every_document_and_edits_some(workspace):
    summary = run(workspace)
    counts = summary["tables"]["decisions/refine"]
    assert (counts["in"], counts["kept"], counts["dropped"], counts["edited"]) == (4, 3, 1, 1)
    decided = rows(workspace, "decisions/refine")
    assert [(row["kept"], row["rule"]) for row in decided] == [
        (True, None),
        (True, None),
        (False, "least_kept"),
        (True, None),
    ]
    (edit,) = rows(workspace, "edits/refine")
    assert {part["rule"] for part in edit["removed"]} >= {"menu", "share", "copyright"}
    kept = {
        row["id"]: row["text"].strip()
        for shard in ("a.parquet", "b.parquet")
        for batch in read_kept(workspace, shard, ["id", "text"])
        for row in batch.to_pylist()
    }
    assert kept == {ids(1)[0]: ARTICLE, ids(2)[0]: ARTICLE, ids(4)[0]: ""}
    assert run(workspace)["skipped"]


@pytest.mark.slow
def test_a_lost_shard_is_made_again_with_the_same_bytes_by_any_number_of_workers(workspace):
    run(workspace)
    path = Path(workspace.table("decisions/refine").shard_url("a.parquet"))
    before = path.read_bytes()
    path.unlink()
    run(workspace, options=RunnerOptions(workers=2))
    assert path.read_bytes() == before


def test_a_dry_run_shows_the_difference_and_writes_nothing(workspace):
    shown = dict(preview(workspace, RefineSettings(), 5))
    assert set(shown) == set(ids(1, 3))
    assert "-Share on Facebook" in shown[ids(1)[0]].split("\n")
    assert shown[ids(3)[0]] == "dropped: least_kept"
    assert workspace.table("decisions/refine").manifest() is None


def test_an_engine_writes_the_programs_and_a_failed_request_changes_nothing(workspace, chat_server):
    def say(prompt):
        if "[000]" not in prompt:
            return "keep_doc()"
        return (
            "remove_lines(line_start=0, line_end=8)\nremove_lines(13, 15)" if "[000] Home" in prompt else "keep_chunk()"
        )

    chat_server.say = say
    chat_server.behave = lambda prompt, attempt: 400 if "Share on Facebook\n[001]" in prompt else "ok"
    engine = {"kind": "endpoint", "url": chat_server.url, "model": "m", "retries": 0}
    counts = run(workspace, RefineSettings(by="engine", engine=engine))["tables"]["decisions/refine"]
    assert (counts["in"], counts["kept"], counts["unrefined"], counts["failed_requests"]) == (4, 4, 1, 1)
    assert counts["requests"] == 8
    (edit,) = rows(workspace, "edits/refine")
    assert (edit["id"], edit["text"]) == (ids(1)[0], ARTICLE)
    asked = sum(chat_server.attempts.values())
    run(workspace, RefineSettings(by="engine", engine=engine, window_tokens=1501), force=True)
    assert sum(chat_server.attempts.values()) == asked + 1  # only the failed request is asked again


def test_a_line_model_is_learnt_from_stored_programs(make_documents, tmp_path):
    workspace = make_documents({"a.parquet": [(f"{i:032x}", PAGE.replace("mill", f"mill{i}")) for i in range(8)]})
    run(workspace)
    path = str(tmp_path / "line.npz")
    save_line_model(learn(workspace), path)
    settings = RefineSettings(by="model", line_model=path)
    run(workspace, settings, force=True)
    assert all(
        row["text"].strip() == ARTICLE.replace("mill", f"mill{int(row['id'], 16)}")
        for row in rows(workspace, "edits/refine")
    )
    with pytest.raises(RequestError, match="written by a line model"):
        learn(workspace)


def test_settings_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="--by engine"):
        RefineSettings(by="engine")
    with pytest.raises(ValueError, match="--by model"):
        RefineSettings(line_model="x")


def test_the_tables_hold_one_row_per_document_that_entered(workspace):
    run(workspace)
    for table in ("decisions/refine", "programs"):
        for shard, count in (("a.parquet", 2), ("b.parquet", 2)):
            assert sum(b.num_rows for b in read_batches(workspace.table(table).shard_url(shard))) == count
