"""What the user names as input, resolved to files: files, folders, globs, fsspec URLs and lists of paths.

The order of arguments does not matter: files come out sorted by path. A path that matches nothing is refused, because
an empty input looks like success. A list of paths (`warc.paths.gz`) is read, entries of it that are URLs are not opened
here: a crawl of 90,000 files is planned in a second. A file's `path` is what documents tell of where it lay: its path
below the folder, the glob or the list that was named, so that it is the same wherever that lies; `place` is where it
lies.
"""

import glob
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote_from_bytes

from ..extensions import added, extensions
from ..given_files import given_lines, read_given
from ..settings import Input as Input
from ..store.errors import MissingExtra, RequestError, unknown_name
from ..store.shards import SPELLED, filesystem, spelled, unspelled
from .text_names import COMPRESSED, bare_name

FORMATS = ("warc", "jsonl", "parquet", "arrow", "html", "text")
COMMON_CRAWL = "https://data.commoncrawl.org/"
SUFFIXES = {
    "warc": (".warc", ".arc", ".wet", ".wat"),
    "jsonl": (".jsonl", ".ndjson", ".jsonlines", ".json"),
    "parquet": (".parquet", ".pq"),
    "arrow": (".arrow", ".feather", ".ipc", ".arrows"),
    "html": (".html", ".htm", ".xhtml"),
}
PATH_LISTS = (".paths", ".paths.txt")


@dataclass(frozen=True)
class Source:
    """One file to read: where it lies, its path below what the user named, and what it counts as."""

    place: str
    path: str
    source: str
    domain: str
    format: str
    listed: bool = False  # a URL of a path list: not to be opened while planning


def resolve(inputs: tuple[Input, ...]) -> list[Source]:
    """Every file of the inputs, by path, each once. Refuses what does not exist or cannot be told apart."""
    return sorted({source.place: source for _, own in resolved(inputs) for source in own}.values(), key=_by_place)


def resolved(inputs: tuple[Input, ...]) -> list[tuple[str, list[Source]]]:
    """(what was named, its files) of every path of the inputs; a file that two of them name is in both."""
    found: dict[str, Source] = {}
    named: list[tuple[str, list[Source]]] = []
    endings = _endings()
    for given in inputs:
        if given.format not in ("auto", *FORMATS, *extensions("readers")):
            raise unknown_name("format", given.format, ("auto", *FORMATS, *extensions("readers")), "input")
        for path in given.paths:
            source = given.source or _stem(path)
            own: list[Source] = []
            for url, below, listed in reached(path, lambda named: list(_files(named))):
                kind = _named(url, endings) if given.format == "auto" else given.format
                one = Source(url, below, source, given.domain or source, kind or "auto", listed)
                other = found.setdefault(url, one)
                if (other.source, other.domain) != (one.source, one.domain):
                    raise RequestError(
                        f"{url} is given twice, as source {other.source!r} (domain {other.domain!r}) and as source "
                        f"{one.source!r} (domain {one.domain!r}); name it once"
                    )
                own.append(other)
            named.append((path, own))
    return named


def _by_place(source: Source) -> str:
    return source.place


CREDENTIALS = {  # protocol -> where its file system takes them from
    "s3": "credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or FSSPEC_S3_ANON=true for a public "
    "bucket; another server than Amazon's: FSSPEC_S3_ENDPOINT_URL",
    "gs": "credentials: GOOGLE_APPLICATION_CREDENTIALS, or FSSPEC_GS_TOKEN=anon for a public bucket",
    "hf": "credentials: HF_TOKEN, for what is not public",
}
R = TypeVar("R")


def reached(url: str, read: Callable[[str], R]) -> R:
    """What reading a URL gives; a RequestError with the URL and what its file system says where it cannot be read."""
    try:
        return read(url)
    except RequestError:
        raise
    except Exception as error:  # every file system has exceptions of its own
        if "://" not in url:
            raise
        said = " ".join(str(error).split())
        hint = CREDENTIALS.get(url.split("://")[0])
        told = f"input {url} cannot be read: {type(error).__name__}{': ' if said else ''}{said[:300]}"
        raise RequestError(told + (f" ({hint})" if hint else "")) from error


