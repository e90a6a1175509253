"""Work is cut so finely that every worker of many has some, and nothing of it is lost."""

from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.engine.graph import (
    BLOCK,
    ELEMENTS,
    Pending,
    Work,
    _read_block,
    _write_block,
    items_of_an_element,
)


@given(st.integers(0, 10**8))
def test_there_are_hundreds_of_elements_where_there_are_so_many_items(items: int):
    each = items_of_an_element(items)
    assert 1 <= each <= BLOCK
    assert -(-items // each) >= min(items, ELEMENTS)


@given(st.integers(1, 3 * BLOCK), st.integers(1, BLOCK))
@settings(max_examples=8)
def test_every_item_is_in_exactly_one_element_in_its_order(tmp_path_factory, items: int, each: int):
    plan = SimpleNamespace(workspace=Workspace(str(tmp_path_factory.mktemp("w"))), stage="filter")
    work = Pending(Work(f"item-{number}", {}) for number in range(items))
    elements = [one for number, block in enumerate(work.blocks()) for one in _write_block(plan, number, block, each)]
    read = [keyed for element in elements for keyed in _read_block(element)]
    assert [item.name for _, item in read] == [item.name for item in work]
    assert len({key for key, _ in read}) == items
    assert len(set(elements)) == len(elements)
