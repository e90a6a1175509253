"""A sample of documents by the beginning of the id, which is a digest: the same documents however they are stored."""


def sample_below(rows: int, wanted: int) -> str:
    """The beginning of an id below which about `wanted` of `rows` documents lie; behind every id where all do."""
    return f"{min(round(wanted / rows * 16**8), 16**8 - 1):08x}" if rows > wanted else "g"
