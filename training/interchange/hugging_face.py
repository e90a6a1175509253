"""A checkpoint as a folder that `transformers` loads as an architecture of its own, with equal logits.

Qwen3 where queries and keys are normalised (QK-norm), Llama where they are not; both are what our transformer computes:
RMSNorm before attention and SwiGLU, rotary positions whose halves pair, grouped queries, no biases. The rows that pad
the vocabulary stay behind. Refuses a checkpoint that does not say its shape, a tokenizer that is not the one it was
trained on, and a folder that is there already.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, processors
from torch import Tensor

from ...corpus.store.errors import RequestError
from .. import checkpoint
from ..data.shards import TokenFacts
from ..data.tokenizer import load_tokenizer, token_facts
from ..transformer import ReadingMode, TransformerConfig

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
EVALUATION = "lm_eval --model hf --model_args pretrained={folder},dtype={dtype},add_bos_token=True --tasks arc_easy"


def export(
    folder: str,
    output: str,
    tokenizer: str,
    dtype: str = "float32",
    bos: str | None = None,
    eos: str | None = None,
) -> dict[str, Any]:
    """Write the checkpoint at `folder` (of a run: the newest) to `output`. Returns its config.json.

    tokenizer  text of the tokenizer.json that the run's tokens were cut by
    dtype      float32, bfloat16 or float16 of the written weights; only float32 gives equal logits
    bos, eos   tokens that start and end a document, where `gristmill tokenize` was told other than the file declares
    """
    if os.path.exists(output):
        raise RequestError(f"{output} is there already; choose another --output, or remove it")
    if dtype not in DTYPES:
        raise RequestError(f"--dtype {dtype}: weights are written as {', '.join(DTYPES)}")
    model, state = checkpoint.load_model(folder)
    facts = token_facts(tokenizer, bos, eos, "the tokenizer")
    expected = state.get("fingerprints", {}).get("tokenizer")
    if expected is not None and expected != hashlib.sha256(tokenizer.encode()).hexdigest():
        raise RequestError(f"{folder} was trained on tokenizer {expected[:12]}…, not on {facts.tokenizer[:12]}…")
    config = model.config
    if facts.vocab_size > config.vocab_size:
        raise RequestError(f"the tokenizer has {facts.vocab_size} tokens and the model only {config.vocab_size}")
    told = config_of(config, facts, dtype)
    weights = {name: tensor.to(DTYPES[dtype]) for name, tensor in renamed(model.state_dict(), config).items()}
    scratch = f"{output.rstrip('/')}.part"
    shutil.rmtree(scratch, ignore_errors=True)
    os.makedirs(scratch)
    save_file(weights, f"{scratch}/model.safetensors", {"format": "pt"})
    ends = {"bos_token_id": facts.bos, "eos_token_id": told["eos_token_id"]}
    for name, content in (
        ("config.json", told),
        ("generation_config.json", ends),
        ("tokenizer_config.json", tokenizer_config(tokenizer, facts, config.max_len)),
    ):
        write(f"{scratch}/{name}", json.dumps(content, indent=2) + "\n")
    write(f"{scratch}/tokenizer.json", with_start(tokenizer, facts))
    write(f"{scratch}/README.md", card(told, state, model.reading, dtype))
    os.rename(scratch, output)
    return told


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)


def config_of(config: TransformerConfig, facts: TokenFacts, dtype: str) -> dict[str, Any]:
    """`config.json`: the names are those of Qwen3Config and LlamaConfig. The base of the rotation stands both as
    transformers 4 and as transformers 5 read it."""
    kind = {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "use_sliding_window": False}
    if not config.qk_norm:
        kind = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "mlp_bias": False}
    return {
        **kind,
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.max_len,
        "rms_norm_eps": 1e-6,
        "rope_theta": config.rope_base,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_base},
        "attention_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": config.tied,
        "bos_token_id": facts.bos,
        "eos_token_id": facts.bos if facts.eos is None else facts.eos,
        "torch_dtype": dtype,
    }


def renamed(weights: Mapping[str, Tensor], config: TransformerConfig) -> dict[str, Tensor]:
    """Our parameters under their names in transformers; what is fused here is apart there."""
    rows, kept = config.head_dim, config.vocab_size
    queries, keys = config.n_heads * rows, config.n_kv_heads * rows
    found = {
        "model.embed_tokens.weight": weights["embed.weight"][:kept],
        "model.norm.weight": weights["final_norm.weight"],
    }
    if not config.tied:
        found["lm_head.weight"] = weights["head.weight"][:kept]
    for number in range(config.n_layers):
        ours, theirs = f"blocks.{number}", f"model.layers.{number}"
        parts = weights[f"{ours}.qkv.weight"].split((queries, keys, keys))
        for name, part in zip(("q_proj", "k_proj", "v_proj"), parts, strict=True):
            found[f"{theirs}.self_attn.{name}.weight"] = part
        gate, up = weights[f"{ours}.gate_up.weight"].chunk(2)
        found |= {f"{theirs}.mlp.gate_proj.weight": gate, f"{theirs}.mlp.up_proj.weight": up}
        same = {
            "attention_norm": "input_layernorm",
            "ffn_norm": "post_attention_layernorm",
            "attention_out": "self_attn.o_proj",
            "down": "mlp.down_proj",
        } | ({"q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm"} if config.qk_norm else {})
        found |= {f"{theirs}.{name}.weight": weights[f"{ours}.{own}.weight"] for own, name in same.items()}
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in found.items()}


def with_start(tokenizer: str, facts: TokenFacts) -> str:
    """The tokenizer.json with a post-processor that puts the start token before a text, where none of its own does:
    transformers takes from there what a text begins with."""
    known = Tokenizer.from_str(tokenizer)
    if known.encode("a").ids[:1] == [facts.bos]:
        return tokenizer
    start = known.id_to_token(facts.bos)
    step = processors.TemplateProcessing(
        single=[start, "$A"], pair=[start, "$A", "$B:1"], special_tokens=[(start, facts.bos)]
    )
    own = known.post_processor
    known.post_processor = step if own is None else processors.Sequence([own, step])  # type: ignore[assignment]
    return known.to_str(pretty=False)


def tokenizer_config(tokenizer: str, facts: TokenFacts, max_len: int) -> dict[str, Any]:
    """`tokenizer_config.json`: the fast tokenizer as it stands in its file, and the tokens around a document."""
    known = load_tokenizer(tokenizer)
    start, end = known.id_to_token(facts.bos), known.id_to_token(facts.bos if facts.eos is None else facts.eos)
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": start,
        "eos_token": end,
        "add_bos_token": True,
        "model_max_length": max_len,
        "clean_up_tokenization_spaces": False,
    }


def card(told: Mapping[str, Any], state: Mapping[str, Any], reading: ReadingMode, dtype: str) -> str:
    """`README.md` of the model: what it is, what of its reading its weights do not show, how it is evaluated."""
    lines = [
        "---", "library_name: transformers", "tags: [gristmill]", "---", "",
        f"# {told['architectures'][0]} of step {state['step']:,}", "",
        f"{told['num_hidden_layers']} layers of width {told['hidden_size']}, {told['vocab_size']:,} tokens of "
        f"vocabulary, rows of {told['max_position_embeddings']:,} tokens, weights as {dtype}.", "",
        "Every document of its training began with the token that starts one; evaluate it with that token:", "",
        f"    {EVALUATION.format(folder='.', dtype=dtype)}", "",
    ]  # fmt: skip
    if reading.document_mask:
        lines += ["While it trained, attention stayed within documents: give it one document a row.", ""]
    if reading.metadata:
        lines += ["Its documents began with a prefix of metadata (URL or domain); texts without one read as less"]
        lines += ["familiar than they are.", ""]
    return "\n".join(lines)
