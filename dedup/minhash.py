"""MinHash signatures, bands and rows, and the S-curve they promise.

Signatures come from rensa's flat-buffer kernel: permutation i of a shingle hash h is a multiply-shift of the 64-bit
mix of h, drawn from `seed`; a signature is the same on every machine for the same `SIGNATURES` label, which names
rensa's algorithm version and is part of every fingerprint. Bands are cut from the front of the signature, row after
row; rows left over (num_perm > bands x rows) serve estimates only.
"""

from array import array
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from datasketch import MinHashLSH
from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue] (compiled, without types)

from ..corpus.compiling import compiled
from ..corpus.folding import SEED, mix
from ..corpus.store.errors import RequestError, unknown_name

SIGNATURES = f"rensa r{RMinHash.ALGORITHM_VERSION}, splitmix64 of 64-bit shingles"

BLOCK = 256  # documents


@dataclass(frozen=True)
class Preset:
    """What a published pipeline compares, and by how many bands."""

    unit: str
    size: int
    fold: str
    num_perm: int
    bands: int
    rows: int
    threshold: float


# Read from the code that each of them published. Exact here: unit, size, normalisation, number of permutations, bands
# and rows, but for what the last column says. Their hash functions are others, so the same pairs meet with the same
# probability, not in the same buckets. None of them verifies: two documents that share a band are joined, which is
# --no-verify here; with verification (the default) `threshold` is the exact Jaccard that a pair must reach. None of
# them compares documents shorter than a shingle; here such a document is one shingle.
#
#               normalisation                       threshold                       differs
# fineweb       datatrove's simplify_text           its report's aim                spaCy cuts a few words again
# slimpajama    NFC, lower, ASCII punctuation out   what its bands are made for     ftfy mends encodings before it
# redpajama-v2  the same in NFD                     one of its four levels
# nemo          none                                ours: half height of its bands is at 0.79
# redstone      lower                               what its bands are made for     words stand for SentencePiece pieces
PRESETS = {
    "fineweb": Preset("words", 5, "fineweb", 112, 14, 8, 0.75),
    "slimpajama": Preset("characters", 13, "slimpajama", 128, 9, 13, 0.8),
    "redpajama-v2": Preset("words", 13, "redpajama", 128, 9, 13, 0.8),
    "nemo": Preset("characters", 24, "raw", 260, 20, 13, 0.8),
    "redstone": Preset("words", 5, "lower", 256, 17, 15, 0.8),
}


def preset(name: str) -> Preset:
    """The preset of this name; a RequestError that lists what exists otherwise."""
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS, "dedup")
    return PRESETS[name]


@lru_cache(maxsize=64)
def bands_and_rows(threshold: float, num_perm: int, false_negative_weight: float = 0.98) -> tuple[int, int]:
    """Bands and rows that minimise the weighted area of false positives and false negatives (datasketch's search).

    Verification refuses false candidates, so missing a true pair is the error that lasts: hence the default weight.
    Where the search ends in a single band, which datasketch refuses, two bands share the signature.
    """
    if not 0 < threshold < 1:
        raise RequestError(f"a MinHash threshold lies between 0 and 1, got {threshold}")
    try:
        lsh = MinHashLSH(threshold, num_perm, weights=(1 - false_negative_weight, false_negative_weight))
    except ValueError as error:
        if "b < 2" not in str(error):
            raise
        return 2, num_perm // 2
    return lsh.b, lsh.r


def s_curve(jaccard: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """Probability that a pair of this Jaccard coefficient shares a bucket: 1 - (1 - s^rows)^bands."""
    return 1 - (1 - np.asarray(jaccard, float) ** rows) ** bands


def signatures(hashes: np.ndarray, offsets: np.ndarray, num_perm: int, seed: int) -> np.ndarray:
    """MinHash signatures of shingle sets; a document without a shingle has all ones and no band key.

    hashes (H,) uint64, offsets (D+1,) int64 -> (D, num_perm) uint32
    """
    documents = len(offsets) - 1
    if documents == 0:
        return np.zeros((0, num_perm), np.uint32)
    out = np.empty((documents, num_perm), np.uint32)
    places = offsets.astype(np.uint64)
    for start in range(0, documents, BLOCK):  # hashes, and rows that rensa hands over as lists, stay in the cache
        ends = places[start : start + BLOCK + 1]
        part = _mixed(hashes[ends[0] : ends[-1]])
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(part, ends - ends[0], num_perm, seed)
        rows = out[start : start + BLOCK]
        packed = b"".join(array("I", row) for row in matrix.to_rows())  # numpy reads lists at half this speed
        rows[:] = np.frombuffer(packed, np.uint32).reshape(rows.shape)
    return out


@compiled
def _mixed(hashes):  # (H,) uint64 -> (H,) uint64
    out = np.empty(len(hashes), np.uint64)
    for i in range(len(hashes)):
        out[i] = mix(hashes[i])
    return out


@compiled
def band_keys(signature, bands, rows, scope):
    """Bucket of every document in every band: (D, P) uint32, scope (D,) uint64 -> (D, bands) uint64.

    Documents of different scopes never share a bucket, and neither do different bands.
    """
    documents = len(signature)
    keys = np.empty((documents, bands), np.uint64)
    for d in range(documents):
        for b in range(bands):
            h = mix(SEED ^ scope[d] ^ np.uint64(b + 1))
            for r in range(b * rows, (b + 1) * rows):
                h = mix(h ^ np.uint64(signature[d, r]))
            keys[d, b] = h
    return keys
