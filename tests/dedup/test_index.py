"""The index for services."""

import builtins

import pytest

from gristmill.corpus.store.errors import MissingExtra, RequestError
from gristmill.dedup.index import SeenIndex
from gristmill.dedup.settings import DedupSettings
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.dedup.stage import deduplicate

from .conftest import edited, name, prose


def test_a_text_that_was_signed_is_seen_and_so_is_an_edited_copy(corpus):
    import random

    rng = random.Random(0)
    texts = [prose(200, rng) for _ in range(20)]
    workspace = corpus([{"text": text} for text in [*texts, ""]])
    deduplicate(workspace, DedupSettings(), RunnerOptions(), quiet=True)
    index = SeenIndex(DedupSettings())
    assert index.fill(workspace) == 20
    assert index.fill(workspace) == 0
    asked = [texts[3], edited(texts[4], 0.01, rng), prose(200, rng), " "]
    assert index.seen(asked) == [[name(3)], [name(4)], [], []]


def test_signatures_made_otherwise_are_refused(corpus):
    workspace = corpus([{"text": "a b c"}])
    deduplicate(workspace, DedupSettings(size=3), RunnerOptions(), quiet=True)
    with pytest.raises(RequestError, match="other settings than the index's"):
        SeenIndex(DedupSettings()).fill(workspace)


def test_a_missing_client_names_the_extra(monkeypatch):
    real = builtins.__import__

    def without(module, *rest):
        if module == "redis":
            raise ImportError(module)
        return real(module, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"gristmill\[redis\]"):
        SeenIndex(DedupSettings(), {"type": "redis", "redis": {"host": "localhost"}})
