"""Token shards and the tokenizer: what is written is what is read, and text stays text."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.made import put_shards
from gristmill.corpus.store.shards import open_file
from gristmill.corpus.store.workspace import Workspace
from gristmill.training.data.shards import (
    TokenFacts,
    TokenRows,
    domains,
    held_out,
    open_tokens,
    table_name,
    write_tokens,
)
from gristmill.training.data.tokenizer import decode, encode, load_tokenizer, token_facts, train_tokenizer

TEXTS = ["the cat sat on the mat", "the dog sat on the log", "a cat and a dog", "größer als 日本語 🙂"] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, 300)


def store(workspace, domain, parts, facts, split="train"):
    table = workspace.table(table_name(domain))
    shards = []
    for number, documents in enumerate(parts):
        rows = TokenRows()
        for id, tokens in documents:
            rows.append(id, np.array(tokens, facts.dtype), 4 * len(tokens), 0)
        with open_file(table.url, f"{split}-{number}.arrow") as out:
            out.rows = write_tokens(out.path, rows, facts)
            out.counts = {"train_documents": len(documents)}
        shards.append(out.shard)
    details = {"tokenizer": facts.tokenizer, "vocab_size": facts.vocab_size, "bos": facts.bos, "eos": facts.eos}
    put_shards(workspace, table.name, shards, stage="tokenize", details=details)
    return shards


@pytest.mark.parametrize("vocab", [100, 100_000])
def test_documents_come_back_mapped_and_in_the_order_of_their_ids(tmp_path, vocab, monkeypatch):
    monkeypatch.setattr("gristmill.training.data.shards.BATCH_TOKENS", 6)
    workspace, facts = Workspace(str(tmp_path)), TokenFacts("hash", vocab, 0, 1)
    last = vocab - 1
    parts = [[("b", [0, 7, 1]), ("a", [0, 5, 6, last, 1])], [], [("d", [0, 1]), ("c", [0, 9, 9, 9, 9, 9, 9, 9, 1])]]
    store(workspace, "books & co/1", parts, facts)
    found = open_tokens(workspace, "books & co/1")
    read = [found.document(i).tolist() for i in range(found.documents)]
    assert read == [[0, 5, 6, last, 1], [0, 7, 1], [0, 9, 9, 9, 9, 9, 9, 9, 1], [0, 1]]
    assert found.flat().tolist() == list(itertools.chain(*read))
    assert (found.tokens, found.bytes) == (19, 76)
    assert found.document(0).dtype == (np.uint16 if vocab == 100 else np.uint32)
    assert all(not part.flags.owndata and not part.flags.writeable for part in found.segments)
    assert domains(workspace) == ["books & co/1"]
    assert open_tokens(workspace, "books & co/1", "heldout").documents == 0


def test_the_bytes_of_a_shard_do_not_depend_on_the_order_of_its_rows(tmp_path):
    workspace, facts = Workspace(str(tmp_path)), TokenFacts("hash", 100, 0, 1)
    rows = [("c", [0, 4, 1]), ("a", [0, 2, 1]), ("b", [0, 3, 3, 1])]
    first = store(workspace, "x", [rows], facts)
    assert store(workspace, "y", [rows[::-1]], facts)[0].checksum == first[0].checksum


def test_remote_tokens_and_unknown_splits_are_refused(tmp_path):
    with pytest.raises(RequestError, match="local disk"):
        open_tokens(Workspace("memory://w"), "d")
    with pytest.raises(RequestError, match="train, heldout"):
        open_tokens(Workspace(str(tmp_path)), "d", "test")


def test_the_held_out_share_is_drawn_by_id():
    ids = [f"{number:032x}" for number in range(2000)]
    drawn = [held_out(id, 0.3) for id in ids]
    assert 540 <= sum(drawn) <= 660
    assert all(held_out(id, 0.5) for id, out in zip(ids, drawn, strict=True) if out)
    assert not any(held_out(id, 0.0) for id in ids)


def test_training_does_not_depend_on_the_order_of_texts():
    assert train_tokenizer(TEXTS[::-1], 300) == train_tokenizer(TEXTS, 300)


@given(st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_any_text_survives_a_round_trip(texts):
    text = train_tokenizer(TEXTS, 300)
    made, facts = load_tokenizer(text), token_facts(text)
    for original, tokens in zip(texts, encode(made, facts, texts, [""] * len(texts)), strict=True):
        assert (tokens[0], tokens[-1]) == (facts.bos, facts.eos)
        assert decode(made, tokens) == original


def test_the_name_of_a_special_token_in_a_text_is_text(tokenizer):
    made, facts = load_tokenizer(tokenizer), token_facts(tokenizer)
    (tokens,) = encode(made, facts, ["stop <|eos|> here <|bos|>"], [""])
    assert facts.eos not in tokens[:-1].tolist()
    assert facts.bos not in tokens[1:].tolist()
    assert decode(made, tokens) == "stop <|eos|> here <|bos|>"


def test_a_prefix_ends_at_a_token_boundary(tokenizer):
    made, facts = load_tokenizer(tokenizer), token_facts(tokenizer)
    plain, given_ = encode(made, facts, ["the cat", "the cat"], ["", "URL: a.b\n\n"])
    head = len(given_) - len(plain)
    assert decode(made, given_[1 : 1 + head]) == "URL: a.b\n\n"
    assert given_[1 + head :].tolist() == plain[1:].tolist()


def test_a_tokenizer_with_one_special_token_ends_documents_by_starting_the_next(tokenizer):
    renamed = tokenizer.replace("<|bos|>", "<|endoftext|>").replace("<|eos|>", "<|unused|>")
    assert token_facts(renamed).eos is None
    with pytest.raises(RequestError, match="name the one to use with --bos"):
        token_facts(tokenizer.replace("<|bos|>", "<|x|>").replace("<|eos|>", "<|y|>"))
    assert token_facts(tokenizer.replace("<|bos|>", "<|x|>"), bos="<|x|>").bos == 0
    with pytest.raises(RequestError, match=r"not a tokenizer\.json"):
        token_facts("{}")
