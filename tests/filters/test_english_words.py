"""Words cut by shape and from memory are those that the rules cut."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.filters.words.english_rules import named, special_cases, split
from gristmill.filters.words.layout import Layout

PIECES = st.one_of(
    st.sampled_from("-'.,:;!?()[]{}<>_#*&/\\=+@~^%$\"|`°é"),
    st.sampled_from(["foo", "Bar", "X", "aB", "12", "1234567", "0", "://", "www", "com", "..", "--"]),
    st.sampled_from(sorted(named())),
    st.sampled_from(sorted(special_cases())),
)
CHUNKS = st.lists(PIECES, min_size=1, max_size=7).map("".join).filter(lambda chunk: chunk.split() == [chunk])


def words(chunks):
    layout = Layout(pa.array([" ".join(chunks)]))
    found = layout.words("english")
    data = bytes(layout.data)
    return [data[start:end].decode() for start, end in zip(found.start.tolist(), found.end.tolist(), strict=True)]


@given(st.lists(CHUNKS, min_size=1, max_size=30))
def test_words_are_those_of_the_rules(chunks):
    assert words(chunks) == [token for chunk in chunks for token in split(chunk)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("(foo-bar)", "(some-thing)"),  # one shape
        ("foo.com", "foo.c"),  # a top-level domain has two letters or more
        ("x:12", "x:1"),
        ("(don't)", "(dog't)"),  # a contraction is cut within its letters
        ("5km", "5kx"),
        ("1.2.3.4", "300.2.3.4"),  # an address and what looks like one
        ("US$5", "UX$5"),
        ("McD.", "McDo."),
        ("dog's", "dog't"),
    ],
)
def test_chunks_that_rules_tell_apart_have_shapes_of_their_own(first, second):
    for chunks in ([first, second], [second, first]):
        assert words(chunks) == [token for chunk in chunks for token in split(chunk)]


def test_a_shape_that_is_known_cuts_chunks_that_are_new():
    words(["(first-chunk)"])
    assert words(["(other-piece)"]) == ["(", "other", "-", "piece", ")"]
