"""A small pool of domains that a tiny model can learn something from."""

import numpy as np
import pytest
import torch

from gristmill.training.data.loader import Loader, Phase
from gristmill.training.data.shards import TokenDomain, TokenFacts
from gristmill.training.loop import pretrain
from gristmill.training.loop_settings import LoopSettings
from gristmill.training.transformer import Transformer, TransformerConfig

FACTS = TokenFacts("tokenizer", 64, 0, 1)


def counting(name, stride, documents, seed, split="train"):
    """Documents that count in steps of `stride`: each domain is a rule of its own, learnt in a few hundred steps."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(documents):
        length = int(generator.integers(10, 60))
        body = 2 + (int(generator.integers(0, 62)) + stride * np.arange(length)) % 62
        made.append(np.array([0, *body, 1], np.uint16))
    return TokenDomain.from_documents(name, made, FACTS, [3 * (len(d) - 2) for d in made], split=split)


@pytest.fixture(scope="session")
def pool():
    return {
        "ones": counting("ones", 1, 120, 0),
        "twos": counting("twos", 2, 60, 1),
        "threes": counting("threes", 3, 200, 2),
    }


@pytest.fixture(scope="session")
def held():
    from gristmill.training.evaluation import held_out_rows

    domains = {
        name: counting(name, stride, 12, 9, "heldout") for name, stride in (("ones", 1), ("twos", 2), ("threes", 3))
    }
    return {name: held_out_rows(domain, 32) for name, domain in domains.items()}


CONFIG = TransformerConfig(2, 32, 2, 2, 64, vocab_size=64, max_len=32)
FAST = {"device": "cpu", "compile": False, "checkpoint_every": 10, "log_every": 5}


def run(pool, held, folder, steps=40, model=None, probe=None, sampler=None, **settings):
    loader = Loader(pool, [Phase(1.0, {"ones": 2, "twos": 1, "threes": 1}, 32)], steps * 256, 256, seed=1)
    model = model or Transformer(CONFIG, seed=1)
    asked = LoopSettings(**(FAST | settings))
    return model, pretrain(model, loader, asked, str(folder), held, probe=probe, sampler=sampler)


@pytest.fixture(name="run", scope="session")
def run_fixture():
    """The function above, for tests that cannot import this file."""
    return run


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
