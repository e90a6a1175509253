"""Shared by all tests: no deadline per example, because first calls compile; a model that costs nothing to run."""

import pytest
from hypothesis import settings

settings.register_profile("gristmill", deadline=None, max_examples=60, derandomize=True)  # the same examples every time
settings.register_profile("explore", deadline=None, max_examples=200)  # --hypothesis-profile explore: fresh ones
settings.load_profile("gristmill")


@pytest.fixture
def tiny_model(tmp_path) -> str:
    """A proxy model of random weights on disk, its tokenizer beside it."""
    from gristmill.proxy_models.model_files import ProxyModel
    from gristmill.training.data.tokenizer import token_facts, train_tokenizer
    from gristmill.training.transformer import Transformer, TransformerConfig

    tokenizer = train_tokenizer(["the cat sat on a mat", "tax law and red wine"], 270)
    facts = token_facts(tokenizer)
    transformer = Transformer(TransformerConfig(1, 16, 2, 2, 24, facts.vocab_size, max_len=64), 0)
    (tmp_path / "tokenizer.json").write_text(tokenizer)
    (tmp_path / "model.safetensors").write_bytes(ProxyModel(transformer, facts.tokenizer).to_bytes())
    return str(tmp_path / "model.safetensors")
