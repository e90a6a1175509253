"""Whether files have the columns that were named: by the schema of Parquet and Arrow, by the first rows of JSONL.

Looks at files that are there and can be opened; one that is damaged is told of when it is read. Refuses a named column
that is in none of the first rows.
"""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from ..planning.ledger import Piece
from .inputs import Source
from .members import open_bytes
from .naming import Naming, first_names
from .records import Reading, read_piece


def check_columns(sources: Iterable[Source], naming: Naming, max_page_bytes: int) -> None:
    """RequestError for a named column that a file lacks, with the nearest one that it has."""
    if not (naming.named or naming.keep or naming.drop):
        return
    for source in sources:
        if source.listed:
            continue
        names = _schema_names(source) if source.format in ("parquet", "arrow") else None
        if source.format == "jsonl":
            piece = Piece(place=source.place, path=source.path, file="", format="jsonl")
            raws = read_piece(piece, Reading(max_page_bytes))
            names = first_names(raw.columns.names for raw in raws if raw.columns is not None)
        if names:
            naming.refuse(names, source.path)


def _schema_names(source: Source) -> list[str] | None:
    try:
        with open_bytes(source.place) as file:
            if source.format == "parquet":
                return list(pq.read_schema(file).names)
            framed = file.read(6) == b"ARROW1"
            file.seek(0)
            return list((ipc.open_file(file) if framed else ipc.open_stream(file)).schema.names)
    except (pa.ArrowException, OSError, ValueError):
        return None
