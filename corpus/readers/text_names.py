"""What the name of a file of texts says: whether it is one, its format, and what to call what it holds.

Imports nothing, so that settings can ask.
"""

OBJECTS = (".jsonl", ".ndjson", ".json")
TEXTS = (".txt", ".md", ".text")
COMPRESSED = (".gz", ".zst", ".zstd", ".lz4", ".bz2", ".xz")


def bare_name(path: str) -> str:
    """The file's name without folders and without the suffix of a compression."""
    name = path.rstrip("/").rsplit("/", 1)[-1]
    return next((name.removesuffix(end) for end in COMPRESSED if name.endswith(end)), name)


def stem(path: str) -> str:
    """The file's name without folders and suffixes of its format and compression."""
    name = bare_name(path)
    return next((name.removesuffix(end) for end in (*OBJECTS, *TEXTS, ".parquet") if name.endswith(end)), name)


def names_a_file(target: str) -> bool:
    """Whether a name is that of a file of texts (by a slash or its suffix), and not of a domain."""
    return "/" in target or bare_name(target).endswith((*OBJECTS, *TEXTS, ".parquet"))
