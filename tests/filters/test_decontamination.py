"""Decontamination: copies are found under another case and punctuation, and chance agreement is not."""

import gzip
import json
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
import torch
import typer
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gristmill.corpus.store.catalog import open_catalog
from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.fate import read_kept
from gristmill.corpus.store.workspace import Workspace
from gristmill.corpus.text.normalising import normalise
from gristmill.filters.decontamination import build, masked, read_examples, search
from gristmill.pipelines.cli import load_command
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.engine.stage import run_stage
from gristmill.pipelines.stages.decontaminate.exposure import ExposureSettings
from gristmill.pipelines.stages.decontaminate.stage import DecontaminateSettings, decontaminate
from gristmill.pipelines.stages.train.model_places import tokenizer_of
from gristmill.proxy_models.model_files import ProxyModel
from gristmill.proxy_models.scoring.sampling import read_target
from gristmill.training.data.tokenizer import token_facts, train_tokenizer
from gristmill.training.targets import load_target
from gristmill.training.transformer import Transformer, TransformerConfig

PROSE = "The valley is that of the river and of the people who have lived beside it for as long as anyone knows."
QUESTION = "Which of these animals keeps its young in a pouch until they are old enough to look for food alone?"
SHORT = "What do plants need to make food?"
TINY = "Who is it?"
INDEX = build({"animals": [QUESTION, SHORT, TINY]})


def hits(text: str):
    return search(pa.array([text]), INDEX)[0]


@pytest.mark.parametrize(
    "change", [str, str.upper, str.lower, lambda t: t.replace(" ", ", ").replace("?", "!!"), str.title]
)
def test_case_and_punctuation_do_not_hide_a_copy(change):
    text = f"é before. {change(QUESTION)} And after."
    (hit,) = hits(text)
    assert (hit.task, hit.example) == ("animals", 0)
    assert text[hit.start : hit.end].lower().replace(",", "").startswith("which of these animals")
    assert hit.words == 20


def test_twelve_words_in_common_are_no_hit_and_thirteen_are():
    words = QUESTION.split()
    assert hits(" ".join(words[:12]) + " otherwise") == []
    assert len(hits(" ".join(words[:13]) + " otherwise")) == 1


def changed(*places: int, text: str = QUESTION, by: str = "otherwise") -> str:
    words = text.split()
    for place in places:
        words[place] = by
    return " ".join(word for word in words if word)


@pytest.mark.parametrize(
    ("copy", "edits"),
    [
        (changed(3, 12), 2),
        (changed(6, 13, 19), 3),
        (changed(6, 13, by=""), 2),
        (changed(10, by="some other"), 2),
        (changed(2, 8, 11, 16), None),  # a fifth of the words
        (" ".join(reversed(QUESTION.split())), None),
    ],
)
def test_a_copy_with_a_few_words_changed_left_out_or_put_in_is_found(copy, edits):
    found = hits(f"Before it, {copy} And after it comes more.")
    assert [(hit.task, hit.example, hit.edits) for hit in found] == ([("animals", 0, edits)] if edits else [])


def test_a_near_copy_is_masked_whole():
    text = f"Before it, {changed(6, 13)} And after."
    left, _ = masked(text, hits(text))
    assert left == "Before it, ? And after."


def test_a_piece_of_a_long_example_is_found_with_words_changed():
    long = " ".join(f"word{n} is w{n * n % 97}" for n in range(40))
    index = build({"long": [long]})
    piece = changed(5, 14, 23, text=" ".join(long.split()[30:60]))
    (hit,) = search(pa.array([f"See: {piece} and so on."]), index)[0]
    assert hit.edits == 3
    assert hit.words >= 26
    assert search(pa.array([piece]), build({"long": [long]}, tolerance=0))[0] == []


common = st.lists(st.sampled_from("which of these is a the animal plant keeps young in".split()), max_size=30)


@given(common, st.lists(st.integers(0, 19), max_size=3, unique=True), common)
def test_edits_that_are_few_enough_are_found_wherever_they_are(before, places, after):
    words = QUESTION.split()
    for place in places:
        words[place] = "otherwise"
    found = hits(" ".join([*before, *words, *after]))
    assert any(hit.example == 0 and hit.edits <= len(places) for hit in found)


def test_a_short_example_is_found_whole_only():
    index = build({"plants": [SHORT]}, shortest=7)
    assert len(search(pa.array(["He asked: what do plants need to make food, then?"]), index)[0]) == 1
    assert search(pa.array(["what do plants need to make"]), index)[0] == []


def test_examples_too_short_to_prove_anything_are_counted():
    assert INDEX.too_short == 2
    with pytest.raises(RequestError, match="no example"):
        build({"none": [TINY]})


def test_masking_cuts_the_hit_and_nothing_else():
    text = f"Before, {QUESTION} After."
    left, removed = masked(text, hits(text))
    assert left == "Before, ? After."
    assert text[: removed[0]["start"]] + text[removed[0]["end"] :] == left


