"""Tokenizers as people have them: files, folders of models, ids on the Hub."""

from pathlib import Path

import pytest

from gristmill.corpus.store.errors import RequestError
from gristmill.training.data.tokenizer_places import tokenizer_text


def test_a_file_and_the_folder_of_a_model_are_the_same_tokenizer(tmp_path: Path):
    (tmp_path / "tokenizer.json").write_text('{"é": 1}', encoding="utf-8")
    (tmp_path / "config.json").write_text("{}")
    assert tokenizer_text(str(tmp_path)) == tokenizer_text(str(tmp_path / "tokenizer.json")) == '{"é": 1}'


def test_a_folder_without_the_file_says_how_to_make_one(tmp_path: Path):
    with pytest.raises(RequestError, match=r"has no tokenizer\.json; transformers writes one"):
        tokenizer_text(str(tmp_path))


@pytest.mark.parametrize("name", ["absent.json", "a/b/c", "s p/a ce", "folder/tokenizer.json"])
def test_what_is_neither_is_refused_by_its_name(name: str):
    with pytest.raises(RequestError, match="is no file, no folder and no OWNER/NAME"):
        tokenizer_text(name)


def test_an_id_without_a_network_says_what_to_name_instead(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def refused(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(hub, "hf_hub_download", refused)
    with pytest.raises(RequestError, match=r"no route to host\); without a network, name a tokenizer\.json"):
        tokenizer_text("miller/tiny")


def test_an_id_is_taken_at_its_revision(monkeypatch, tmp_path: Path):
    hub = pytest.importorskip("huggingface_hub")
    (tmp_path / "t.json").write_text("{}")
    asked = []

    def given(*names, **more):
        asked.append((names, more))
        return str(tmp_path / "t.json")

    monkeypatch.setattr(hub, "hf_hub_download", given)
    assert tokenizer_text("miller/tiny@v1") == "{}"
    assert asked == [(("miller/tiny", "tokenizer.json"), {"revision": "v1"})]
