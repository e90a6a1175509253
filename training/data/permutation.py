"""Permutations of [0, n) that are computed, not stored: a Feistel network with cycle walking.

`permute(i, n, key)` costs tens of nanoseconds and no memory for any n below 2^62; equal keys give equal permutations on
every machine. Keys come from `key_of`, which hashes whatever the order should depend on. For shuffling, not secrecy.
"""

# numba finds the types of compiled functions itself
# pyright: reportMissingParameterType=false

import hashlib
from functools import partial

import numpy as np

from ...corpus.compiling import compiled

ROUNDS = 6


def key_of(*parts: object) -> np.uint64:
    """A 64-bit key from the text of the parts. (seed 1, epoch 0) and (seed 0, epoch 1) have nothing in common."""
    text = "\x1f".join(map(str, parts))
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big"))


@partial(compiled, inline="always")
def mix(x):  # uint64 -> uint64, the finaliser of splitmix64
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@compiled
def derive(key, number):  # a key for each number (an epoch, a block) under a key
    return mix(np.uint64(key) + np.uint64(0x9E3779B97F4A7C15) * (np.uint64(number) + np.uint64(1)))


@partial(compiled, inline="always")
def half_bits(n):  # int64 -> uint64: the fewest bits of which twice as many count to n, at least one
    half = np.uint64(1)
    while (np.uint64(1) << (half + half)) < np.uint64(n):
        half += np.uint64(1)
    return half


@compiled
def permute(i, n, key):  # int64 in [0, n), int64, uint64 -> int64 in [0, n)
    if n <= 1:
        return np.int64(0)
    half = half_bits(n)
    low = (np.uint64(1) << half) - np.uint64(1)
    x = np.uint64(i)
    while True:
        left, right = x >> half, x & low
        for r in range(ROUNDS):
            left, right = right, left ^ (mix(right ^ derive(key, r)) & low)
        x = (left << half) | right
        if x < np.uint64(n):  # outside: walk on; the walk is a cycle, so it comes back
            return np.int64(x)


@compiled
def unpermute(i, n, key):  # what permute undoes: unpermute(permute(i, n, key), n, key) == i
    if n <= 1:
        return np.int64(0)
    half = half_bits(n)
    low = (np.uint64(1) << half) - np.uint64(1)
    x = np.uint64(i)
    while True:
        left, right = x >> half, x & low
        for r in range(ROUNDS):
            left, right = right ^ (mix(left ^ derive(key, ROUNDS - 1 - r)) & low), left
        x = (left << half) | right
        if x < np.uint64(n):
            return np.int64(x)


@compiled
def permute_all(n, key):  # the whole permutation, for tests and small tables
    out = np.empty(n, np.int64)
    for i in range(n):
        out[i] = permute(i, n, key)
    return out
