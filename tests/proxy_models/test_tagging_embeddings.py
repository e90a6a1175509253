"""From embeddings of a proxy model to mixture units, balancing and conditioning, through the stages that users run."""

import random

import pytest
import torch
from tokenizers import Tokenizer

from gristmill.corpus.store.fate import read_kept
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.engine.stage import run_stage
from gristmill.pipelines.stages.balance.stage import BALANCE, BalanceSettings
from gristmill.pipelines.stages.score.stage import score
from gristmill.pipelines.stages.tag.stage import TagSettings, run_tag
from gristmill.pipelines.stages.tokenize.stage import TokenizeSettings, tokenize
from gristmill.proxy_models.model_files import ProxyModel
from gristmill.proxy_models.scoring.scorers import ScoreSettings
from gristmill.training.data.shards import open_tokens
from gristmill.training.data.tokenizer import token_facts, train_tokenizer
from gristmill.training.transformer import Transformer, TransformerConfig

ONE = RunnerOptions()
KINDS = {
    "law": "The council shall approve section {} of the act. The mayor signs the act into law, as the act says.",
    "chat": "hey did you try sudo apt install foo{} ? it works here lol, thanks a lot man, see you",
}


def text_of(kind, at):
    """A text of its kind, its words in an order of its own: copies of each other would all be held out, or none."""
    words = KINDS[kind].format(at).split()
    return " ".join(random.Random(at).sample(words, len(words)))


@pytest.fixture
def workspace(make_documents):
    kinds = [("law", at) for at in range(20)] + [("chat", at) for at in range(60)]
    made = [
        {"id": f"{(place * 7919 + 13) % 1000003:032x}", "domain": "web", "title": kind, "text": text_of(kind, at)}
        for place, (kind, at) in enumerate(kinds)
    ]
    return make_documents({"a.parquet": made[:50], "b.parquet": made[50:]})


@pytest.fixture
def rds(tmp_path):
    """Settings of `score rds` with a model of ours and a file of what is wanted."""
    tokenizer = train_tokenizer([text.format(at) for text in KINDS.values() for at in range(9)], 400)
    facts = token_facts(tokenizer)
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(1, 32, 2, 2, 48, facts.vocab_size, max_len=64), 0)
    (tmp_path / "model.safetensors").write_bytes(ProxyModel(model, facts.tokenizer).to_bytes())
    (tmp_path / "tokenizer.json").write_text(tokenizer)
    (tmp_path / "wanted.txt").write_text(KINDS["law"].format(7))
    return ScoreSettings(
        method="rds",
        targets=(str(tmp_path / "wanted.txt"),),
        models={"m": str(tmp_path / "model.safetensors")},
        tokenizer=str(tmp_path / "tokenizer.json"),
    )


def test_embeddings_of_a_proxy_become_units_that_are_balanced_and_conditioned_on(workspace, rds):
    score(workspace, rds, ONE, quiet=True)
    settings = TagSettings(clusters=2, vectors="scores/rds:embedding", domain=("cluster", "suffix"))
    run_tag(workspace, settings, ONE, quiet=True)
    units: dict[str, set[str]] = {"law": set(), "chat": set()}
    for shard in ("a.parquet", "b.parquet"):
        for batch in read_kept(workspace, shard, ["id", "title", "domain"]):
            for row in batch.to_pylist():
                units[row["title"]].add(row["domain"])
    assert [len(found) for found in units.values()] == [1, 1]
    (law,), (chat,) = units["law"], units["chat"]
    assert law != chat
    assert chat.endswith(".none")
    run_stage(BALANCE, workspace, BalanceSettings(by="domain", cap=20), ONE, quiet=True)
    tokenize(workspace, TokenizeSettings(metadata="domain", vocab_size=400), ONE, quiet=True)
    words = Tokenizer.from_file(workspace.path("tokenizer", "tokenizer.json"))
    kept = {}
    for unit in (law, chat):
        tokens = open_tokens(workspace, unit)
        prefix = tokens.document(0)[1 : 1 + tokens.metadata_tokens[0]]
        assert words.decode(prefix.tolist()) == f"Topic: {unit}\n\n"
        kept[unit] = tokens.documents
    assert kept[law] >= 15  # all but the held-out ones
    assert kept[chat] < 35  # of 60, thinned to about the cap
