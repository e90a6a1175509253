"""Presets against the normalisation and the shingles that their origins publish, stated again here in Python."""

import itertools
import re
import string
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.dedup.minhash import PRESETS, bands_and_rows, preset
from gristmill.dedup.settings import DedupSettings
from gristmill.dedup.shingles import shingle

ASCII = str.maketrans("", "", string.punctuation)
NUMBER = re.compile(r"\d+([.,\u060c\u066b\u2396\u2397\u2398]\d+)?")  # \d is Nd for a str pattern
SEPARATES = string.punctuation + "\u2019\u2026\u2014\u201c\u201d\u3002\uff0c\uff11\u0007\u0085"


def grams(tokens, size):
    return {tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)}


def fineweb(text, size):
    """datatrove's simplify_text; words are cut at white space, where datatrove asks spaCy."""
    text = NUMBER.sub("0", text.lower()).translate({ord(c): " " for c in SEPARATES})
    text = re.sub(r"\s+", " ", text)
    text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    return grams(text.split(), size)


def slimpajama(text, size):
    """Cerebras' get_features, on text in NFC as its normalisation step leaves it."""
    text = unicodedata.normalize("NFC", text).lower().translate(ASCII)
    return grams(re.sub(r"\s+", " ", text.strip()), size)


def redpajama(text, size):
    """RedPajama-V2's normalize, its words, and the n-grams of its signatures."""
    text = re.sub(r"\s+", " ", text.translate(ASCII).lower().strip())
    return grams(unicodedata.normalize("NFD", text).split(), size)


def nemo(text, size):
    """NeMo Curator hashes each window of characters of the text as it is."""
    return grams(text, size)


PUBLISHED = {"fineweb": fineweb, "slimpajama": slimpajama, "redpajama-v2": redpajama, "nemo": nemo}
# no capital sigma or dotted capital I: lower-casing is by character here
characters = "abAB019_.,'!-$ \n\t\u00e9\u00c9\u0301\u00df\u0411\u4e2d\ub098\u0665\u066b\u2019\u2014\u3002\uff11\u20ac"
characters += "\u00a0\U0001f600\u0007"
pieces = st.sampled_from([*characters, "1,234.5", "don't", "e-mail", "a  b", "12.", "3.14"])
texts = st.lists(pieces, max_size=30).map("".join)


@pytest.mark.parametrize("name", PUBLISHED)
@given(batch=st.lists(texts, min_size=1, max_size=4), size=st.integers(1, 3))
def test_documents_share_as_many_shingles_as_the_published_code_says(name, batch, size):
    given_by = preset(name)
    found = shingle(pa.array(batch, pa.string()), given_by.unit, size, given_by.fold)
    ours = [set(part.tolist()) for part in np.split(found.hashes, found.offsets[1:-1])]
    theirs = [PUBLISHED[name](text, size) for text in batch]
    for a, b in itertools.combinations_with_replacement(range(len(batch)), 2):
        if theirs[a] and theirs[b]:  # documents shorter than a shingle have none with them and one here
            assert len(ours[a] & ours[b]) == len(theirs[a] & theirs[b])


@pytest.mark.parametrize(
    ("name", "left", "right", "shared"),
    [
        ("fineweb", "It cost 1,234 dollars, caf\u00e9!", "it cost 7 dollars \u2014 CAFE", 5),
        ("fineweb", "it costs 1.5.2 pounds", "it costs 9 8 pounds", 4),  # a number takes one decimal sign
        ("slimpajama", "Don't  go,\nnow.", "dont go now", 7),
        ("redpajama-v2", "An e-mail: caf\u00e9", "an email cafe\u0301", 3),
        ("nemo", "Go. Now", "Go. now", 5),
    ],
)
def test_what_the_normalisation_makes_equal(name, left, right, shared):
    found = shingle(pa.array([left, right]), preset(name).unit, 1, preset(name).fold)
    ours = [set(part.tolist()) for part in np.split(found.hashes, found.offsets[1:-1])]
    assert len(ours[0] & ours[1]) == shared
    assert len(PUBLISHED[name](left, 1) & PUBLISHED[name](right, 1)) == shared


@pytest.mark.parametrize("name", ["slimpajama", "redpajama-v2", "redstone"])
def test_bands_of_those_that_derive_them_follow_from_threshold_and_permutations(name):
    given_by = preset(name)
    assert bands_and_rows(given_by.threshold, given_by.num_perm, 0.5) == (given_by.bands, given_by.rows)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_the_same_request_as_its_values(name):
    given_by = preset(name)
    spelt = DedupSettings(
        unit=given_by.unit,  # pyright: ignore
        size=given_by.size,
        fold=given_by.fold,  # pyright: ignore
        num_perm=given_by.num_perm,
        bands=given_by.bands,
        rows=given_by.rows,
        threshold=given_by.threshold,
    )
    spelt.check()
    assert DedupSettings(preset=name).resolved() == spelt.resolved()
    assert DedupSettings(preset=name).signing() == spelt.signing()
