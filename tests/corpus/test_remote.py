"""Crawls on object stores: the same documents as from a disk, read in pieces, and errors that say what to do."""

import gzip
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.registry import _registry

from gristmill.corpus.readers.inputs import Input, resolve
from gristmill.corpus.removals import parse
from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.audit import audit
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract
from gristmill.pipelines.stages.filter.stage import FilterSettings, run_filter
from gristmill.pipelines.stages.opt_out import opt_out

from .crawl import PROSE, jsonl, pages, zipped
from .stores import STORES, Store, configured, parquet

TEXTS = [f"{PROSE} Number {n}." for n in range(60)]
CRAWL = {"a.warc.gz": zipped(pages(9)), "b.parquet": parquet(TEXTS, 6)}


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with STORES[request.param]() as made:
        yield made


def extracted(place: Path, *paths: str) -> tuple[dict[str, str], int]:
    """(id -> text, number of shards) of these paths, in small shards."""
    space = Workspace(str(place))
    asked = ExtractSettings(inputs=(Input(paths=paths, source="test"),), shard_bytes=1500)
    run_extract(space, asked, RunnerOptions(), quiet=True)
    rows = {row["id"]: row["text"] for batch in space.table("documents").read() for row in batch.to_pylist()}
    return rows, len(space.table("documents").finished("test").shards)


def test_a_store_gives_the_documents_and_the_shards_that_a_disk_gives(tmp_path: Path, store: Store):
    for name, data in CRAWL.items():
        (tmp_path / name).write_bytes(data)
        store.put(name, data)
    local = extracted(tmp_path / "local", *(str(tmp_path / name) for name in CRAWL))
    assert (len(local[0]), local[1] > 4) == (69, True)
    assert extracted(tmp_path / "named", *(f"{store.url}/{name}" for name in CRAWL)) == local
    assert extracted(tmp_path / "glob", f"{store.url}/*.*") == local


def test_a_path_list_is_planned_without_opening_what_it_names(tmp_path: Path, store: Store):
    store.put("a.warc.gz", CRAWL["a.warc.gz"])
    store.put("warc.paths.gz", gzip.compress(f"{store.url}/a.warc.gz\n{store.url}/absent.warc.gz\n".encode()))
    rows, shards = extracted(tmp_path / "listed", f"{store.url}/warc.paths.gz")
    assert (len(rows), shards) == (9, 2)


def test_large_files_are_read_by_ranges(tmp_path: Path):
    with STORES["hf"]() as store:
        store.put("b.parquet", parquet([f"{PROSE * 400} {n}" for n in range(40)], 4))
        extracted(tmp_path / "ranges", f"{store.url}/b.parquet")
        assert len(store.asked) > 1
        assert all(asked and asked.startswith("bytes=") for asked in store.asked)


@pytest.mark.parametrize("protocol", [pytest.param("s3", marks=pytest.mark.slow), "gs"])
def test_a_workspace_on_a_store_is_filled_decided_audited_and_opted_out_of(tmp_path: Path, protocol: str):
    rows = tmp_path / "a.jsonl"
    rows.write_bytes(jsonl([{"text": f"{PROSE} {n}", "url": f"https://h{n % 3}.example/{n}"} for n in range(9)]))
    with STORES[protocol]() as store:
        space = Workspace(f"{store.url}/w")
        asked = ExtractSettings(inputs=(Input(paths=(str(rows),), source="test"),))
        run_extract(space, asked, RunnerOptions(), quiet=True)
        run_filter(space, FilterSettings(rules="gopher"), RunnerOptions(), quiet=True)
        assert run_filter(space, FilterSettings(rules="gopher"), RunnerOptions(), quiet=True)["skipped"]
        summary = opt_out(space, parse(["h1.example"], "list"), RunnerOptions(), quiet=True)
        assert (summary["removed"], summary["rebuilt"], summary["holding"]) == (3, ["filter"], {})
        assert audit(space)["findings"] == []


NOWHERE = "http://127.0.0.1:9"  # the discard service's port, on which nothing listens
ONCE = {"config_kwargs": {"retries": {"max_attempts": 0}}}


@pytest.mark.parametrize(
    ("protocol", "options", "url", "told"),
    [
        ("s3", {"endpoint_url": NOWHERE, **ONCE}, "s3://b/a.warc", "NoCredentialsError.*AWS_ACCESS_KEY_ID"),
        ("s3", {"endpoint_url": NOWHERE, "key": "k", "secret": "s", **ONCE}, "s3://b/a.warc", "127.0.0.1:9/b"),
        ("hf", {"endpoint": NOWHERE, "token": False}, "hf://datasets/a/b/x.parquet", "Connection refused.*HF_TOKEN"),
        ("http", {}, f"{NOWHERE}/a.warc", "cannot be read: ClientConnectorError"),
    ],
)
def test_what_cannot_be_reached_is_refused_with_its_url_and_the_way_to_credentials(
    monkeypatch: pytest.MonkeyPatch, protocol: str, options: dict, url: str, told: str
):
    pytest.importorskip({"s3": "s3fs", "hf": "huggingface_hub", "http": "aiohttp"}[protocol])
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with configured(protocol, **options), pytest.raises(RequestError, match=f"input {url} cannot.*") as refused:
        resolve((Input(paths=(url,)),))
    assert re.search(told, str(refused.value))


def test_a_bucket_that_is_not_there_is_refused():
    with STORES["s3"](), pytest.raises(RequestError, match=r"input s3://absent/a\.warc: no such file"):
        resolve((Input(paths=("s3://absent/a.warc",)),))


def test_a_file_system_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(_registry, "s3", raising=False)
    with pytest.raises(RequestError, match=r"s3fs is not installed; it comes with: pip install 'gristmill\[remote\]'"):
        resolve((Input(paths=("s3://b/a.warc",)),))
