"""Token shards in the byte layouts that trainers memory-map. Documents in, files out; nothing is shuffled here.

Megatron `.bin/.idx`, OLMo-core raw `.npy` (no NumPy header, despite the name), datatrove and nanotron `.ds`, nanoGPT
and modded-nanogpt `.bin`, MosaicML MDS, litdata chunks. Refuses a vocabulary that the layout's width cannot hold.
"""

import json
import os
import struct
from collections.abc import Iterable, Sequence

import numpy as np

from ...corpus.store.errors import RequestError
from ...corpus.store.shards import replacing

MEGATRON_CODES = {np.dtype(np.uint16): 8, np.dtype(np.int32): 4}
MEGATRON_UINT16 = 65_500  # Megatron's own limit for two bytes
MODDED_MAGIC, MODDED_VERSION = 20240520, 1


def write_megatron(prefix: str, documents: Iterable[np.ndarray], vocab_size: int) -> tuple[int, int]:
    """`prefix`.bin and .idx, one sequence per document. Returns documents and tokens."""
    dtype = np.dtype(np.uint16 if vocab_size < MEGATRON_UINT16 else np.int32)
    lengths: list[int] = []
    with replacing(prefix + ".bin") as scratch, open(scratch, "wb") as file:
        for document in documents:
            file.write(np.asarray(document).astype(dtype).tobytes())
            lengths.append(len(document))
    sizes = np.array(lengths, np.int32)
    pointers = np.zeros(len(sizes), np.int64)
    np.cumsum(sizes[:-1].astype(np.int64) * dtype.itemsize, out=pointers[1:])
    with replacing(prefix + ".idx") as scratch, open(scratch, "wb") as file:
        file.write(b"MMIDIDX\x00\x00" + struct.pack("<QB", 1, MEGATRON_CODES[dtype]))
        file.write(struct.pack("<QQ", len(sizes), len(sizes) + 1))
        file.write(sizes.tobytes() + pointers.tobytes() + np.arange(len(sizes) + 1, dtype=np.int64).tobytes())
    return len(sizes), int(sizes.sum())


def write_raw(path: str, documents: Iterable[np.ndarray], dtype: np.dtype, end: int | None = None) -> int:
    """Tokens end to end; `end` is put after documents that do not end with it. Returns the tokens written."""
    written = 0
    with replacing(path) as scratch, open(scratch, "wb") as file:
        for document in documents:
            tokens = np.asarray(document).astype(dtype)
            if end is not None and (not len(tokens) or tokens[-1] != end):
                tokens = np.append(tokens, dtype.type(end))
            file.write(tokens.tobytes())
            written += len(tokens)
    return written


def write_ds(path: str, documents: Iterable[np.ndarray], dtype: np.dtype, tokenizer: str) -> int:
    """datatrove's `.ds`, `.ds.index` (ends of documents, uint64) and `.ds.metadata`. Returns the tokens."""
    ends: list[int] = []
    total = 0
    with replacing(path) as scratch, open(scratch, "wb") as file:
        for document in documents:
            file.write(np.asarray(document).astype(dtype).tobytes())
            total += len(document)
            ends.append(total)
    with replacing(path + ".index") as scratch, open(scratch, "wb") as file:
        file.write(np.array(ends, "<u8").tobytes())
    with replacing(path + ".metadata") as scratch, open(scratch, "w", encoding="utf-8") as file:
        file.write(f"{tokenizer}|{dtype.itemsize}\n{total}\n{total / 1e6:.2f}M")
    return total


def write_nanogpt(path: str, stream: Iterable[np.ndarray], vocab_size: int) -> int:
    """nanoGPT's `train.bin`: uint16 tokens and nothing else."""
    _two_bytes(vocab_size, "nanoGPT")
    return write_raw(path, stream, np.dtype("<u2"))


def write_modded(path: str, tokens: np.ndarray, vocab_size: int) -> int:
    """modded-nanogpt's and llm.c's `.bin`: 256 int32 of header (magic, version, tokens), then uint16 tokens."""
    _two_bytes(vocab_size, "modded-nanogpt")
    header = np.zeros(256, "<i4")
    header[:3] = MODDED_MAGIC, MODDED_VERSION, len(tokens)
    with replacing(path) as scratch, open(scratch, "wb") as file:
        file.write(header.tobytes() + np.asarray(tokens).astype("<u2").tobytes())
    return len(tokens)


def _two_bytes(vocab_size: int, trainer: str) -> None:
    if vocab_size > 1 << 16:
        raise RequestError(f"{trainer} stores tokens in two bytes and the vocabulary has {vocab_size}")


