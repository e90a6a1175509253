"""A checkpoint in the format of transformers computes what it computes here."""

import pytest
import torch

from gristmill.corpus.store.errors import RequestError
from gristmill.training import checkpoint
from gristmill.training.data.tokenizer import token_facts, train_tokenizer
from gristmill.training.interchange.hugging_face import export
from gristmill.training.transformer import Transformer, TransformerConfig

transformers = pytest.importorskip("transformers")
TEXT = "the mill grinds slowly but it grinds exceedingly small "
SHAPES = {
    "qk-norm, grouped": {"n_heads": 4, "n_kv_heads": 2, "qk_norm": True},
    "no norm": {"n_heads": 4, "n_kv_heads": 4, "qk_norm": False},
    "no norm, one key, tied": {"n_heads": 4, "n_kv_heads": 1, "qk_norm": False, "tied": True},
    "tied, another base": {"n_heads": 2, "n_kv_heads": 2, "qk_norm": True, "tied": True, "rope_base": 500_000.0},
}


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([TEXT * 20], 300)


def trained(folder, tokenizer, **shape):
    """A checkpoint whose every weight matters: a fresh one would pass the stream through unchanged."""
    facts = token_facts(tokenizer)
    model = Transformer(
        TransformerConfig(n_layers=2, d_model=32, d_ff=48, vocab_size=facts.vocab_size, max_len=64, **shape)
    )
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    state = {"step": 3, "config": vars(model.config), "fingerprints": {"tokenizer": facts.tokenizer}}
    checkpoint.save(str(folder), model.state_dict(), {}, state)
    return model


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_transformers_computes_the_logits_of_the_run(tmp_path, tokenizer, shape):
    model = trained(tmp_path / "run", tokenizer, **shape)
    export(str(tmp_path / "run"), str(tmp_path / "out"), tokenizer)
    loaded, told = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert type(loaded).__name__ == ("Qwen3ForCausalLM" if shape["qk_norm"] else "LlamaForCausalLM")
    ids = torch.randint(0, model.config.vocab_size, (3, 64), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        theirs, ours = loaded.eval()(ids).logits, model.logits(ids)
    assert theirs.shape == ours.shape
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)
    assert ours.std() > 0.5


def test_its_tokenizer_cuts_as_the_run_did_and_starts_a_document(tmp_path, tokenizer):
    trained(tmp_path / "run", tokenizer, n_heads=4, n_kv_heads=4)
    export(str(tmp_path / "run"), str(tmp_path / "out"), tokenizer)
    loaded, facts = transformers.AutoTokenizer.from_pretrained(tmp_path / "out"), token_facts(tokenizer)
    assert (loaded.bos_token_id, loaded.eos_token_id) == (facts.bos, facts.eos)
    ids = loaded(TEXT, add_special_tokens=False)["input_ids"]
    assert loaded.decode(ids) == TEXT
    assert len(ids) < len(TEXT)
    assert loaded(TEXT)["input_ids"] == [facts.bos, *ids]


def test_half_precision_is_what_it_says(tmp_path, tokenizer):
    trained(tmp_path / "run", tokenizer, n_heads=4, n_kv_heads=4)
    export(str(tmp_path / "run"), str(tmp_path / "out"), tokenizer, dtype="bfloat16")
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto")
    assert loaded.dtype == torch.bfloat16


def test_another_tokenizer_a_folder_that_is_there_and_an_unknown_precision_are_refused(tmp_path, tokenizer):
    trained(tmp_path / "run", tokenizer, n_heads=4, n_kv_heads=4)
    other = train_tokenizer(["something else altogether " * 30], 290)
    with pytest.raises(RequestError, match="was trained on tokenizer"):
        export(str(tmp_path / "run"), str(tmp_path / "out"), other)
    with pytest.raises(RequestError, match="is there already"):
        export(str(tmp_path / "run"), str(tmp_path), tokenizer)
    with pytest.raises(RequestError, match="float32, bfloat16, float16"):
        export(str(tmp_path / "run"), str(tmp_path / "out"), tokenizer, dtype="int8")
    assert not (tmp_path / "out").exists()


def test_the_card_says_how_the_model_read(tmp_path, tokenizer):
    trained(tmp_path / "run", tokenizer, n_heads=4, n_kv_heads=4)
    model, optimiser, state = checkpoint.load(str(tmp_path / "run"))
    reading = {"document_mask": True, "metadata": True}
    checkpoint.save(str(tmp_path / "run"), model, optimiser, {**state, "reading": reading})
    export(str(tmp_path / "run"), str(tmp_path / "out"), tokenizer)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "attention stayed within documents" in card
    assert "prefix of metadata" in card
    assert "lm_eval --model hf --model_args pretrained=" in card
