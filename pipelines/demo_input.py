"""The demo's input: a small crawl of the Python environment that is running, stored the way crawls are stored.

Four domains that differ plainly: reference documentation (pydoc pages as HTTP responses in a `.warc.gz`), package
descriptions (`.jsonl.gz`), licence texts (Parquet; near-duplicates by nature) and source code (plain files).
Deterministic for a given environment: sorted names, fixed dates, draws by hash. Downloads nothing; imports only
modules of the standard library and of a few installed packages, because pydoc has to import what it describes.
"""

import gzip
import hashlib
import importlib
import io
import json
import os
import pkgutil
import pydoc
import re
import shutil
import subprocess
import sys
import sysconfig
import uuid
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from email.message import Message
from importlib import metadata
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq

DATE = "2026-01-01T00:00:00Z"
DOCUMENTED = ("numpy", "scipy", "pyarrow", "sklearn", "pydantic", "fsspec", "rich", "dask", "distributed", "hypothesis")
PAGE = 100_000  # a longer page is a listing of everything that a module imports
SHARES = {"reference": 0.45, "source": 0.40, "packages": 0.10, "licences": 0.05}  # of the bytes asked for, at most
UNSAFE = re.compile(  # modules that open windows, print, hang or are not documentation
    r"^(antigravity|this|idlelib|turtle|tkinter|lib2to3|test|ensurepip|_|.*\b(tests?|conftest|__main__|setup)\b|.*\._)"
)


def collect(folder: Path, megabytes: float) -> dict[str, int]:
    """Write the four inputs under `folder` (replaced if it is there). Returns bytes of text written per domain.

    Works in a process of its own: pydoc imports what it describes, and what it prints depends on the hash seed and
    shows the environment's variables.
    """
    command = [sys.executable, "-m", __spec__.name, str(folder), str(megabytes)]
    environment = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def write(folder: Path, megabytes: float) -> dict[str, int]:
    """The work of `collect`, in this process."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    budget = {name: int(share * megabytes * 1e6) for name, share in SHARES.items()}
    return {
        "reference": write_warc(folder / "reference.warc.gz", within(pydoc_pages(), budget["reference"])),
        "packages": write_jsonl(folder / "packages.jsonl.gz", within(descriptions(), budget["packages"])),
        "licences": write_parquet(folder / "licences.parquet", within(licences(), budget["licences"])),
        "source": write_files(folder / "source", within(sources(), budget["source"])),
    }


def within(items: Iterator[tuple[str, str]], budget: int) -> Iterator[tuple[str, str]]:
    """(name, text) until the texts reach `budget` bytes."""
    used = 0
    for name, text in items:
        used += len(text.encode())
        yield name, text
        if used >= budget:
            return


def by_hash(names: list[str]) -> list[str]:
    """Names in a fixed order without meaning, so that a prefix is a fair sample."""
    return sorted(names, key=lambda name: hashlib.blake2b(name.encode()).digest())


def pydoc_pages() -> Iterator[tuple[str, str]]:
    """(module, HTML page) of the standard library, then of installed packages."""
    absent = []
    for name in _described():
        try:
            page = _page(name)
        except (Exception, SystemExit):  # modules of other systems, or of packages that are not installed
            absent.append(name)
            continue
        if len(page) <= PAGE:
            yield name, page
    if absent:
        sys.stderr.write(f"no page for {len(absent)} modules that cannot be imported here\n")


def _described() -> Iterator[str]:
    """Modules of the standard library, then, where those are not enough, of installed packages: walking through them
    imports them all."""
    yield from (name for name in sorted(sys.stdlib_module_names) if not UNSAFE.match(name))
    yield from by_hash(sorted(set(_submodules(DOCUMENTED))))


def _page(name: str) -> str:
    """The pydoc page of a module, without what differs from run to run; what the import prints is dropped."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        module = importlib.import_module(name)
        page = pydoc.html.page(pydoc.describe(module), pydoc.html.document(module, name))
    page = re.sub(r"(0x|handle )[0-9a-f]{8,}", "", page)  # addresses
    return page.replace(sys.prefix, "").replace(sys.base_prefix, "")


