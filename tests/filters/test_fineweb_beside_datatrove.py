"""FineWeb's decisions beside datatrove's own chain, document by document, on pages with one fault each.

datatrove's fates are kept in golden/fineweb.json; benchmarks/fineweb_beside_datatrove.py runs it live on more pages.
"""

import importlib.util
import json
from pathlib import Path

import pytest

import gristmill as gm

GOLDEN = Path(__file__).parent / "golden"
TOLD = json.loads((GOLDEN / "fineweb.json").read_text())
OWN = {"line_punct_ratio", "short_line_ratio", "char_dup_ratio", "list_ratio"}  # the rules after C4's
RULES = {  # datatrove's reason -> our rule, where they are not called alike
    "gopher_short_doc": "min_words",
    "gopher_too_many_bullets": "bullet_lines",
    "gopher_too_many_end_ellipsis": "ellipsis_lines",
    "gopher_too_many_hashes": "hash_ratio",
    "gopher_below_alpha_threshold": "alpha_words",
    "dup_line_frac": "duplicate_lines",
    "dup_line_char_frac": "duplicate_line_chars",
    "dup_para_frac": "duplicate_paragraphs",
    **{f"top_{n}_gram": f"top_{n}gram" for n in (2, 3, 4)},
    **{f"duplicated_{n}_n_grams": f"duplicate_{n}gram" for n in range(5, 11)},
}


@pytest.fixture(scope="module")
def decided() -> dict[str, dict]:
    spec = importlib.util.spec_from_file_location("golden_pages", GOLDEN / "pages.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    spec.loader.exec_module(module)
    texts = module.pages()
    table = gm.decide({"id": list(texts), "text": list(texts.values())}, "fineweb")
    return {row["id"]: row for row in table.to_pylist()}


def test_a_page_that_c4_left_as_it_was_has_just_the_fate_that_datatrove_gives_it(decided):
    assert decided.keys() == TOLD["fates"].keys()
    compared = 0
    for name in decided.keys() - set(TOLD["changed"]):
        theirs, ours = TOLD["fates"][name], decided[name]
        assert (theirs is None) == ours["kept"], name
        if theirs is not None:
            assert ours["rule"] == RULES.get(theirs[1], theirs[1]), name
        compared += 1
    assert compared > 100
    assert len({ours["rule"] for ours in decided.values()}) > 12


def test_where_it_differs_c4_had_cut_lines_before_a_rule_of_fineweb_s_own_saw_the_text(decided):
    """The one kind of difference: those rules see here the text as it came."""
    other = {name: ours for name, ours in decided.items() if (TOLD["fates"][name] is None) != ours["kept"]}
    assert other
    for name, ours in other.items():
        theirs = TOLD["fates"][name]
        assert name in TOLD["changed"]
        assert (ours["rule"] if theirs is None else theirs[1]) in OWN, name
