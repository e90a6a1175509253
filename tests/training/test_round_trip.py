"""What a tokenizer does not give back is found, counted and, where it is much, refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from gristmill.corpus.store.errors import RequestError
from gristmill.training.data.round_trip import check_round_trip, lossless, lost_bytes, measure_of
from gristmill.training.data.tokenizer import BOS, load_tokenizer, train_tokenizer
from gristmill.training.targets import Item, Target

LATIN, GREEK = "the quick brown fox jumps over the lazy dog", "\u03b1\u03b2\u03b3 \u03b4\u03b5\u03b6"
OWN = train_tokenizer([LATIN] * 5, 300)


def made(kind):
    """tokenizer.json of a vocabulary that was learnt from Latin letters alone."""
    if kind == "word level":
        tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.WordLevelTrainer(vocab_size=200, special_tokens=["<s>", "<unk>"], show_progress=False)
    else:
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>" if "unknown" in kind else None))
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=["<s>", "<unk>"], show_progress=False)
    if "folded" in kind:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.train_from_iterator([LATIN] * 20, trainer)
    return tokenizer.to_str()


def lost(text, *texts):
    tokenizer = load_tokenizer(text)
    encoded = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return measure_of(text, tokenizer)(texts, [np.array(one.ids) for one in encoded])


@pytest.mark.parametrize("kind", ["dropped", "unknown", "unknown, folded", "word level"])
def test_letters_that_a_vocabulary_lacks_are_counted_and_much_of_them_refused(kind):
    text = made(kind)
    assert not lossless(text)
    assert lost(text, LATIN)[0] <= 1  # white space at the edge
    assert lost(text, GREEK)[0] >= 12
    with pytest.raises(RequestError, match=r"t\.json loses text: .*% of greek"):
        check_round_trip(text, load_tokenizer(text), {"greek": [GREEK], "latin": [LATIN]}, "t.json")


def changed(change):
    """A tokenizer of all bytes with something changed in its file."""
    told = json.loads(OWN)
    change(told)
    return json.dumps(told)


def words(told):
    vocabulary = told["model"]["vocab"]
    told["model"] = {"type": "WordLevel", "vocab": vocabulary, "unk_token": BOS}


def pieces(told):
    vocabulary = told["model"]["vocab"]
    told["model"] = {
        "type": "WordPiece", "vocab": vocabulary, "unk_token": BOS, "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
    }  # fmt: skip


def greedy(told):
    token = {"id": 300, "content": "[SEP]", "single_word": False, "lstrip": True, "rstrip": True, "normalized": False}
    told["added_tokens"].append({**token, "special": False})


ALTERED = {
    "words as they stand": words,
    "pieces of words": pieces,
    "ends of words have letters of their own": lambda told: told["model"].update(end_of_word_suffix="</w>"),
    "an added token takes the spaces beside it": greedy,
    "letters are folded": lambda told: told.update(normalizer={"type": "Lowercase"}),
    "accents are taken off": lambda told: told.update(normalizer={"type": "StripAccents"}),
    "punctuation is removed": lambda told: told.update(
        pre_tokenizer={"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"String": ","}, "behavior": "Removed", "invert": False},
            told["pre_tokenizer"],
        ]}
    ),
    "a byte is not in the vocabulary": lambda told: told["model"]["vocab"].pop("!"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ALTERED)
def test_a_vocabulary_of_bytes_that_loses_text_all_the_same_is_measured(kind):
    text = changed(ALTERED[kind])
    sample = "Caf\u00e9 na\u0308ive,  one, two, three [SEP]   and more! unknown words here! " + GREEK
    assert not lossless(text)
    assert lost(text, sample)[0] > 0


@pytest.mark.parametrize("setting", ["dropout", "truncation", "padding"])
def test_a_files_own_dropout_truncation_and_padding_do_not_change_what_a_text_becomes(setting):
    kinds = {
        "dropout": lambda told: told["model"].update(dropout=0.5),
        "truncation": lambda told: told.update(
            truncation={"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
        ),
        "padding": lambda told: told.update(
            padding={"strategy": {"Fixed": 99}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
                     "pad_type_id": 0, "pad_token": BOS}
        ),
    }  # fmt: skip
    tokenizer, own = load_tokenizer(changed(kinds[setting])), load_tokenizer(OWN)
    for _ in range(20):
        assert tokenizer.encode(LATIN * 5).ids == own.encode(LATIN * 5).ids


def test_letters_that_are_folded_are_lost():
    assert lost(made("unknown, folded"), LATIN.upper())[0] > 20


@given(st.text(max_size=40))
def test_bytes_give_every_text_back(text):
    assert lossless(OWN)
    tokenizer = load_tokenizer(OWN)
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text
    check_round_trip(OWN, tokenizer, {"d": [text]}, "t.json")


@given(st.text(max_size=20), st.text(max_size=20))
def test_what_is_lost_is_counted_in_bytes_whatever_the_order(kept, gone):
    assert lost_bytes(kept + gone, kept) == len(gone.encode("utf-8", "surrogatepass"))
    assert lost_bytes(kept, (kept + gone)[::-1]) == 0


def test_a_target_that_the_tokenizer_loses_is_refused_by_its_name():
    text = made("unknown")
    target = Target("greek", (Item(LATIN[:9], (" x", GREEK), 1),), True)
    with pytest.raises(RequestError, match=r"tokenizer\.json loses text: .*% of greek"):
        check_round_trip(text, load_tokenizer(text), {target.name: target.texts()}, "tokenizer.json")
    check_round_trip(text, load_tokenizer(text), {"latin": [LATIN]}, "tokenizer.json")