def write_mds(folder: str, rows: Iterable[np.ndarray], dtype: np.dtype, shard_bytes: int = 64 << 20) -> int:
    """A MosaicML MDS folder with one column `tokens` (`ndarray:<dtype>`), one row per sample. Returns the samples."""
    kind = f"ndarray:{dtype.name}"
    config = {
        "column_encodings": [kind],
        "column_names": ["tokens"],
        "column_sizes": [None],
        "compression": None,
        "format": "mds",
        "hashes": [],
        "size_limit": shard_bytes,
        "version": 2,
    }
    packed = json.dumps({key: config[key] for key in sorted(config)}, sort_keys=True).encode()
    shards: list[dict] = []
    pending: list[bytes] = []
    size = samples = 0

    def flush() -> None:
        name = f"shard.{len(shards):05d}.mds"
        count = len(pending)
        begin = 4 + 4 * (count + 1) + len(packed)
        offsets = begin + np.concatenate([[0], np.cumsum([len(body) for body in pending])])
        data = np.uint32(count).tobytes() + offsets.astype("<u4").tobytes() + packed + b"".join(pending)
        with replacing(os.path.join(folder, name)) as scratch, open(scratch, "wb") as file:
            file.write(data)
        raw = {"basename": name, "bytes": len(data), "hashes": {}}
        shards.append({**config, "raw_data": raw, "samples": count, "zip_data": None})

    for row in rows:
        body = np.asarray(row).astype(dtype)
        # an ndarray of known type and unknown shape: one byte that packs the width and number of dimensions, the shape
        encoded = _mds_shape(body.shape) + body.tobytes()
        pending.append(np.uint32(len(encoded)).tobytes() + encoded)
        size += len(pending[-1])
        samples += 1
        if size >= shard_bytes:
            flush()
            pending, size = [], 0
    if pending or not shards:
        flush()
    with replacing(os.path.join(folder, "index.json")) as scratch, open(scratch, "w", encoding="utf-8") as file:
        file.write(json.dumps({"shards": shards, "version": 2}, sort_keys=True))
    return samples


def _mds_shape(shape: Sequence[int]) -> bytes:
    """MDS's prefix of an array: 4 * dimensions + log2(bytes per extent), then the extents at that width."""
    largest = max(shape, default=0)
    width = next(k for k, kind in enumerate((np.uint8, np.uint16, np.uint32)) if largest <= np.iinfo(kind).max)
    kind = (np.uint8, np.uint16, np.uint32)[width]
    return bytes([(len(shape) << 2) | width]) + np.array(shape, kind).tobytes()


LITDATA_CODES = {np.dtype(np.uint16): "no_header_numpy:5", np.dtype(np.uint32): "no_header_numpy:6"}


def write_litdata(folder: str, blocks: Iterable[np.ndarray], dtype: np.dtype, chunk_bytes: int = 64 << 20) -> int:
    """A litdata folder of token chunks for its TokensLoader. Returns the tokens."""
    chunks: list[dict] = []
    pending: list[bytes] = []
    size = total = 0

    def flush() -> None:
        name = f"chunk-0-{len(chunks)}.bin"
        count = len(pending)
        begin = 4 + 4 * (count + 1)
        offsets = begin + np.concatenate([[0], np.cumsum([len(body) for body in pending])])
        data = np.uint32(count).tobytes() + offsets.astype("<u4").tobytes() + b"".join(pending)
        with replacing(os.path.join(folder, name)) as scratch, open(scratch, "wb") as file:
            file.write(data)
        tokens = sum(len(body) for body in pending) // dtype.itemsize
        chunks.append({"chunk_bytes": len(data), "chunk_size": count, "dim": tokens, "filename": name})

    for block in blocks:
        pending.append(np.asarray(block).astype(dtype).tobytes())
        size += len(pending[-1])
        total += len(block)
        if size >= chunk_bytes:
            flush()
            pending, size = [], 0
    if pending:
        flush()
    config = {
        "chunk_bytes": chunk_bytes,
        "chunk_size": None,
        "compression": None,
        "data_format": [LITDATA_CODES[dtype]],
        "data_spec": json.dumps([1, {"type": None, "context": None, "children_spec": []}]),
        "encryption": None,
        "item_loader": "TokensLoader",
    }
    with replacing(os.path.join(folder, "index.json")) as scratch, open(scratch, "w", encoding="utf-8") as file:
        file.write(json.dumps({"chunks": chunks, "config": config, "updated_at": "0"}, sort_keys=True))
    return total
