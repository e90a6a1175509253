"""Small files that people write and point at: lists, settings, styles. Read in one way, refused in one way.

UTF-8 with or without a byte-order mark, UTF-16 and UTF-32 with one (as some editors and shells write), line ends of any
system, plain or compressed by whatever inputs may be. Refuses, as a RequestError that begins with `where`: a file that
cannot be opened, a damaged or an archive, text in another encoding (by its line), zero bytes, and YAML that is none.
"""

import codecs
import re
from typing import IO, Any, cast

from .store.errors import RequestError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_LINE_END = re.compile("\r\n?|\n")


def decoded(data: bytes, where: str) -> str:
    """The text of a file. `where` names it in a refusal, which adds the line."""
    mark, encoding = next((one for one in _MARKS if data.startswith(one[0])), (b"", "utf-8"))
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise RequestError(f"{where} begins as {encoding} and cannot be read as that: {error.reason}") from error
        begin = len(mark) + error.start
        lines = data[:begin].splitlines(keepends=True) or [b""]
        number = len(lines) + (lines[-1][-1:] in (b"\n", b"\r"))
        line = data.splitlines()[number - 1]
        raise RequestError(
            f"{where}, line {number}: not UTF-8: {line[:60]!r}; convert the file, as by iconv -f latin1 -t utf8"
        ) from error
    if "\0" in text:
        raise RequestError(f"{where} is no text: it holds zero bytes")
    return text


def given_bytes(path: str, where: str) -> bytes:
    """What the file at a path or URL holds, decompressed. `where` begins every refusal."""
    from .readers.members import decompressed
    from .store.shards import filesystem  # brings Arrow, which help and completion go without

    fs, place = filesystem(path)
    try:
        with fs.open(place, "rb") as file:
            return decompressed(cast(IO[bytes], file), where)
    except OSError as error:
        raise RequestError(f"{where} cannot be read: {error.strerror or error}") from error


def read_given(path: str, where: str = "") -> str:
    """The text of the file at a path or URL. `where` (by default the path) begins every refusal."""
    where = where or path
    return decoded(given_bytes(path, where), where)


def given_lines(text: str) -> list[str]:
    """Its lines, whatever system ended them; nothing else that Unicode calls a line end ends one."""
    return _LINE_END.split(text)


def read_yaml(path: str, where: str = "") -> Any:
    """What a YAML file says."""
    import yaml  # commands that read none do not pay for it

    from .plain_yaml import load_yaml

    text = read_given(path, where)
    try:
        return load_yaml(text)
    except yaml.YAMLError as error:
        raise RequestError(f"{where or path} is not YAML: {error}") from error
