"""Documents out to an object store: a writer that is killed leaves whole files alone, and the same command ends it."""

import json
import os
import subprocess
import sys

import fsspec
import pytest

from gristmill.corpus.readers.inputs import Input
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract
from gristmill.pipelines.stages.write.settings import WriteSettings
from gristmill.pipelines.stages.write.stage import run_write

from .stores import s3

KILLED = """
import json, os, sys
import fsspec
told = json.loads(sys.argv[1])
fsspec.config.conf["s3"] = told["options"]
from gristmill.corpus.store import shards
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.write.settings import WriteSettings
from gristmill.pipelines.stages.write.stage import run_write
put, left = shards._put, [told["after"]]
def counted(fs, scratch, path, *lasts):
    if told["out"].split("://")[1] in path:
        if left[0] == 0:
            os.kill(os.getpid(), 9)
        left[0] -= 1
    put(fs, scratch, path, *lasts)
shards._put = counted
run_write(Workspace(told["workspace"]), WriteSettings(output=told["out"], **told["asked"]), RunnerOptions(), quiet=True)
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    folder = tmp_path_factory.mktemp("w")
    paths = []
    for part in range(4):
        rows = [{"text": f"Sack {part}-{n} of the mill on the river.", "n": n} for n in range(12)]
        paths.append(folder / f"{part}.jsonl")
        paths[-1].write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = Workspace(str(folder / "w"))
    asked = ExtractSettings(
        inputs=tuple(Input(paths=(str(path),), source=path.stem) for path in paths), sandbox=False, language_model=None,
        shard_bytes=500,
    )  # fmt: skip
    run_extract(made, asked, RunnerOptions(), quiet=True)
    return made


@pytest.mark.parametrize("format", [pytest.param("jsonl.gz", marks=pytest.mark.slow), "parquet"])
def test_a_killed_writing_to_a_store_is_ended_by_the_same_command(workspace, tmp_path, format):
    asked = {"format": format, "shard_size": 400}
    local = str(tmp_path / "local")
    run_write(workspace, WriteSettings(output=local, **asked), RunnerOptions(), force=True, quiet=True)
    wanted = files_of(local)
    assert len(wanted) > 3
    with s3() as store:
        out = f"{store.url}/out"
        told = {"options": fsspec.config.conf["s3"], "workspace": workspace.url, "out": out, "after": 3, "asked": asked}
        process = subprocess.run([sys.executable, "-c", KILLED, json.dumps(told)], env=dict(os.environ))
        assert process.returncode == -9
        half = files_of(out)
        assert 0 < len(half) < len(wanted)
        assert half.items() <= wanted.items()
        run_write(workspace, WriteSettings(output=out, **asked), RunnerOptions(), force=True, quiet=True)
        assert files_of(out) == wanted
    assert all(b".tmp" not in data[:100] for data in wanted.values())


def files_of(folder: str) -> dict[str, bytes]:
    """Name -> bytes of the documents in a folder of any file system."""
    fs, path = fsspec.core.url_to_fs(folder)
    fs.invalidate_cache()
    names = [name for name in fs.find(path) if name.endswith((".gz", ".parquet"))]
    return {name.rsplit("/", 1)[1]: fs.cat_file(name) for name in names}
