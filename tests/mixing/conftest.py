"""A small finished workspace: three domains whose documents differ in length, tokenized for real."""

import hashlib
import random

import pytest

from gristmill.corpus.store import schema
from gristmill.corpus.store.made import put_table
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.tokenize.stage import TokenizeSettings, tokenize

WORDS = {
    "long": (400, "alpha beta gamma delta"),
    "middle": (120, "one two three four"),
    "short": (40, "red green blue"),
}


@pytest.fixture(scope="session")
def workspace(tmp_path_factory) -> Workspace:
    made = Workspace(str(tmp_path_factory.mktemp("mixing") / "W"))
    made.create()
    draw = random.Random(0)
    shards = {}
    for part in range(2):
        name = f"part-{part}.parquet"
        rows = []
        for domain, (length, words) in WORDS.items():
            for number in range(48_000 // length // 2):
                id = hashlib.md5(f"{domain}{part}{number}".encode()).hexdigest()
                text = " ".join(draw.choice(words.split()) for _ in range(length))
                rows.append({"id": id, "text": text, "url": f"http://x/{id}", "source": "s", "domain": domain})
        shards[name] = rows
    put_table(made, "documents", schema.DOCUMENTS, shards, stage="extract")
    tokenize(made, TokenizeSettings(vocab_size=300, heldout=0.1), RunnerOptions(), quiet=True)
    return made


@pytest.fixture(scope="session")
def facts(workspace):
    from gristmill.mixing.proxies import domain_facts

    return domain_facts(workspace, ["long", "middle", "short"])
