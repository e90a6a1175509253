"""`write --format hf --push owner/name`, against a local stand-in of the Hub's API that takes what is committed."""

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow.parquet as pq
import pytest

from gristmill.corpus.readers.inputs import Input
from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract
from gristmill.pipelines.stages.write.settings import WriteSettings
from gristmill.pipelines.stages.write.stage import run_write

constants = pytest.importorskip("huggingface_hub.constants")
NAME = "miller/grain"


class Hub(BaseHTTPRequestHandler):
    """Repositories as mappings of paths to bytes; `refuses` is the status that a commit gets instead."""

    repositories: dict[str, dict[str, bytes]]
    refuses: int | None

    def log_message(self, *_) -> None:
        pass

    def answer(self, told, status: int = 200) -> None:
        data = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        name = next((name for name in self.repositories if f"/datasets/{name}" in self.path), None)
        if name is None:
            self.answer({"error": "Repository not found"}, 404)
        elif "/tree/" in self.path:
            files = self.repositories[name].items()
            self.answer([{"type": "file", "path": path, "size": len(data), "oid": "0" * 40} for path, data in files])
        else:
            siblings = [{"rfilename": path} for path in self.repositories[name]]
            self.answer({"id": name, "sha": "0" * 40, "private": False, "siblings": siblings})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/repos/create":
            told = json.loads(body)
            name = f"{told['organization']}/{told['name']}" if told.get("organization") else told["name"]
            self.repositories.setdefault(name, {})
            self.answer({"url": f"http://{self.headers['Host']}/datasets/{name}", "name": name})
        elif self.path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]
            ]
            self.answer({"files": files})
        elif "/commit/" in self.path:
            if self.refuses is not None:
                self.answer({"error": "you may not write here"}, self.refuses)
                return
            files = self.repositories[self.path.split("/datasets/")[1].split("/commit/")[0]]
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "deletedFile":
                    files.pop(line["value"]["path"])
            url = f"http://{self.headers['Host']}/datasets/{NAME}/commit/{'1' * 40}"
            self.answer({"success": True, "commitUrl": url, "commitOid": "1" * 40, "pullRequestUrl": None})
        else:
            self.answer({"error": self.path}, 404)


@pytest.fixture
def hub(monkeypatch):
    """The stand-in, where huggingface_hub looks for the Hub."""
    with standing() as (handler, address):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setenv("HF_TOKEN", "hf_of_the_mill")
        yield handler


@contextmanager
def standing():
    handler = type("One", (Hub,), {"repositories": {}, "refuses": None})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield handler, f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def workspace_of(folder, count: int) -> Workspace:
    rows = [{"text": f"Grain number {n} of the mill.", "weight": n / 2} for n in range(count)]
    (folder / f"{count}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    workspace = Workspace(str(folder / "w"))
    asked = ExtractSettings(
        inputs=(Input(paths=(str(folder / f"{count}.jsonl"),), source="s"),), sandbox=False, language_model=None
    )
    run_extract(workspace, asked, RunnerOptions(), quiet=True)
    return workspace


def pushed(workspace, folder) -> dict:
    settings = WriteSettings(output=str(folder / "out"), format="hf", push=NAME)
    return run_write(workspace, settings, RunnerOptions(), quiet=True)


def test_what_is_pushed_is_the_folder_and_a_second_push_takes_away_what_is_no_more(hub, tmp_path):
    summary = pushed(workspace_of(tmp_path, 5), tmp_path)
    assert summary["details"]["pushed"].endswith(f"/datasets/{NAME}")
    files = hub.repositories[NAME]
    data = {name for name in files if name.startswith("data/")}
    assert {"README.md"} < files.keys()
    assert data
    (tmp_path / "back.parquet").write_bytes(files[sorted(data)[0]])
    assert sorted(pq.read_table(tmp_path / "back.parquet")["weight"].to_pylist()) == [0, 0.5, 1, 1.5, 2]
    files["data/old/from-before.parquet"] = b"of an earlier writing"
    pushed(Workspace(str(tmp_path / "w")), tmp_path)
    assert {name for name in hub.repositories[NAME] if name.startswith("data/")} == data


def test_a_hub_that_refuses_is_told_in_a_line_and_the_folder_is_there(hub, tmp_path):
    hub.refuses = 403
    workspace = workspace_of(tmp_path, 3)
    with pytest.raises(RequestError, match=r"--push miller/grain: .*\(credentials: HF_TOKEN\)"):
        pushed(workspace, tmp_path)
    assert list((tmp_path / "out").rglob("*.parquet"))
    hub.refuses = None
    pushed(workspace, tmp_path)
    assert hub.repositories[NAME]
