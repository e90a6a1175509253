"""Held-out text in training text: found exactly and nearly, and nothing else is."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gristmill.training.data.overlap import WINDOW, Overlap, overlap, texts_of
from gristmill.training.data.shards import TokenDomain, TokenFacts

texts = st.lists(st.lists(st.integers(2, 6), max_size=30), min_size=1, max_size=8)


def domain(bodies, eos, prefix=0, parts=1):
    facts = TokenFacts("t", 100, 0, eos)
    made = [np.array([0, *[7] * prefix, *body, *([] if eos is None else [eos])], np.uint16) for body in bodies]
    whole = TokenDomain.from_documents("d", made, facts, metadata_tokens=[prefix] * len(made))
    cut = whole.offsets[np.linspace(0, len(made), parts + 1).astype(int)]
    segments = tuple(whole.segments[0][a:b] for a, b in itertools.pairwise(cut))
    return TokenDomain("d", "train", facts, "f", segments, whole.offsets, whole.n_bytes, whole.metadata_tokens)


@given(texts, texts, st.sampled_from([1, None]), st.integers(0, 2), st.integers(1, 3))
def test_overlap_is_what_a_search_through_all_texts_finds(held, train, eos, prefix, parts):
    found = overlap([np.array(text) for text in held if text], [domain(train, eos, prefix, parts)])
    held = [text for text in held if text]
    windows = {tuple(text[at : at + WINDOW]) for text in train for at in range(len(text) - WINDOW + 1)}
    exactly, nearly = 0, 0
    for text in held:
        own = [tuple(text[at : at + WINDOW]) for at in range(len(text) - WINDOW + 1)]
        exactly += text in train
        nearly += text in train or (bool(own) and sum(one in windows for one in own) >= len(own) / 2)
    assert found == Overlap(len(held), exactly, nearly)


def test_the_text_of_a_document_is_what_stands_between_its_marks():
    assert [text.tolist() for text in texts_of(domain([[2, 3], [], [4]], 1, 2))] == [[2, 3], [4]]
