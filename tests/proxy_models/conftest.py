"""A server that speaks the OpenAI chat protocol over real sockets and misbehaves as told; a workspace of documents."""

import asyncio
import collections
import json
import threading

import pytest

from gristmill.corpus.store.made import put_table
from gristmill.corpus.store.schema import DOCUMENTS
from gristmill.corpus.store.workspace import Workspace


class ChatServer:
    """Runs in a thread of its own.

    behave  prompt, attempt (from 0) -> an action: "ok", "slow", "hang", "truncate", "malformed", "not json", "drop",
            "chunked", or an HTTP status to answer with
    say     prompt -> the reply's text
    """

    def __init__(self):
        self.behave = lambda prompt, attempt: "ok"
        self.say = lambda prompt: "said: " + prompt
        self.finish = "stop"
        self.retry_after = "0"
        self.attempts = collections.Counter()
        self.answered = []  # prompts, in the order in which their good replies left
        self.bodies = []
        self.headers = []
        self.in_flight = self.most_in_flight = 0
        self.on_answer = lambda count: None
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def _run(self, ready):
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def close(self):
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    async def _serve(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
                body = json.loads(await reader.readexactly(int(fields["Content-Length"])))
                self.headers.append(fields)
                self.bodies.append(body)
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                try:
                    await self._answer(writer, body)
                finally:
                    self.in_flight -= 1
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(self, writer, body):
        prompt = body["messages"][-1]["content"]
        attempt = self.attempts[prompt]
        self.attempts[prompt] += 1
        action = self.behave(prompt, attempt)
        if action == "hang":  # the client goes away meanwhile and is no longer in flight
            self.in_flight -= 1
            try:
                await asyncio.sleep(5.0)
            finally:
                self.in_flight += 1
        await asyncio.sleep(0.02 if action == "slow" else 0)
        if isinstance(action, int):
            extra = f"Retry-After: {self.retry_after}\r\n" if action == 429 else ""
            message = b'{"error": "as told"}'
            writer.write(f"HTTP/1.1 {action} No\r\n{extra}Content-Length: {len(message)}\r\n\r\n".encode() + message)
            await writer.drain()
            return
        choice = {"index": 0, "message": {"role": "assistant", "content": self.say(prompt)}}
        told = {"choices": [{**choice, "finish_reason": self.finish}]}
        told["usage"] = {"prompt_tokens": len(prompt.split()), "completion_tokens": 3}
        message = json.dumps(told).encode()
        if action == "malformed":
            message = b'{"choices": [{"message": {}}]}'
        elif action == "not json":
            message = b"<html>gateway</html>"
        if action == "drop":
            writer.close()
            return
        if action in ("ok", "slow", "chunked"):  # before it leaves: the client must not be faster than the record
            self.answered.append(prompt)
        if action == "chunked":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(message), 7):
                part = message[start : start + 7]
                writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            writer.write(b"0\r\n\r\n")
        elif action == "truncate":
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(message)}\r\n\r\n".encode() + message[:20])
            await writer.drain()
            writer.close()
            return
        else:
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(message)}\r\n\r\n".encode() + message)
        await writer.drain()
        if action in ("ok", "slow", "chunked"):
            self.on_answer(len(self.answered))


@pytest.fixture
def chat_server():
    server = ChatServer()
    yield server
    server.close()


@pytest.fixture
def make_documents(tmp_path):
    """make(shards, name) writes `documents/` of a workspace: {shard: [(id, text) or a mapping of columns]}."""

    def make(shards, name="workspace"):
        workspace = Workspace(str(tmp_path / name))
        workspace.create()
        written = {}
        for shard, documents in shards.items():
            rows = []
            for document in documents:
                row = document if isinstance(document, dict) else {"id": document[0], "text": document[1]}
                rows.append({"source": "test", "domain": "web", "url": None, **row})
            written[shard] = rows
        put_table(workspace, "documents", DOCUMENTS, written, stage="extract")
        return workspace

    return make
