"""Shingle sets against their definition in Python."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.dedup.shingles import shingle

alphabet = "abAB1.,!?- \n\t\u00e9\u4e2d\u3042\u30ab\u0411\u00b2\U00020001\U0001f600"
texts = st.none() | st.text(alphabet, max_size=60)
batches = st.lists(texts, max_size=6).map(lambda rows: pa.array(rows, pa.string()))


def words(text: str) -> list[str]:
    """Runs of letters and digits in lower case, ideographs and kana apart."""
    spaced = "".join(f" {c} " if c in "\u4e2d\u3042\u30ab\U00020001" else c if c.isalnum() else " " for c in text)
    return spaced.lower().split()


def sets_of(batch: pa.Array, **settings) -> list[tuple[int, ...]]:
    found = shingle(batch, **settings)
    return [tuple(part.tolist()) for part in np.split(found.hashes, found.offsets[1:-1])] if len(batch) else []


@given(batches, st.integers(1, 4))
def test_a_document_has_one_hash_for_each_distinct_window_of_words(batch, size):
    for text, hashes in zip(batch.to_pylist(), sets_of(batch, size=size), strict=True):
        tokens = words((text or "").replace("\U0001f600", "."))
        windows = {tuple(tokens[i : i + size]) for i in range(max(1, len(tokens) - size + 1))}
        if not tokens:
            windows = {text.strip()} if text and text.strip() else set()
        short = len(tokens) < size and windows  # two hashes of everything
        assert len(hashes) == (2 if short else len(windows))
        assert list(hashes) == sorted(set(hashes))


@given(batches, st.integers(0, 6), st.sampled_from(["words", "characters"]))
def test_cutting_a_batch_never_changes_a_set(batch, at, unit):
    whole = sets_of(batch, unit=unit, size=3)
    assert sets_of(batch[:at], unit=unit, size=3) + sets_of(batch[at:], unit=unit, size=3) == whole


@given(st.text("abc ", min_size=30, max_size=60), st.text("xyz ", min_size=30, max_size=60))
def test_equal_windows_have_equal_hashes_wherever_they_stand(left, right):
    apart = {h for row in sets_of(pa.array([left, right]), unit="characters", size=4) for h in row}
    joined = set(sets_of(pa.array([f"{left.strip()}#{right.strip()}"]), unit="characters", size=4)[0])
    # what is new in the joined text spans the seam; nothing but the windows at the blank ends is lost
    assert len(joined - apart) <= 3
    assert len(apart - joined) <= 2


def test_case_punctuation_and_layout_do_not_count():
    plain, same, other = sets_of(
        pa.array(["The cat sat on a mat.", "the CAT, sat:\non a   mat", "the dog sat on a mat"])
    )
    assert plain == same != other


def test_plain_folding_ignores_digits_and_diacritics_too():
    lower = sets_of(pa.array(["caf\u00e9 12 a b c", "cafe 34 a b c"]))
    plain = sets_of(pa.array(["caf\u00e9 12 a b c", "cafe 34 a b c"]), fold="plain")
    assert lower[0] != lower[1]
    assert plain[0] == plain[1]


@pytest.mark.parametrize("unit", ["words", "characters"])
def test_documents_shorter_than_a_shingle_differ_where_their_tokens_differ(unit):
    column = pa.array(["cat", "dog", "Cat!", "a b", "b a", "!!!", "???", "", "  \n", None])
    cat, dog, shout, ab, ba, marks, questions, empty, blank, absent = sets_of(column, unit=unit, size=13)
    assert cat == shout
    assert len({cat, dog, ab, ba, marks, questions}) == 6
    assert all(len(one) == 2 for one in (cat, dog, ab, ba, marks, questions))
    assert empty == blank == absent == ()


def test_the_content_hash_is_of_all_tokens_in_order():
    found = shingle(pa.array(["a b c", "A, b; C", "a c b", "a b c a", "", " "]), size=1)
    rows = [tuple(row) for row in found.content.tolist()]
    assert rows[0] == rows[1]
    assert rows[4] == rows[5]
    assert len(set(rows)) == 4


def test_a_set_is_the_same_on_every_machine():
    found = shingle(pa.array(["one two three four five six", "\u4e2d\u6587"]))
    hashes = [3070566260360782756, 13696294410897295051, 5019359873927806770, 16360982031344540576]
    assert found.hashes.tolist() == hashes
    assert found.content[0].tolist() == [347654939811299824, 3534137434897367289]


def test_different_short_texts_are_never_the_same_set():
    texts = pa.array([f"w{n // 300} w{n % 300}" for n in range(90_000)])
    found = shingle(texts)
    assert len({tuple(pair) for pair in found.hashes.reshape(-1, 2).tolist()}) == len(texts)
    assert len({tuple(pair) for pair in found.content.tolist()}) == len(texts)


def test_digits_count_as_one_in_repeated_lines_and_tones_do_not():
    page_1, page_2, ma, other = sets_of(pa.array(["Page 1 of 9", "page 3 of 7", "ma", "m\u00e1"]), fold="digits")
    assert page_1 == page_2
    assert ma != other


def test_diacritics_are_taken_from_latin_letters_and_vowel_signs_from_none():
    left, right, day, gift, han, hon = sets_of(
        pa.array(["caf\u00e9", "cafe", "\u0926\u093f\u0928", "\u0926\u093e\u0928", "\ud55c", "\ud640"]), fold="plain"
    )
    assert left == right
    assert day != gift
    assert han != hon
