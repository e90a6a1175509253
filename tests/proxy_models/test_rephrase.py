"""Rephrasing: chunks, checks, styles; the stage around them, its lineage, and what happens when it is killed."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.readers.inputs import Input
from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.workspace import Workspace
from gristmill.mixing.recipe import RecipePhase, make_recipe
from gristmill.mixing.synthetic import with_synthetic
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.engine.stage import run_stage
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract
from gristmill.pipelines.stages.refine.stage import REFINE, RefineSettings
from gristmill.pipelines.stages.rewrite.stage import RewriteSettings, adopt, drawn, run_rewrite
from gristmill.proxy_models.engines.cache import Reply
from gristmill.proxy_models.rewriting.rephrase import (
    assemble,
    bundled_styles,
    load_styles,
    mix_synthetic,
    rephrase_requests,
    styles_of,
)
from gristmill.proxy_models.rewriting.rephrase_checks import Checks, cleaned, fault, names, novelty, numbers
from gristmill.proxy_models.rewriting.rephrase_chunks import chunks, estimate_tokens, sentences, token_counter

PASSAGE = (
    "In 1897 the engineer Anna Berger built a mill of 14 stones near Salzburg. "
    "It ground 3,500 sacks a year, which was more than any other mill of the valley had ever managed to grind."
)
GOOD = (
    "Near Salzburg stood the mill of the engineer Anna Berger, erected in 1897 with 14 stones. "
    "Every year it turned 3500 sacks into flour, a record for the whole valley."
)


def backwards(passage):
    """A rewriting that every check takes: the same words in another order."""
    return " ".join(reversed(passage.split())).rstrip(".") + "."


# ---- chunks ----


@given(st.text(alphabet='ab .!?\n。"é1', max_size=300), st.integers(1, 40))
def test_chunks_give_the_document_back_and_hold_their_budget(text, limit):
    made = chunks(text, limit)
    assert "".join(made) == text
    assert all(estimate_tokens(chunk) <= limit or len(chunk) == 1 for chunk in made)


@given(st.text(max_size=200))
def test_sentences_give_the_text_back(text):
    assert "".join(sentences(text)) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three?", 3),
        ("Dr. Berger met Mr. Hofer, i.e. the miller. He nodded.", 2),
        ('He said "Never." Then he left.', 2),
        ("It cost 3.50 in all.", 1),
        ("これは文です。次の文です。", 2),
        ("A line\nanother line", 2),
    ],
)
def test_sentences_end_where_they_do(text, count):
    assert len(sentences(text)) == count


def test_a_chunk_ends_at_a_sentence_where_it_can():
    text = "One two three four. Five six seven eight. Nine ten."
    assert chunks(text, 11) == ["One two three four. Five six seven eight. ", "Nine ten."]


@pytest.mark.parametrize("piece", ["a ", " \n\t\n", "|", "- ", "Mr. ", "7", "word, word. ", "\u3002"])
def test_what_is_counted_for_chunks_grows_with_the_text(piece):
    """In characters that are counted, not in seconds: no part is counted again for every part that joins it."""
    read = []
    for size in (4_000, 16_000):
        counted = [0]

        def count(part: str, counted: list[int] = counted) -> int:
            counted[0] += len(part)
            return estimate_tokens(part)

        text = (piece * size)[:size]
        assert "".join(chunks(text, 50, count)) == text
        read.append(counted[0])
    assert read[1] <= 4.2 * read[0]
    assert read[1] <= 8 * 16_000


def test_a_tokenizer_whose_counts_do_not_add_up_is_held_to_the_whole():
    def count(text: str) -> int:
        return len(text) + text.count("ab") * 2  # an `a` before a `b` costs more than both

    made = chunks("xa. b. " * 40, 9, lambda text: count(text.replace(". ", "")))
    assert "".join(made) == "xa. b. " * 40
    assert max(count(part.replace(". ", "")) for part in made) <= 9


def test_a_word_that_is_too_long_is_cut_into_equal_parts():
    made = chunks("7" * 95, 10)
    assert "".join(made) == "7" * 95
    assert {len(part) for part in made} == {9, 10}
    assert len(made) == 10


def test_tokens_are_counted_by_the_tokenizer_that_is_given(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "t.json"))
    assert token_counter(str(tmp_path / "t.json"))("a extraordinarily a") == 3
    with pytest.raises(RequestError, match="absent"):
        token_counter("absent.json")


# ---- checks ----


@pytest.mark.parametrize(
    "text",
    [
        "Here is a paraphrase of the passage:\n\n" + GOOD,
        "Sure! Here's the rewritten text:\n" + GOOD,
        "Certainly.\n" + GOOD,
        "Rewritten passage: " + GOOD,
        "```\n" + GOOD + "\n```",
        f'"{GOOD}"',
        GOOD + "\n\nNote: I have kept all numbers.",
        GOOD + "\n\nLet me know if you want it shorter!",
        GOOD,
    ],
)
def test_announcements_and_afterwords_are_stripped(text):
    assert cleaned(text) == GOOD


@given(st.text(max_size=200))
def test_cleaning_takes_any_text_and_only_cuts(text):
    assert cleaned(text) in text


@pytest.mark.parametrize(
    ("text", "finish", "found"),
    [
        (GOOD, "stop", None),
        ("", "stop", "empty"),
        ("I'm sorry, but I cannot help with that.", "stop", "refusal"),
        ("As an AI language model, I do not rewrite.", "stop", "refusal"),
        (GOOD, "length", "incomplete"),
        (GOOD[:-1], "stop", "incomplete"),
        ("A mill.", "stop", "length"),
        (GOOD * 4, "stop", "length"),
        (PASSAGE, "stop", "novelty"),
        (GOOD.replace("1897", "long ago").replace("3500", "many").replace("14", "some"), "stop", "numbers"),
        (GOOD.replace("sacks", "sacks of 50 kg at 12 or 18 or 20 crowns"), "stop", "invented"),
        (GOOD.replace("Salzburg", "a town").replace("Anna Berger", "somebody"), "stop", "names"),
        (
            "Nahe Salzburg stand die Mühle der Ingenieurin Anna Berger, die sie 1897 mit 14 Steinen gebaut hatte. Sie "
            "mahlte 3500 Säcke im Jahr, und das war mehr als eine andere Mühle des Tals.",
            "stop",
            "language",
        ),
        (
            "Мельница Anna Berger у Salzburg была построена в 1897 году и имела 14 жерновов. Каждый год она молола "
            "3500 мешков зерна, больше других мельниц долины.",
            "stop",
            "language",
        ),
    ],
)
def test_each_fault_is_named(text, finish, found):
    checks = Checks(novelty=0.2, numbers=0.7, invented=0.3, names=0.6)
    told = fault(PASSAGE, text, Reply(text, finish), checks)
    assert (told if found is None else (told or "").split(":")[0]) == found


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("Question: Who built it?\nAnswer: Anna Berger did.\n\nQuestion: When?\nAnswer: In 1897.", True),
        ("Question: Who built it?\nQuestion: When?", False),
        ("The mill was built in 1897 by Anna Berger near Salzburg, and it ground 3500 sacks.", False),
    ],
)
def test_questions_and_answers_must_be_pairs(text, good):
    checks = Checks(length=None, questions=True)
    assert (fault(PASSAGE, text, Reply(text), checks) is None) is good


def test_a_failed_request_is_a_fault():
    assert fault(PASSAGE, "", Reply("", "error", error="HTTP 500"), Checks()) == "request: HTTP 500"


def test_what_the_checks_measure():
    assert numbers("1,200 and 3.50 or 2019, 1.5.") == {"1200", "3.5", "2019", "1.5"}
    assert names("Yesterday the miller John Smith went to Paris by train and then said nothing at all.") == {
        "John",
        "Smith",
        "Paris",
    }
    assert novelty("a b c d e f", "a b c d x y") == pytest.approx(2 / 3)


# ---- styles and assembly ----


def test_styles_of_the_user_add_to_the_bundled_ones_and_misspelt_ones_are_refused(tmp_path):
    file = tmp_path / "styles.yaml"
    file.write_text("ballad: {instruction: Sing it., checks: {length: [0.5, 4]}}")
    assert list(load_styles(["qa", "ballad"], str(file))) == ["ballad", "qa"]
    with pytest.raises(RequestError, match="did you mean medium"):
        load_styles(["mediun"])
    with pytest.raises(RequestError, match="instrction"):
        styles_of("x: {instrction: y}", "mine.yaml")


def test_every_bundled_style_takes_a_faithful_rewriting():
    pairs = "Question: Who built the mill near Salzburg?\nAnswer: Anna Berger, in 1897, with 14 stones and 3500 sacks."
    for name, style in bundled_styles().items():
        text = pairs if name == "qa" else GOOD
        assert fault(PASSAGE, text, Reply(text), style.checks) is None, name


def test_a_chunk_that_fails_falls_back_and_a_document_with_too_many_does_so_whole():
    style = bundled_styles()["medium"]
    requests = rephrase_requests("\n\n".join([PASSAGE] * 4), style, estimate_tokens, 60, 0)
    assert [request.document for request in requests] == [PASSAGE] * 4
    replies = [Reply(GOOD), Reply(PASSAGE), Reply(GOOD), Reply(GOOD)]
    made = assemble(requests, replies, style, 0.25)
    assert made.text == "\n\n".join([GOOD, PASSAGE, GOOD, GOOD])
    assert made.faults == ("novelty: 0.00",)
    fallen = assemble(requests, [*replies[:2], Reply("I can't.", "stop"), replies[3]], style, 0.25)
    assert (fallen.text, fallen.reason, fallen.chunks) == (None, "novelty: 0.00", 4)


def test_seeds_of_chunks_differ_and_repeat():
    style = bundled_styles()["easy"]
    text = PASSAGE + "\n" + GOOD
    first = [r.seed for r in rephrase_requests(text, style, estimate_tokens, 60, 0)]
    assert first == [r.seed for r in rephrase_requests(text, style, estimate_tokens, 60, 0)]
    assert len({*first, *(r.seed for r in rephrase_requests(text, style, estimate_tokens, 60, 1))}) == 4


def test_a_short_document_is_not_asked_about():
    assert rephrase_requests("Too short.", bundled_styles()["easy"], estimate_tokens, 300, 0) == []


# ---- real and synthetic tokens ----


def test_real_and_synthetic_tokens_stand_in_the_chosen_ratio():
    shares = {"books": 0.4, "books.medium": 0.1, "books.qa": 0.1, "law": 0.4}
    mixed = mix_synthetic(shares, ["medium", "qa"], 1.0)
    assert mixed == pytest.approx({"books": 0.3, "books.medium": 0.15, "books.qa": 0.15, "law": 0.4})
    assert mix_synthetic(shares, ["medium"], 0.0)["books.medium"] == 0


def test_a_recipe_takes_the_ratio_in_every_phase():
    domain = {"tokens_available": 1000, "mean_tokens_per_document": 10, "bytes_per_token": 4}
    phases = [
        RecipePhase(until=0.5, seq_len=8, shares={"a": 1.0}),
        RecipePhase(until=1.0, seq_len=8, shares={"a": 0.5, "b": 0.5}),
    ]
    recipe = make_recipe(total_tokens=1000, domains={"a": domain, "a.qa": domain, "b": domain}, phases=phases)
    mixed = with_synthetic(recipe, ["qa"], 3.0)
    assert [phase.shares for phase in mixed.phases] == [
        pytest.approx({"a": 0.25, "a.qa": 0.75, "b": 0.0}),
        pytest.approx({"a": 0.125, "a.qa": 0.375, "b": 0.5}),
    ]
    with pytest.raises(RequestError, match="no rewritten domain"):
        with_synthetic(recipe, ["easy"])


# ---- the stage ----


def passages(first, count):
    return [
        (f"{first + i:032x}", PASSAGE.replace("1897", str(1000 + first + i)).replace("sacks", f"sacks{first + i}"))
        for i in range(count)
    ]


@pytest.fixture
def workspace(make_documents):
    return make_documents({"a.parquet": passages(0, 20), "b.parquet": [*passages(20, 10), (f"{99:032x}", "short")]})


@pytest.fixture
def rewriter(chat_server):
    chat_server.say = lambda prompt: backwards(prompt.split("\n\n", 1)[1])
    return chat_server


def settings_for(server, **changes):
    engine = {"kind": "endpoint", "url": server.url, "model": "m", "concurrency": 4, "timeout": 60.0, "backoff": 0.001}
    return RewriteSettings(engine={**engine, "retries": 3, **changes.pop("engine", {})}, **changes)


def run(workspace, settings, **more):
    return run_rewrite(workspace, settings, RunnerOptions(), quiet=True, **more)


def rows(workspace, table):
    return [row for batch in workspace.table(table).read() for row in batch.to_pylist()]


def test_every_document_ends_exactly_once_whatever_the_server_does(workspace, rewriter):
    faults = [429, 500, "truncate", "malformed", "not json", "drop", "slow", "chunked", "hang", 400]

    def behave(prompt, attempt):
        number = sum(prompt.encode())
        if number % 11 == 10:
            return 500  # every time
        return faults[number % 11] if attempt == 0 else "ok"

    rewriter.behave = behave
    summary = run(workspace, settings_for(rewriter, engine={"timeout": 0.5, "give_up_after": 100}))
    told = rows(workspace, "rewrites")
    assert sorted(row["id"] for row in told) == sorted(f"{i:032x}" for i in [*range(30), 99])
    counts = summary["tables"]["rewrites"]
    assert counts["in"] == 31 == counts["kept"] + counts["failed"]
    failed = [row for row in told if not row["rewritten"]]
    assert {row["reason"].split(":")[0] for row in failed} == {"request", "too short"}
    assert len(rows(workspace, "synthetic")) == counts["kept"] == 31 - len(failed)
    assert rewriter.most_in_flight <= 4


def test_new_documents_carry_parent_style_and_model_and_the_text_of_their_parent_stays(workspace, rewriter):
    before = rows(workspace, "documents")
    run(workspace, settings_for(rewriter, styles=("hard", "medium"), prompt_price=10.0))
    assert rows(workspace, "documents") == before
    made = rows(workspace, "synthetic")
    texts = {row["id"]: row["text"] for row in before}
    assert len(made) == 60 == len({row["id"] for row in made})
    for row in made:
        assert row["text"] == backwards(texts[row["parent"]])
        assert (row["domain"], row["source"], row["model"]) == (f"web.{row['style']}", f"rewritten.{row['style']}", "m")


@pytest.mark.slow
def test_adopted_documents_have_the_ids_that_the_lineage_names(tmp_path, rewriter):
    crawl = tmp_path / "crawl.jsonl"
    crawl.write_text("".join(json.dumps({"text": text}) + "\n" for _, text in passages(0, 6)))
    workspace = Workspace(str(tmp_path / "w"))
    settings = ExtractSettings(inputs=(Input(paths=(str(crawl),), source="web"),))
    run_extract(workspace, settings, RunnerOptions(), quiet=True)
    originals = {row["id"] for row in rows(workspace, "documents")}
    run(workspace, settings_for(rewriter))
    lineage = {row["id"]: row for row in rows(workspace, "lineage")}
    synthetic = {row["id"]: row for row in rows(workspace, "synthetic")}
    assert {row["parent"] for row in lineage.values()} == originals
    adopt(workspace, RunnerOptions(), quiet=True)
    after = {row["id"]: row for row in rows(workspace, "documents")}
    assert set(after) == originals | set(lineage)
    for id, row in lineage.items():
        assert after[id]["text"] == synthetic[row["synthetic"]]["text"]
        assert (after[id]["domain"], after[id]["source"]) == ("web.medium", "rewritten.medium")
    assert run(workspace, settings_for(rewriter))["skipped"]  # adopting made nothing stale
    run_stage(REFINE, workspace, RefineSettings(), RunnerOptions(), quiet=True)  # decides anew, changes no text
    assert not run(workspace, settings_for(rewriter))["skipped"]
    assert {row["id"] for row in rows(workspace, "lineage")} == set(lineage)
    again = settings_for(rewriter, styles=("hard",))
    run(workspace, again, force=True)
    adopt(workspace, RunnerOptions(), quiet=True)
    replaced = {row["id"] for row in rows(workspace, "lineage")}
    assert not replaced & set(lineage)
    assert {row["id"] for row in rows(workspace, "documents")} == originals | replaced


def test_another_style_is_refused_unless_forced_and_then_nothing_is_asked_twice(workspace, rewriter):
    run(workspace, settings_for(rewriter))
    with pytest.raises(RequestError, match="--force"):
        run(workspace, settings_for(rewriter, styles=("medium", "qa")))
    asked = sum(rewriter.attempts.values())
    run(workspace, settings_for(rewriter, styles=("medium", "hard")), force=True)
    assert sum(rewriter.attempts.values()) == 2 * asked


def test_failed_requests_are_asked_again_on_retry_and_the_others_are_not(workspace, rewriter):
    rewriter.behave = lambda prompt, attempt: 400 if "sacks3 " in prompt and attempt == 0 else "ok"
    first = run(workspace, settings_for(rewriter))["tables"]["rewrites"]
    second = run(workspace, settings_for(rewriter), retry=True)["tables"]["rewrites"]
    assert (first["kept"], second["kept"]) == (29, 30)
    assert sum(rewriter.attempts.values()) == 31


def test_a_share_of_documents_is_drawn_by_id():
    ids = [f"{i:032x}" for i in range(4000)]
    half = {id for id in ids if drawn(id, 0.5)}
    assert 0.45 < len(half) / len(ids) < 0.55
    assert {id for id in ids if drawn(id, 0.25)} < half


@pytest.mark.slow
def test_a_killed_run_repeats_no_finished_request_and_ends_with_the_same_bytes(make_documents, rewriter):
    shards = {f"{name}.parquet": passages(20 * at, 20) for at, name in enumerate("abc")}
    calm, killed = make_documents(shards, "calm"), make_documents(shards, "killed")
    settings = settings_for(rewriter)
    run(calm, settings)
    rewriter.attempts.clear()
    rewriter.answered.clear()
    rewriter.behave = lambda prompt, attempt: "slow"
    code = textwrap.dedent("""
        import sys
        from gristmill.corpus.store.workspace import Workspace
        from gristmill.pipelines.stages.rewrite.stage import RewriteSettings, run_rewrite
        from gristmill.pipelines.engine.runner import RunnerOptions
        settings = RewriteSettings.model_validate_json(sys.argv[2])
        run_rewrite(Workspace(sys.argv[1]), settings, RunnerOptions(), quiet=True)
    """)
    child = subprocess.Popen([sys.executable, "-c", code, killed.url, settings.model_dump_json()])
    rewriter.on_answer = lambda count: os.kill(child.pid, signal.SIGKILL) if count == 35 else None
    assert child.wait() == -signal.SIGKILL
    rewriter.on_answer = lambda count: None
    finished = finished_texts(killed)
    assert 20 <= len(finished) <= 35
    rewriter.attempts.clear()
    rewriter.behave = lambda prompt, attempt: "ok"
    run(killed, settings)
    asked = {backwards(prompt.split("\n\n", 1)[1]) for prompt in rewriter.attempts}
    assert not asked & finished
    assert len(asked) == 60 - len(finished)
    for table in ("rewrites", "synthetic", "lineage"):
        told = [calm.table(table).finished("test"), killed.table(table).finished("test")]
        assert [(s.name, s.checksum) for s in told[0].shards] == [(s.name, s.checksum) for s in told[1].shards]


def finished_texts(workspace):
    """Texts of the replies that a killed process left behind: in the file, and whole lines of its journal."""
    import sqlite3
    from contextlib import closing
    from pathlib import Path

    requests = Path(workspace.path("requests"))
    lines = [line for path in requests.glob("*.journal") for line in path.read_text().splitlines(keepends=True)]
    found = {json.loads(line)[1] for line in lines if line.endswith("\n")}
    if (requests / "replies.sqlite").exists():
        with closing(sqlite3.connect(requests / "replies.sqlite")) as connection:
            found |= {text for (text,) in connection.execute("select text from replies")}
    return found


def test_what_is_recorded_of_a_run_holds_no_key_and_no_address(workspace, rewriter):
    run(workspace, settings_for(rewriter))
    told = json.dumps(workspace.table("rewrites").finished("test").settings)
    assert "127.0.0.1" not in told
