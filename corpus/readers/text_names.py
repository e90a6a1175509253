"""What the name of a file of texts says: whether it is one, its format, and what to call what it holds.

Imports nothing, so that settings can ask.
"""

OBJECTS = (".jsonl", ".ndjson", ".json")
TEXTS = (".txt", ".md", ".text")
COMPRESSED = (".gz", ".zst", ".zstd", ".lz4", ".bz2", ".xz")


def bare_name(path: str) -> str:
    """The file's name without folders and without the suffix of a compression, in whatever case it is written."""
    return _without(path.rstrip("/").rsplit("/", 1)[-1], COMPRESSED)


def stem(path: str) -> str:
    """The file's name without folders and suffixes of its format and compression."""
    return _without(bare_name(path), (*OBJECTS, *TEXTS, ".parquet"))


def ends_in(path: str, suffixes: tuple[str, ...]) -> bool:
    """Whether a file's name, a compression aside, ends in one of these, in whatever case."""
    return bare_name(path).lower().endswith(suffixes)


def _without(name: str, suffixes: tuple[str, ...]) -> str:
    return next((name[: -len(end)] for end in suffixes if name.lower().endswith(end)), name)


def names_a_file(target: str) -> bool:
    """Whether a name is that of a file of texts (by a slash or its suffix), and not of a domain."""
    return "/" in target or ends_in(target, (*OBJECTS, *TEXTS, ".parquet"))
