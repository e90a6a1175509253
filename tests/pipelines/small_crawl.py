"""A crawl of about a hundred documents in four formats, with planted duplicates, short pages and broken records."""

import gzip
import json
import random
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import pyarrow as pa
import pyarrow.parquet as pq

GLUE = ["the", "of", "and", "to", "that", "with", "have", "be", "is", "in", "was", "for", "on", "it", "as", "by"]
WORDS = {
    "gardens": "rose soil water spade seed bloom hedge winter frost compost petal stem orchard bulb".split(),
    "ships": "hull mast anchor harbour sail rudder keel captain deck cargo tide compass rope gale".split(),
    "clocks": "spring gear pendulum brass dial escapement tooth hour minute bearing pivot balance chime".split(),
    "kitchens": "flour butter oven simmer onion knife kettle broth pepper dough saucepan crust whisk".split(),
}


def prose(domain: str, seed: int, sentences: int = 14) -> str:
    """Sentences of the domain's own words between common ones; the same for the same arguments."""
    draw = random.Random(f"{domain} {seed}")
    lines = []
    for _ in range(sentences):
        words = [draw.choice(GLUE if n % 2 else WORDS[domain]) for n in range(draw.randint(8, 14))]
        lines.append(" ".join(words).capitalize() + ".")
    return "\n\n".join(" ".join(lines[n : n + 4]) for n in range(0, len(lines), 4))


def edited(text: str) -> str:
    """The text with its last word changed: a near duplicate."""
    return text.rsplit(" ", 1)[0] + " elsewhere."


def response(url: str, body: bytes) -> bytes:
    """One gzip member with the `response` record of an HTML page."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    record = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{uuid5(NAMESPACE_URL, url)}>\r\n"
        f"WARC-Target-URI: {url}\r\nWARC-Date: 2024-05-01T00:00:00Z\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(head) + len(body)}\r\n\r\n"
    ).encode()
    return gzip.compress(record + head + body + b"\r\n\r\n", mtime=0)


def page(text: str) -> bytes:
    paragraphs = "".join(f"<p>{paragraph}</p>" for paragraph in text.split("\n\n"))
    return f"<html><head><title>A page</title></head><body><article>{paragraphs}</article></body></html>".encode()


def write_small_crawl(folder: Path, documents: int = 24) -> list[dict]:
    """Write the four inputs; returns them as entries of the settings file."""
    folder.mkdir(parents=True)
    gardens = [prose("gardens", n) for n in range(documents)]
    gardens[1] = edited(gardens[0])
    with open(folder / "gardens.warc.gz", "wb") as file:
        for n, text in enumerate(gardens):
            file.write(response(f"https://gardens.example/{n}", page(text)))
        file.write(response("https://gardens.example/short", page("Too short.")))
    ships = [{"text": prose("ships", n), "url": f"https://ships.example/{n}"} for n in range(documents)]
    ships.append(ships[0])
    lines = [json.dumps(row).encode() for row in ships]
    lines.insert(3, b'{"text": "cut off')
    (folder / "ships.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines) + b"\n", mtime=0))
    clocks = [prose("clocks", n) for n in range(documents)]
    clocks[5] = clocks[4]
    pq.write_table(
        pa.table({"text": clocks, "title": [f"Clock {n}" for n in range(documents)]}), folder / "clocks.parquet"
    )
    (folder / "kitchens").mkdir()
    for n in range(documents):
        (folder / "kitchens" / f"{n:03d}.txt").write_text(prose("kitchens", n))
    (folder / "kitchens" / "empty.txt").write_text("")
    return [
        {"paths": [str(folder / "gardens.warc.gz")], "domain": "gardens", "source": "gardens"},
        {"paths": [str(folder / "ships.jsonl.gz")], "domain": "ships", "source": "ships"},
        {"paths": [str(folder / "clocks.parquet")], "domain": "clocks", "source": "clocks"},
        {"paths": [str(folder / "kitchens")], "domain": "kitchens", "source": "kitchens"},
    ]
