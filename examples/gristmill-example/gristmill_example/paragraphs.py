"""Files whose name ends in .paragraphs: a document is what stands between blank lines."""

from collections.abc import Iterator

from gristmill.corpus.readers.members import Members
from gristmill.corpus.readers.records import FileReader, Raw, Reading


def read(stream: Members, reading: Reading) -> Iterator[Raw]:
    """One record a paragraph, placed by its number; one that is too long becomes a failure."""
    data = stream.read(1 << 30)
    for number, paragraph in enumerate(data.decode("utf-8", errors="replace").split("\n\n")):
        if len(paragraph.encode()) > reading.max_page_bytes:
            yield Raw(number, error=f"larger than max_page_bytes ({reading.max_page_bytes} bytes)")
        elif paragraph.strip():
            yield Raw(number, body=paragraph.strip())


PARAGRAPHS = FileReader((".paragraphs",), read)
