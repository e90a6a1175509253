"""The ladder compares the order of mixtures at one size with their order at the next."""

import hashlib
import random

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from gristmill.corpus.store.errors import RequestError
from gristmill.pipelines.cli import load_command
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.engine.stage import run_stage
from gristmill.pipelines.stages.mix.ladder import LADDER, LadderSettings, ladder
from gristmill.pipelines.stages.tokenize.stage import TokenizeSettings, tokenize
from gristmill.proxy_models.fleets.ladder import agreement, rungs

torch.set_num_threads(1)
TEXTS = {"law": "the council shall approve the act ", "chat": "hey try sudo apt install foo lol "}
TINY = {"n_layers": 1, "n_heads": 2, "seq_len": 16, "sequences": 2, "steps": 4, "warmup": 1, "evaluations": 2}
SETTINGS = LadderSettings(
    mixtures=4, replicates=1, proxy=TINY, sizes={"d8": {"d_model": 8}, "d16": {"d_model": 16}}, wave=3
)


@pytest.fixture
def workspace(make_documents):
    rows = [
        {
            "id": hashlib.blake2b(f"{domain}{i}".encode(), digest_size=16).hexdigest(),
            "domain": domain,
            "text": " ".join(random.Random(f"{domain}{i}").choices(text.split(), k=60)),
        }
        for domain, text in TEXTS.items()
        for i in range(20)
    ]
    made = make_documents({"0.parquet": sorted(rows, key=lambda row: row["id"])})
    tokenize(made, TokenizeSettings(vocab_size=300, heldout=0.2), RunnerOptions(), quiet=True)
    return made


def test_agreement_is_counted_over_pairs_of_mixtures():
    ranks, same = agreement(np.array([[1.0], [2.0], [3.0]]), np.array([[5.0], [7.0], [6.0]]))
    assert ranks.tolist() == [pytest.approx(0.5)]
    assert same.tolist() == [pytest.approx(2 / 3)]


def test_sizes_are_compared_on_mixtures_that_lived_at_both():
    a = {name: np.array([value, -3 * value]) for name, value in zip("wxyz", (1.0, 2.0, 3.0, 9.0), strict=True)}
    b = {name: a[name] * 2 for name in "wxy"}
    c = {name: -a[name] for name in "wxy"}
    found = rungs({"a": a, "b": b, "c": c}, ["s", "t"])
    assert [(rung["small"], rung["large"], rung["mixtures"]) for rung in found] == [("a", "b", 3), ("b", "c", 3),
                                                                                    ("a", "c", 3)]  # fmt: skip
    assert found[0]["targets"]["t"] == {"spearman": pytest.approx(1.0), "pairwise": 1.0}
    assert found[1]["targets"]["s"] == {"spearman": pytest.approx(-1.0), "pairwise": 0.0}
    with pytest.raises(RequestError, match="2 mixtures lived at a and at b; a comparison needs three"):
        rungs({"a": a, "b": {name: a[name] for name in "wx"}}, ["s", "t"])


def test_every_size_trains_the_same_mixtures_and_the_second_run_trains_nothing(workspace):
    details = run_stage(ladder, workspace, SETTINGS, RunnerOptions(), quiet=True)["details"]
    (rung,) = details["rungs"]
    assert (rung["small"], rung["large"], rung["mixtures"]) == ("d8", "d16", 4)
    assert set(rung["targets"]) == set(TEXTS)
    assert all(deviation > 0 for by in details["noise"].values() for deviation in by.values())
    shards = workspace.table(LADDER).finished("test").shards
    assert [shard.name for shard in shards] == [f"ladder-{s}-000{n}.parquet" for s in ("d16", "d8") for n in (0, 1)]
    assert run_stage(ladder, workspace, SETTINGS, RunnerOptions(), quiet=True)["skipped"]
    wider = SETTINGS.model_copy(update={"sizes": SETTINGS.sizes | {"d24": {"d_model": 24}}})
    run_stage(ladder, workspace, wider, RunnerOptions(), force=True, quiet=True)
    again = {shard.name: shard.checksum for shard in workspace.table(LADDER).finished("test").shards}
    assert all(again[shard.name] == shard.checksum for shard in shards)


def test_the_command_says_how_far_the_order_carries_over(workspace):
    asked = ["--widths", "8,16", "--mixtures", "3", "--steps", "2", "--replicates", "0"]
    told = CliRunner().invoke(load_command("mix"), ["ladder", "--workspace", workspace.url, *asked])
    assert told.exit_code == 0, told.output
    assert "d8 to d16: Spearman" in told.output


def test_one_size_is_no_ladder():
    with pytest.raises(ValueError, match="a ladder needs two at least"):
        LadderSettings(sizes={"d8": {"d_model": 8}})
