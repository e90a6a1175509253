"""Overhead of the endpoint engine against a bare asyncio client on the same local server.

The server runs in a process of its own and answers each chat completion after a fixed delay (a model's latency; also
0, where nothing but clients is measured). The bare client is the least that could do the job: as many connections as
requests in flight, one loop over them, `json.loads` of each reply, nothing checked, nothing kept. The engine does all
that it does in a run: orders, keys and looks up requests, validates replies, counts, writes each to the journal of
the request cache and all of them to its file, synced. `httpx` beside them is what the connection code was chosen
against, one round of it. Medians of interleaved rounds.

    python -m benchmarks.endpoint_overhead
"""

import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

from gristmill.proxy_models.engines.cache import RequestCache
from gristmill.proxy_models.engines.endpoint import EndpointEngine, EndpointSettings
from gristmill.proxy_models.engines.engine import Request, answer

CONCURRENCY, ROUNDS = 32, 5
# (seconds, requests, whether the bound of 10 % holds for it)
DELAYS = ((0.2, 640, True), (0.05, 1600, True), (0.01, 4800, False), (0.005, 4800, False), (0.0, 4800, False))
REPLY = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "word " * 200}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 300, "completion_tokens": 200},
}


def serve(delay: float, told: "multiprocessing.Queue[int]") -> None:
    """Answer everything alike after `delay` seconds."""
    body = json.dumps(REPLY).encode()
    message = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                if delay:
                    await asyncio.sleep(delay)
                writer.write(message)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        told.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def bare(port: int, requests: list[Request]) -> int:
    """The least that could do the job."""
    answered = 0

    async def worker(remaining) -> None:
        nonlocal answered
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in remaining:
            turns = [{"role": "user", "content": request.user}]
            body = json.dumps({"model": "m", "messages": turns, "max_tokens": 300}).encode()
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            answer_head = await reader.readuntil(b"\r\n\r\n")
            told = json.loads(await reader.readexactly(int(answer_head.rsplit(b":", 1)[1])))
            answered += bool(told["choices"][0]["message"]["content"])
        writer.close()

    async def run() -> None:
        remaining = iter(requests)
        await asyncio.gather(*(worker(remaining) for _ in range(CONCURRENCY)))

    asyncio.run(run())
    return answered


def engine(port: int, requests: list[Request]) -> int:
    """Our engine with its cache on disk."""
    settings = EndpointSettings(url=f"http://127.0.0.1:{port}/v1", model="m", concurrency=CONCURRENCY)
    with tempfile.TemporaryDirectory() as folder, RequestCache(f"{folder}/replies.sqlite") as cache:
        replies, spending = answer(EndpointEngine(settings), requests, cache)
        assert (spending.fresh, spending.failed) == (len(requests), 0)
    return sum(bool(reply.text) for reply in replies)


def with_httpx(port: int, requests: list[Request]) -> int:
    """The same least job through httpx."""
    import httpx

    answered = 0

    async def worker(client: httpx.AsyncClient, remaining) -> None:
        nonlocal answered
        for request in remaining:
            turns = [{"role": "user", "content": request.user}]
            body = {"model": "m", "messages": turns, "max_tokens": 300}
            told = (await client.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=body)).json()
            answered += bool(told["choices"][0]["message"]["content"])

    async def run() -> None:
        remaining = iter(requests)
        limits = httpx.Limits(max_connections=CONCURRENCY)
        async with httpx.AsyncClient(limits=limits, timeout=60) as client:
            await asyncio.gather(*(worker(client, remaining) for _ in range(CONCURRENCY)))

    asyncio.run(run())
    return answered


def measure(run: Callable[[int, list[Request]], int], port: int, count: int, salt: str) -> tuple[float, float]:
    """Wall and CPU seconds for `count` requests."""
    passage = "The mill at the bend of the river has ground the grain of the whole valley. " * 18
    requests = [Request(f"{salt} {i}: {passage}", "Rewrite the passage.", max_tokens=300) for i in range(count)]
    wall, cpu = time.perf_counter(), time.process_time()
    assert run(port, requests) == count
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> int:
    clients: dict[str, Callable[[int, list[Request]], int]] = {"bare asyncio": bare, "engine": engine}
    try:
        import httpx  # noqa: F401

        clients["httpx"] = with_httpx
    except ImportError:
        sys.stderr.write("httpx is not installed; measured without it\n")
    passed = True
    print(f"{CONCURRENCY} requests in flight, prompts of 1,400 and replies of 1,000 characters, {ROUNDS} rounds\n")
    for delay, count, bound in DELAYS:
        told: multiprocessing.Queue[int] = multiprocessing.Queue()
        server = multiprocessing.Process(target=serve, args=(delay, told), daemon=True)
        server.start()
        port = told.get()
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in clients}
        for number in range(ROUNDS):
            for name, run in clients.items():
                if name != "httpx" or (delay >= 0.05 and not number):
                    found[name].append(measure(run, port, count, f"{number} {name}"))
        server.terminate()
        server.join()
        print(f"{count} requests, replies after {delay * 1000:.0f} ms")
        found = {name: rounds for name, rounds in found.items() if rounds}
        walls = {name: statistics.median(wall for wall, _ in rounds) for name, rounds in found.items()}
        for name, rounds in found.items():
            cpu = statistics.median(cpu for _, cpu in rounds) / count * 1e6
            more = walls[name] / walls["bare asyncio"] - 1
            print(f"  {name:14}{walls[name]:7.3f} s  {more:+7.1%}  {cpu:6.0f} µs of CPU a request")
        if bound:
            within = walls["engine"] <= 1.10 * walls["bare asyncio"]
            passed &= within
            print(f"  at most 10 % over the bare client: {'yes' if within else 'NO'}")
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
