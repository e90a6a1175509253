"""What a tokenizer loses: characters of a text that its tokens do not give back, in UTF-8 bytes.

A vocabulary without a character drops it or writes its unknown token, a normaliser folds letters: such text costs no
bits, and bits per byte would be too low by it. Byte-level tokenizers without a normaliser lose nothing by
construction and are not tried. Refuses a tokenizer that loses more than `MOST` of any domain.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from tokenizers import Tokenizer, pre_tokenizers

from ...corpus.store.errors import RequestError

MOST = 0.01  # of a domain's bytes


REMOVE = {
    "Whitespace",
    "WhitespaceSplit",
    "CharDelimiterSplit",
    "BertPreTokenizer",
    "Metaspace",
}  # or change characters


def lossless(text: str) -> bool:
    """Whether the tokenizer of this `tokenizer.json` gives every text back by construction: bytes are its alphabet, all
    of them are in its vocabulary and merged, never looked up as words; nothing is normalised or removed before, and no
    added token takes white space beside it."""
    told = json.loads(text)
    model = told.get("model", {})
    if model.get("type", "BPE") != "BPE" or model.get("end_of_word_suffix") or model.get("continuing_subword_prefix"):
        return False
    if any(token.get("lstrip") or token.get("rstrip") for token in told.get("added_tokens") or ()):
        return False
    before = told.get("pre_tokenizer") or {}
    steps = before.get("pretokenizers", [before])
    kinds = {step.get("type") for step in steps}
    if "ByteLevel" not in kinds or kinds & REMOVE or told.get("normalizer"):
        return False
    if any(step.get("behavior") == "Removed" for step in steps):
        return False
    vocabulary = model.get("vocab", {})
    return isinstance(vocabulary, dict) and set(pre_tokenizers.ByteLevel.alphabet()) <= vocabulary.keys()


def measure_of(text: str, tokenizer: Tokenizer) -> Callable[[Sequence[str], Sequence[np.ndarray]], list[int]]:
    """(texts, tokens of each text alone) -> bytes of each that are lost, for the tokenizer of this `tokenizer.json`."""
    if lossless(text):
        return lambda texts, tokens: [0] * len(texts)
    unknown = json.loads(text).get("model", {}).get("unk_token")
    silent = tokenizer.token_to_id(unknown) if isinstance(unknown, str) else None

    def lost(texts: Sequence[str], tokens: Sequence[np.ndarray]) -> list[int]:
        kept = tokenizer.decode_batch(
            [[int(t) for t in own if t != silent] for own in tokens], skip_special_tokens=True
        )
        return [lost_bytes(before, after) for before, after in zip(texts, kept, strict=True)]

    return lost


def lost_bytes(before: str, after: str) -> int:
    """UTF-8 bytes of the characters that `before` has and `after` lacks, however they are ordered."""
    if before == after:
        return 0
    return sum(len(character.encode()) * count for character, count in (Counter(before) - Counter(after)).items())


def check_round_trip(text: str, tokenizer: Tokenizer, samples: Mapping[str, Sequence[str]], where: str) -> None:
    """Refuse a tokenizer that loses text of a domain, or of a target. samples: its name -> some of its texts."""
    measure, lossy = measure_of(text, tokenizer), []
    for domain, texts in sorted(samples.items()):
        encoded = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        lost = sum(measure(texts, [np.array(own.ids, np.int64) for own in encoded]))
        share = lost / max(1, sum(len(one.encode()) for one in texts))
        if share > MOST:
            lossy.append(f"{share:.1%} of {domain}")
    if lossy:
        raise RequestError(
            f"{where} loses text: its tokens do not give back {', '.join(lossy)} (measured on a sample), which "
            f"would cost a model nothing; use a tokenizer whose vocabulary has all bytes, or leave --tokenizer out"
        )
