"""What torch.compile makes of the loop and of fleets: whole graphs, each captured once, whatever the step.

Graphs are captured as on a GPU and run uncompiled, so that a C++ compiler is not needed.
"""

from collections.abc import Iterator
from functools import wraps

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounter

from gristmill.proxy_models.fleets.fleet import FleetSettings
from gristmill.proxy_models.fleets.group import Group
from gristmill.proxy_models.fleets.order import DataOrder
from gristmill.proxy_models.fleets.pool import TokenPool
from gristmill.training.objectives import loss


@pytest.fixture
def graphs(monkeypatch) -> Iterator[CompileCounter]:
    """Counts graphs. A break of one is an error (`fullgraph`)."""
    counter, plain = CompileCounter(), torch.compile

    @wraps(plain)
    def captured(model=None, **asked):
        return plain(model, **(asked | {"backend": counter, "fullgraph": True}))

    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", captured)
    yield counter
    torch._dynamo.reset()


@pytest.mark.parametrize("mask", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_model_of_the_loop_is_one_graph_whatever_the_step(run, pool, held, tmp_path, graphs, mask):
    run(pool, held, tmp_path / "run", steps=6, compile=True, document_mask=mask)
    assert graphs.frame_count == 1


def test_the_terms_of_the_loss_are_one_graph_for_each_shape(graphs):
    terms = loss.compiled_terms()
    for rows in (8, 8, 5, 8):
        ids = torch.zeros((rows, 1), dtype=torch.int64)
        terms(torch.randn(rows, 4), torch.randn(16, 4), ids, None, torch.ones(rows), 0.0, 16)
    assert graphs.frame_count == 2


def test_the_trunk_of_a_fleet_is_one_graph_whatever_the_step(graphs):
    documents = [np.arange(1, 400) % 120]
    pool = TokenPool.from_documents({"a": documents, "b": documents}, {"a": (documents, 900)}, 120)
    settings = FleetSettings(
        n_layers=2, d_model=16, n_heads=2, d_ff=32, seq_len=16, sequences=2, steps=20, device="cpu", compile=True
    )
    order = DataOrder(pool, np.full((3, 2), 0.5), [0] * 3, settings.seq_len, settings.sequences)
    group = Group(pool, order, settings, [1e-3] * 3, None, "cpu")
    group.step()
    first = graphs.frame_count
    for _ in range(5):
        group.step()
    assert first == graphs.frame_count == 2  # the trunk, and the terms of the loss