def test_a_line_without_a_known_field_is_refused(tmp_path):
    path = tmp_path / "task.jsonl"
    path.write_text(json.dumps({"answer": "no"}) + "\n")
    with pytest.raises(RequestError, match="line 1 has none of the fields"):
        read_examples(str(path))


@pytest.fixture
def workspace(tmp_path, document_writer) -> Workspace:
    rows = [("clean", PROSE), ("dirty", f"{PROSE} {QUESTION.upper()} {PROSE}")]
    made = Workspace(str(tmp_path / "w"))
    document_writer(made, [{"id": f"{n:032x}", "title": title, "text": text} for n, (title, text) in enumerate(rows)])
    (tmp_path / "animals.jsonl").write_text(json.dumps({"query": QUESTION}) + "\n")
    return made


@pytest.mark.parametrize("action", ["drop", "mask"])
def test_the_stage_drops_or_cuts_and_records_the_task_and_the_place(workspace, tmp_path, action):
    settings = DecontaminateSettings(sets={"animals": str(tmp_path / "animals.jsonl")}, action=action)
    summary = run_stage(decontaminate, workspace, settings, RunnerOptions(), quiet=True)
    catalog = open_catalog(workspace)
    query = "select task, example, words, title from contamination join documents using (id)"
    assert catalog.execute(query).fetchall() == [("animals", 0, 20, "dirty")]
    counts = summary["tables"]["decisions/decontaminate"]
    assert counts == {
        "in": 2,
        "kept": 2 if action == "mask" else 1,
        "dropped": 0 if action == "mask" else 1,
        "failed": 0,
    }
    shards = [shard.name for shard in workspace.table("documents").manifest().shards]
    texts = [text for s in shards for b in read_kept(workspace, s, ["id", "text"]) for text in b["text"].to_pylist()]
    assert not any("WHICH OF THESE" in text for text in texts)


def test_the_command_finds_records_and_audits_with_a_model(workspace, tmp_path):
    sets = tmp_path / "animals.jsonl"
    other = "Where does the heron that we saw at the mill go in the winter when all of the ponds are under ice?"
    sets.write_text(json.dumps({"query": QUESTION}) + "\n" + json.dumps({"query": other}) + "\n")
    text = train_tokenizer([PROSE, QUESTION], 300)
    (tmp_path / "tokenizer.json").write_text(text)
    facts = token_facts(text)
    torch.manual_seed(0)
    shape = TransformerConfig(
        vocab_size=facts.vocab_size, d_model=16, n_layers=1, n_heads=2, n_kv_heads=2, d_ff=32, max_len=64
    )
    seen = np.ones(facts.vocab_size, np.int64)
    (tmp_path / "m.safetensors").write_bytes(ProxyModel(Transformer(shape), facts.tokenizer, seen).to_bytes())
    arguments = [str(sets), "--workspace", workspace.url, "--audit", str(tmp_path / "m.safetensors")]
    app = typer.Typer()
    app.command()(load_command("decontaminate"))
    result = CliRunner().invoke(app, arguments, obj={})
    assert result.exit_code == 0, result.output
    rows = open_catalog(workspace).execute(
        "select task, example, found, n_tokens > 10, nll > 0, min_k < 0, dc_pdd > 0, zlib_ratio < 0 "
        "from contamination_audit order by example"
    )
    assert rows.fetchall() == [("animals", 0, True, *[True] * 5), ("animals", 1, False, *[True] * 5)]
    decided = open_catalog(workspace).execute("select rule, value from decisions where not kept").fetchall()
    assert decided == [("animals", 20.0)]


def test_an_audit_without_its_tokenizer_is_refused(workspace, tmp_path):
    (tmp_path / "animals.jsonl").write_text(json.dumps({"query": QUESTION}) + "\n")
    (tmp_path / "m.safetensors").write_bytes(b"")
    settings = ExposureSettings(sets={"a": str(tmp_path / "animals.jsonl")}, model=str(tmp_path / "m.safetensors"))
    with pytest.raises(RequestError, match="give --tokenizer"):
        tokenizer_of(workspace, settings.model, settings.tokenizer, "audit")


