"""The tokenizer: byte-level BPE trained on a sample of the corpus, or any `tokenizer.json`.

Training is deterministic: the sample is sorted, and merges of equal count are broken by token id. Text never becomes a
special token: a document that contains the characters of `<|bos|>` is encoded as ordinary text. A file's own
truncation, padding and merge dropout are left out: a document is all of its tokens, the same ones each time.
Refuses a tokenizer file in which no token can start a document.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ...corpus.store.errors import RequestError
from .shards import TokenFacts

BOS, EOS = "<|bos|>", "<|eos|>"
STARTS = (BOS, "<|begin_of_text|>", "<|startoftext|>", "<s>", "<bos>", "<|endoftext|>")
ENDS = (EOS, "<|end_of_text|>", "</s>", "<eos>", "<|endoftext|>")


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> str:
    """Byte-level BPE with `vocab_size` entries, as the text of a `tokenizer.json`. The order of texts is irrelevant."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if vocab_size < len(alphabet) + 2:
        raise RequestError(f"vocab_size {vocab_size} is less than the 256 bytes and two special tokens")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[BOS, EOS], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(sorted(texts), trainer)
    return tokenizer.to_str(pretty=False)


def load_tokenizer(text: str, where: str = "tokenizer") -> Tokenizer:
    """A tokenizer from the text of its file, set to treat the names of special tokens in a document as text."""
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the library raises bare Exception for any malformed file
        raise RequestError(f"{where} is not a tokenizer.json: {error}") from error
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if getattr(
        tokenizer.model, "dropout", None
    ):  # merges left out at random are for training it: equal texts, equal tokens
        tokenizer.model.dropout = None  # type: ignore[attr-defined]
    return tokenizer


def token_facts(text: str, bos: str | None = None, eos: str | None = None, where: str = "tokenizer") -> TokenFacts:
    """Hash, vocabulary and the tokens that start and end a document; `bos` and `eos` override what the file declares.

    They are those that its post-processor puts around a text, else of the customary names the first that is declared
    special: a plain token of such a name, which HTML or a listing may hold, starts nothing.
    """
    tokenizer = load_tokenizer(text, where)
    starts, ends = _declared(text)
    start = _named(tokenizer, (bos,) if bos else starts, where, "bos")
    end = _named(tokenizer, (eos,) if eos else ends, where, "eos") if eos or _known(tokenizer, ends) else start
    vocab = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    return TokenFacts(hashlib.sha256(text.encode()).hexdigest(), vocab, start, None if end == start else end)


def _declared(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(names that may start a document, names that may end one), the best first, all of them special."""
    content = json.loads(text)
    special = {token["content"] for token in content.get("added_tokens") or () if token.get("special")}
    around: list[list[str]] = [[], []]
    step = content.get("post_processor") or {}
    for one in step.get("processors") or [step]:
        names = [next(iter(part.values())).get("id") for part in one.get("single") or () if isinstance(part, dict)]
        kinds = [next(iter(part)) for part in one.get("single") or () if isinstance(part, dict)]
        if kinds and kinds[0] == "SpecialToken":
            around[0].append(names[0])
        if kinds and kinds[-1] == "SpecialToken":
            around[1].append(names[-1])
    known = (around[0] + [name for name in STARTS if name in special], around[1] + [n for n in ENDS if n in special])
    return tuple(known[0]), tuple(known[1])


def _known(tokenizer: Tokenizer, names: Sequence[str]) -> list[int]:
    ids = [tokenizer.token_to_id(name) for name in names]
    return [found for found in ids if found is not None]


def _named(tokenizer: Tokenizer, names: Sequence[str], where: str, option: str) -> int:
    found = _known(tokenizer, names)
    if not found:
        sought = " or ".join(names) or "that it declares special has a customary name"
        raise RequestError(f"{where}: no token {sought}; name the one to use with --{option}")
    return found[0]


def encode(tokenizer: Tokenizer, facts: TokenFacts, texts: Sequence[str], prefixes: Sequence[str]) -> list[np.ndarray]:
    """BOS, prefix, text, EOS of each document. Prefix and text are encoded apart, so the boundary is a token boundary.

    Returns arrays of `facts.dtype`; prefix lengths are those of `encode_prefixes`.
    """
    bodies = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    heads = encode_prefixes(tokenizer, prefixes)
    tail = [] if facts.eos is None else [facts.eos]
    return [
        np.array([facts.bos, *head, *body.ids, *tail], facts.dtype) for head, body in zip(heads, bodies, strict=True)
    ]


def encode_prefixes(tokenizer: Tokenizer, prefixes: Sequence[str]) -> list[list[int]]:
    """Token ids of each prefix; equal prefixes are encoded once."""
    known: dict[str, list[int]] = {"": []}
    for prefix in set(prefixes) - {""}:
        known[prefix] = tokenizer.encode(prefix, add_special_tokens=False).ids
    return [known[prefix] for prefix in prefixes]


def decode(tokenizer: Tokenizer, tokens: Any) -> str:
    """Text of token ids, special tokens left out."""
    return tokenizer.decode([int(token) for token in tokens], skip_special_tokens=True)