def _submodules(packages: tuple[str, ...]) -> Iterator[str]:
    for package in packages:
        try:
            module = importlib.import_module(package)
        except ImportError:
            continue
        yield package
        for found in pkgutil.walk_packages(module.__path__, package + ".", onerror=lambda name: None):
            if not UNSAFE.match(found.name) and found.name.count(".") <= 2:
                yield found.name


def descriptions() -> Iterator[tuple[str, str]]:
    """(package, long description) of every installed distribution, in the order of their names."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        information = cast(Message, distribution.metadata)
        text = information.get_payload() or information.get("Description") or ""
        if isinstance(text, str) and text.strip():
            found[str(information["Name"]).lower()] = text
    for name in sorted(found):
        yield name, found[name]


def licences() -> Iterator[tuple[str, str]]:
    """(package/file, text) of every licence file that installed distributions carry."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        for path in distribution.files or ():
            if re.search(r"(?i)(licen[cs]e|copying|notice)[^/]*$", str(path)) and path.suffix not in (".py", ".pyc"):
                place = Path(str(path.locate()))
                if place.is_file():
                    found[f"{distribution.metadata['Name'].lower()}/{path}"] = place.read_text("utf-8", "replace")
    for name in sorted(found):
        yield name, found[name]


def sources() -> Iterator[tuple[str, str]]:
    """(relative path, text) of Python files of the environment, in hash order."""
    roots = [Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib"))]
    files: dict[str, Path] = {}
    for root in roots:
        for directory, folders, names in os.walk(root):
            folders[:] = sorted(f for f in folders if f not in ("__pycache__", "site-packages", "lib2to3"))
            for name in names:
                if name.endswith(".py"):
                    files[str((Path(directory) / name).relative_to(root))] = Path(directory) / name
    for name in by_hash(list(files)):
        if 500 <= files[name].stat().st_size <= 40_000:
            yield name, files[name].read_bytes().decode("utf-8", "replace")


def write_warc(path: Path, pages: Iterator[tuple[str, str]]) -> int:
    """Each page as the `response` record of a crawler, HTTP headers included, one gzip member a record."""
    size = 0
    with open(path, "wb") as file:
        for name, page in pages:
            body = page.encode()
            url = f"https://docs.python.example/pydoc/{name}.html"
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
            record = (
                "WARC/1.1\r\nWARC-Type: response\r\n"
                f"WARC-Record-ID: <urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, url)}>\r\n"
                f"WARC-Target-URI: {url}\r\nWARC-Date: {DATE}\r\nContent-Type: application/http; msgtype=response\r\n"
                f"Content-Length: {len(head) + len(body)}\r\n\r\n{head}"
            )
            file.write(gzip.compress(record.encode() + body + b"\r\n\r\n", 6, mtime=0))
            size += len(body)
    return size


def write_jsonl(path: Path, texts: Iterator[tuple[str, str]]) -> int:
    """One JSON object a line, with the fields that web corpora have."""
    size = 0
    with open(path, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as file:
        for name, text in texts:
            row = {"text": text, "url": f"https://packages.example/{name}", "title": name, "date": DATE}
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            size += len(text.encode())
    return size


def write_parquet(path: Path, texts: Iterator[tuple[str, str]]) -> int:
    """Columns text, url, title."""
    rows = [{"text": text, "url": f"https://licences.example/{name}", "title": name} for name, text in texts]
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd")
    return sum(len(row["text"].encode()) for row in rows)


def write_files(folder: Path, texts: Iterator[tuple[str, str]]) -> int:
    """The files as they are, under their own relative paths."""
    size = 0
    for name, text in texts:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8", newline="")
        size += len(text.encode())
    return size


if __name__ == "__main__":
    sys.stdout.write(json.dumps(write(Path(sys.argv[1]), float(sys.argv[2]))) + "\n")