def _endings() -> dict[str, tuple[str, ...]]:
    return {kind: reader.suffixes for kind, reader in added("readers", FORMATS).items()} | SUFFIXES


def _named(url: str, endings_of: dict[str, tuple[str, ...]]) -> str | None:
    name = (re.split(r"[?#]", url)[0] if "://" in url else url).lower()
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    return next((kind for kind, endings in endings_of.items() if name.endswith(endings)), None)


def sniffed_format(head: bytes) -> str:
    """The format that a file's first (decompressed) bytes show; `text` where nothing else fits."""
    start = head.lstrip()[:512].lower()
    if head[:5].upper() == b"WARC/" or head.startswith(b"filedesc:"):
        return "warc"
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    if start.startswith((b"<!doctype html", b"<html", b"<?xml")) and b"<html" in head[:4096].lower():
        return "html"
    return "html" if start.startswith((b"<!doctype html", b"<html")) else "text"


Found = tuple[str, str, bool]  # where a file lies, its path below what was named, whether it is a URL of a list


def _files(path: str) -> Iterator[Found]:
    try:
        fs, bare = filesystem(path)
    except ImportError as error:
        raise MissingExtra(str(error).split()[1] if " " in str(error) else str(error), "remote") from error
    except ValueError as error:
        raise RequestError(f"input {path}: {error}") from error
    if "://" not in path:
        yield from _local(path)
        return
    if bare_name(path.lower()).endswith(PATH_LISTS):
        yield from _listed(path)
        return
    top = os.path.dirname(bare.rstrip("/"))
    if any(mark in bare for mark in "*?[") and not fs.exists(bare):
        names = sorted(str(name) for name in fs.glob(bare) if fs.isfile(name))
        top = _fixed(bare)
        if not names:
            raise RequestError(f"input {path}: no file matches")
    elif fs.isdir(bare):
        names = sorted(str(name) for name in fs.find(bare) if not _hidden(os.path.relpath(str(name), bare)))
        top = bare
        if not names:
            raise RequestError(f"input {path}: the folder holds no file")
    elif fs.exists(bare):
        names = [bare]
    else:
        raise RequestError(f"input {path}: no such file or folder")
    for name in names:
        yield str(fs.unstrip_protocol(name)), below(name, top), False


def _local(path: str) -> Iterator[Found]:
    """Files of this machine: a name that exists is that name, whatever characters are in it; else it may be a glob."""
    bare = os.path.abspath(os.path.expanduser(unspelled(path)))
    said = spelled(path)
    top = os.path.dirname(bare)
    if os.path.isdir(bare):
        top = bare
        names = [name for name in _walked(bare, said) if not _hidden(os.path.relpath(name, bare))]
        if not names:
            raise RequestError(f"input {said}: the folder holds no file")
    elif os.path.exists(bare):
        if not stat.S_ISREG(os.stat(bare).st_mode):
            raise RequestError(f"input {said}: it is neither a file nor a folder")
        if bare_name(bare.lower()).endswith(PATH_LISTS):
            yield from _listed(bare)
            return
        names = [bare]
    elif os.path.islink(bare):
        raise RequestError(f"input {said}: it is a link to {spelled(os.readlink(bare))}, which leads to no file")
    elif any(mark in bare for mark in "*?["):
        names = sorted(name for name in glob.glob(bare, recursive=True) if os.path.isfile(name))
        top = _fixed(bare)
        if not names:
            raise RequestError(f"input {said}: no file matches")
    else:
        raise RequestError(f"input {said}: no such file or folder")
    for name in names:
        yield spelled(name), below(name, top), False


SNAPSHOT = re.compile(r"CC-MAIN-\d{4}-\d{2}")  # a crawl of Common Crawl, which documents are told apart by


