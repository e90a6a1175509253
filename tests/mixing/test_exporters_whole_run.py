"""Exports drawn by the peer's own rule from the first step of a run to its last: tokens, order, epochs and ranks."""

import importlib.util
import json
import random
import sys
import types
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

from gristmill.corpus.store.errors import RequestError
from gristmill.mixing.exporters.frame import ExportJob
from gristmill.mixing.exporters.registry import export_recipe
from gristmill.mixing.recipe import RecipePhase, make_recipe
from gristmill.training.data.shards import document_ids, open_tokens

NAMES = ("long", "middle", "short")


class Part(list):
    """A data set of the library, as far as the export uses it: rows, in an order that a seed decides."""

    def shuffle(self, seed=None, buffer_size=None):
        mixed = Part(self)
        random.Random(seed).shuffle(mixed)
        return mixed


@pytest.fixture
def load(tmp_path, workspace, facts, monkeypatch):
    """load(phases, total) exports to Hugging Face datasets and gives the module's `load`."""
    library = types.ModuleType("datasets")
    library.load_dataset = lambda kind, data_files, split, streaming: Part(pq.read_table(data_files)["id"].to_pylist())
    monkeypatch.setitem(sys.modules, "datasets", library)

    def exported(phases, total):
        made = make_recipe(total_tokens=total, domains=facts, phases=phases)
        told = export_recipe("hf", ExportJob(made, str(tmp_path / "hf"), workspace, batch=8, seed=3))
        spec = importlib.util.spec_from_file_location("mixture", tmp_path / "hf" / "mixture.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return told, module.load

    return exported


def sizes(workspace):
    """id -> (domain, tokens) of every training document."""
    found = {}
    for name in NAMES:
        ids, tokens = document_ids(workspace, name).to_pylist(), open_tokens(workspace, name)
        found |= {id: (name, int(size)) for id, size in zip(ids, np.diff(tokens.offsets), strict=True)}
    return found


@pytest.mark.parametrize("ends", [(1.0,), (0.5, 1.0), (0.2, 0.7, 1.0)])
@pytest.mark.parametrize("epochs", [0.4, 1.0, 2.5])
def test_the_export_lasts_as_long_as_the_recipe_and_no_document_comes_twice_in_an_epoch(load, workspace, ends, epochs):
    size, available = sizes(workspace), sum(open_tokens(workspace, name).tokens for name in NAMES)
    shares = [{"long": 0.3, "middle": 0.2, "short": 0.5}, {"long": 0.5, "middle": 0.25, "short": 0.25}, {"short": 1.0}]
    phases = [RecipePhase(until=end, seq_len=32, shares=own) for end, own in zip(ends, shares, strict=False)]
    total = int(epochs * available)
    told, draw = load(phases, total)
    read, longest, begin = [], max(tokens for _, tokens in size.values()), 0.0
    for number, phase in enumerate(phases, 1):
        own = list(draw(number))
        tokens = Counter()
        for id in own:
            tokens[size[id][0]] += size[id][1]
        wanted = (phase.until - begin) * total
        for name, share in phase.shares.items():
            assert abs(tokens[name] - share * wanted) <= 0.05 * share * wanted + 2 * longest
        assert sorted(json.loads(json.dumps(told.realised[number - 1]))) == sorted(phase.shares)
        for world in (1, 2, 8):  # ranks take every so manieth document
            assert Counter(id for rank in range(world) for id in own[rank::world]) == Counter(own)
        read, begin = read + own, phase.until
    for name in NAMES:
        stream = [id for id in read if size[id][0] == name]
        count = open_tokens(workspace, name).documents
        for first in range(0, len(stream), count):
            assert max(Counter(stream[first : first + count]).values()) == 1
        if len(stream) >= 2 * count:
            assert stream[:count] != stream[count : 2 * count]


def test_a_share_of_less_than_half_a_document_is_refused_by_its_name(load):
    shares = {"long": 0.0001, "short": 0.9999}
    with pytest.raises(RequestError, match="the share of long is less than half a document"):
        load([RecipePhase(until=1.0, seq_len=32, shares=shares)], 1000)


@pytest.mark.parametrize("to", ["lingua", "torchtitan", "maxtext"])
def test_tables_smaller_than_the_ranks_that_read_them_are_said(tmp_path, to):
    domains = {"few": (1000, 500.0), "many": (10**6, 500.0)}
    facts = {
        n: {"tokens_available": a, "mean_tokens_per_document": m, "bytes_per_token": 4.0}
        for n, (a, m) in domains.items()
    }
    made = make_recipe(
        total_tokens=10**6, domains=facts, phases=[RecipePhase(until=1.0, seq_len=64, shares={"few": 0.5, "many": 0.5})]
    )
    told = export_recipe(to, ExportJob(made, str(tmp_path / to), None, batch=8))
    assert [note for note in told.notes if "few has 2" in note]
    assert not [note for note in told.notes if "many has" in note]