SENTENCES = {
    "zh": "小明的妈妈早上去市场买了三斤苹果，每斤五元，又买了两斤香蕉，每斤四元，她一共付了多少钱？",
    "ja": "太郎くんは朝に市場へ行き、りんごを三つとバナナを二つ買いました。全部でいくら払いましたか。",
    "th": "สมชายไปตลาดในตอนเช้าและซื้อแอปเปิ้ลสามกิโลกรัมกับกล้วยสองหวีเขาจ่ายเงินไปทั้งหมดเท่าไร",
    "km": "សុខាបានទៅផ្សារនៅពេលព្រឹកហើយបានទិញផ្លែប៉ោមបីគីឡូក្រាមនិងចេកពីរស្និតតើគាត់ចំណាយប្រាក់អស់ប៉ុន្មាន",
    "my": "မောင်မောင်သည်မနက်ဈေးသို့သွား၍ပန်းသီးသုံးလုံးနှင့်ငှက်ပျောသီးနှစ်ဖီးဝယ်ခဲ့သည်စုစုပေါင်းမည်မျှပေးခဲ့ရသနည်း",
    "hi": "राम सुबह बाज़ार गया और उसने तीन किलो सेब और दो दर्जन केले खरीदे उसने कुल कितने रुपये दिए",
    "ko": "서울에 사는 민수는 매일 아침 여섯 시에 일어나 한강 공원까지 달려갔다가 집으로 돌아와 학교에 갑니다",
    "ar": "ذهب أحمد في الصباح إلى السوق واشترى ثلاثة كيلوغرامات من التفاح وموزتين فكم دفع في المجموع كله",
    "vi": "một người nông dân có mười hai con gà mái và ba con gà trống hỏi sau một tuần đàn gà đẻ bao nhiêu trứng",
    "fr": "où l'élève zélé a-t-il rangé les clés dorées après la fête donnée à Noël près du vieux château fort abîmé",
}
EVERY = build({language: [text] for language, text in SENTENCES.items()})


@pytest.mark.parametrize("language", SENTENCES)
def test_a_copy_is_found_in_every_script_composed_or_not_and_with_hidden_characters(language):
    text = SENTENCES[language]
    hidden = "".join(char + "\u200b\u00ad" if place % 5 == 2 else char for place, char in enumerate(text))
    copies = [f"1. {form} 2." for form in (text, unicodedata.normalize("NFD", text), hidden)]
    for found in search(pa.array(copies), EVERY):
        assert {hit.task for hit in found} == {language}


@pytest.mark.parametrize("language", SENTENCES)
def test_half_of_a_question_and_a_stranger_are_no_copy(language):
    text = SENTENCES[language]
    stranger = " ".join(SENTENCES[other] for other in SENTENCES if other != language)
    assert all(hit.task != language for hit in search(pa.array([stranger]), EVERY)[0])
    assert search(pa.array([text[: len(text) // 5]]), EVERY) == [[]]


def test_sets_are_brought_into_the_form_of_documents_and_blank_lines_are_none(tmp_path):
    path = tmp_path / "set.jsonl"
    rows = [{"question": unicodedata.normalize("NFD", SENTENCES["fr"])}, {"question": "a\r\nb\x00"}]
    path.write_bytes(b"\xef\xbb\xbf" + "\n\n".join(json.dumps(row) for row in rows).encode() + b"\n\n  \n")
    assert read_examples(str(path)) == [SENTENCES["fr"], "a\nb"]


FORMS = {
    "as it is": lambda text: text,
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "with returns": lambda text: text.replace("\n", "\r\n"),
    "with line separators": lambda text: text.replace("\n", "\u2028"),
    "with form feeds": lambda text: text.replace("\n", "\f"),
    "with control characters": lambda text: "\x00".join(text),
    "with a mark": lambda text: "\ufeff" + text,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("language", ["fr", "vi", "ko"])
def test_sets_and_targets_of_every_form_say_what_documents_say(tmp_path, form, language):
    text = SENTENCES[language] + "\n" + SENTENCES[language][::-1]
    document = normalise(FORMS[form](text), layout=False)
    row = {"query": FORMS[form](text), "choices": [FORMS[form](text), "b"], "gold": 0}
    path = tmp_path / "set.jsonl"
    path.write_text(json.dumps(row) + "\n")
    assert read_examples(str(path)) == [document]
    (target,) = load_target(str(path)).items
    assert (target.context, target.continuations[0]) == (document, " " + document)
    path.write_text(json.dumps({"text": FORMS[form](text)}) + "\n")
    assert read_target(str(path), 0, 10**6) == [document]


def test_half_of_a_surrogate_pair_in_a_set_or_target_is_mended_as_in_documents(tmp_path):
    path = tmp_path / "set.jsonl"
    path.write_text('{"text": "one \\ud83d two", "choices": ["a"]}\n')
    assert read_examples(str(path)) == ["one \ufffd two"]
    assert read_target(str(path), 0, 100) == ["one \ufffd two"]


def test_mojibake_is_mended_in_sets_where_it_was_in_documents(tmp_path):
    path = tmp_path / "set.jsonl"
    broken = SENTENCES["fr"].replace("é", "Ã©").replace("è", "Ã¨")
    path.write_text(json.dumps({"text": broken}))
    assert read_examples(str(path)) == [broken]
    assert read_examples(str(path), repair=True) == [SENTENCES["fr"]]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
def test_sets_are_read_however_they_are_packed(tmp_path, pack):
    path = tmp_path / "set"
    for shape in (f'{{"text": "{QUESTION}"}}\r\n\r\n', f'[{{"text": "{QUESTION}"}}]'):
        path.write_bytes(pack(shape.encode()))
        assert read_examples(str(path)) == [QUESTION]
