"""Balancing: the tail stays whole, the head is thinned, and nothing depends on the order."""

import numpy as np
import pytest

from gristmill.corpus.store.errors import RequestError
from gristmill.filters.balancing import Concepts, cap_for_tail_share, count, draw, keeps


def test_concepts_are_whole_words_in_any_case():
    concepts = Concepts(["Tree", "apple tree", "art"])
    assert [concepts.names[place] for place in concepts.of("An Apple Tree, not a start.")] == ["apple tree", "tree"]


def test_counts_are_of_documents():
    assert count([[0, 1], [1], []], 3).tolist() == [1, 2, 0]


def test_a_document_with_a_tail_concept_always_stays():
    counts = {"head": 10**6, "tail": 3}
    assert all(keeps(f"{n:032x}", ["head", "tail"], counts, cap=20)[0] for n in range(500))


def test_a_frequent_concept_keeps_about_its_cap():
    counts = {"head": 4000}
    kept = sum(keeps(f"{n:032x}", ["head"], counts, cap=1000)[0] for n in range(4000))
    assert abs(kept - 1000) < 4 * np.sqrt(4000 * 0.25 * 0.75)


def test_draws_are_uniform_and_change_with_each_part():
    numbers = np.array([draw(f"{n:032x}", "concept", 0) for n in range(4000)])
    assert abs(numbers.mean() - 0.5) < 0.02
    assert draw("a", "b", 0) == draw("a", "b", 0)
    assert len({draw("a", "b", 0), draw("a", "b", 1), draw("a", "c", 0), draw("b", "b", 0)}) == 4


def test_a_document_without_a_concept_goes():
    assert keeps("a", [], {}, cap=5) == (False, 0.0)


def test_the_cap_of_a_tail_share():
    counts = np.array([1, 2, 3, 94])
    assert cap_for_tail_share(counts, 0.06) == 3
    with pytest.raises(RequestError):
        cap_for_tail_share(counts, 0)


def test_an_empty_list_of_concepts_is_refused():
    with pytest.raises(RequestError):
        Concepts([" "])