def below(name: str, top: str) -> str:
    """The path of a file below a folder, as text; from the folder of a Common Crawl snapshot on, where it lies in one,
    because the snapshot is part of what a document is."""
    parts = name.split("/")
    snapshots = [place for place, part in enumerate(parts[:-1]) if SNAPSHOT.fullmatch(part)]
    left = name.removeprefix(top.rstrip("/") + "/").strip("/")
    if snapshots and not any(SNAPSHOT.fullmatch(part) for part in left.split("/")):
        left = "/".join(parts[snapshots[-1] :])
    try:
        left.encode()
    except UnicodeEncodeError:
        return SPELLED + quote_from_bytes(os.fsencode(left))
    return left


def _fixed(pattern: str) -> str:
    """The folder below which all that a glob matches lies."""
    parts = pattern.split("/")
    marked = next(place for place, part in enumerate(parts) if any(mark in part for mark in "*?["))
    return "/".join(parts[: min(marked, len(parts) - 1)]) or "/"


def _walked(folder: str, said: str) -> list[str]:
    """Files below a folder, sorted, through links to folders, each folder once. A link that leads to no file is named,
    so that reading it can fail and be told; devices and sockets are left out."""

    def refused(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # a folder that vanished meanwhile holds no file
            raise RequestError(f"input {said}: {spelled(str(error.filename))} cannot be read: {error.strerror}")

    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    for at, folders, names in os.walk(folder, onerror=refused, followlinks=True):
        own = os.stat(at) if os.path.exists(at) else None
        if own is None or (own.st_dev, own.st_ino) in seen:
            folders.clear()
            continue
        seen.add((own.st_dev, own.st_ino))
        folders.sort(key=lambda name: (os.path.islink(os.path.join(at, name)), name))
        for name in names:
            place = os.path.join(at, name)
            if os.path.isfile(place) or (os.path.islink(place) and not os.path.exists(place)):
                found.append(place)
    return sorted(found)


def _listed(path: str) -> Iterator[Found]:
    """The entries of a path list: URLs, paths beside the list, or places in Common Crawl's bucket.

    What is named beside the list keeps its path there; other places are told by their paths below the folder that they
    share.
    """
    if "://" not in path and not os.path.isfile(path):
        raise RequestError(f"input {path}: no such file or folder")
    entries = [line.strip() for line in given_lines(read_given(path, f"list of paths {path}")) if line.strip()]
    if not entries:
        raise RequestError(f"input {path}: the list of paths is empty")
    elsewhere = [entry for entry in entries if "://" in entry or os.path.isabs(entry)]
    top = _shared(elsewhere)
    for entry in entries:
        beside = os.path.join(os.path.dirname(path), entry)
        if "://" in entry or os.path.isabs(entry):
            yield entry, below(entry, top), "://" in entry
        elif entry.startswith("crawl-data/") and ("://" in path or not os.path.exists(beside)):
            yield COMMON_CRAWL + entry, entry, True
        else:
            named = os.path.normpath(beside) if "://" not in path else beside
            yield named, os.path.normpath(entry), "://" in path


def _shared(entries: list[str]) -> str:
    """The folder that holds all of these places; nothing where they are on several stores."""
    levels = list(zip(*(entry.split("/")[:-1] for entry in entries), strict=False))  # as deep as the shallowest
    depth = next((at for at, names in enumerate(levels) if len(set(names)) > 1), len(levels))
    return "/".join(names[0] for names in levels[:depth])


def _hidden(relative: str) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in relative.split(os.sep))


def mend_name(path: str) -> str:
    """A path as people read it: bytes of it that are no UTF-8 as U+FFFD."""
    return os.fsencode(unspelled(path)).decode("utf-8", "replace")


def _stem(path: str) -> str:
    """`crawl/news-2024.warc.gz` -> `news-2024`; for a glob the folder that holds it."""
    there = "://" not in path and os.path.exists(os.path.expanduser(unspelled(path)))
    parts = [part for part in mend_name(path).rstrip("/").split("/") if part]
    if not there:
        parts = [part for part in parts if not any(mark in part for mark in "*?[")]
    name = parts[-1] if parts else "input"
    return name.split(".")[0] or name
