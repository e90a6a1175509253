"""Inputs that broke other deduplicators: time and memory stay bounded and the clusters are the right ones.

Each case is a workspace of its own, deduplicated in a fresh process; time is CPU seconds after imports, memory is the
peak resident set of that process, imports (0.45 GB) and mapped shingles included.

Usage: python -m benchmarks.dedup_adversarial [CASE ...]
"""

import json
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks._dedup_corpus import edited, pieces, table_of, write_workspace

MEMORY, SECONDS = 2.5e9, 120
Rows = Iterator[dict]


def copies() -> Rows:
    """100,000 copies of one page: one cluster, one survivor."""
    page = pieces(3000)[7]
    yield from ({"text": page} for _ in range(100_000))


def one_bucket() -> Rows:
    """50,000 versions of one page, each with one word of its own: one cluster, one survivor."""
    rng, page = random.Random(0), pieces(3000)[7]
    words = page.split(" ")
    for number in range(50_000):
        place = rng.randrange(len(words))
        yield {"text": " ".join([*words[:place], f"version{number}", *words[place + 1 :]])}


def empty() -> Rows:
    """20,000 blank documents: one survivor."""
    yield from ({"text": " " * (n % 3)} for n in range(20_000))


def one_word() -> Rows:
    """20,000 documents of one word, 5,000 different: 5,000 survivors."""
    yield from ({"text": f"word{n % 5000}" + "!" * (n // 5000)} for n in range(20_000))


def huge() -> Rows:
    """A document of 100 MB, an edited copy of it, and 1,000 ordinary ones: one duplicate."""
    rng, parts = random.Random(0), pieces(3000)
    vocabulary = parts[3].split()
    text = " ".join(f"{rng.choice(parts)[:60]} {rng.getrandbits(64):x}" for _ in range(1_330_000))
    yield {"text": text}
    yield {"text": edited(text, 0.01, rng, vocabulary)}
    yield from ({"text": part} for part in parts[:1000])


def header() -> Rows:
    """20,000 different documents that share a header longer than themselves, and a copy of each tenth: 2,000 lost."""
    rng, parts = random.Random(0), pieces(1200)
    top = " ".join(parts[0].split()[:200])
    vocabulary = " ".join(parts[:500]).split()
    for number in range(20_000):
        text = f"{top} {' '.join(rng.choices(vocabulary, k=120))}"
        yield {"text": text}
        if number % 10 == 0:
            yield {"text": text + " and a few words more"}


# case -> how many documents it keeps
CASES: dict[str, tuple[Callable[[], Rows], int]] = {
    "copies": (copies, 1),
    "one_bucket": (one_bucket, 1),
    "empty": (empty, 1),
    "one_word": (one_word, 5_000),
    "huge": (huge, 1_001),
    "header": (header, 20_000),
}


def child(folder: str) -> None:
    import time

    from gristmill.corpus.store.workspace import Workspace
    from gristmill.dedup.settings import DedupSettings
    from gristmill.pipelines.engine.runner import RunnerOptions
    from gristmill.pipelines.stages.dedup.stage import deduplicate

    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    summary = deduplicate(Workspace(folder), DedupSettings(), RunnerOptions(), quiet=True)
    after = resource.getrusage(resource.RUSAGE_SELF)
    found = {**summary["tables"]["decisions/dedup"], **summary["details"]}
    found["seconds"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found["wall"] = time.monotonic() - began
    with open("/proc/self/status") as status:  # ru_maxrss would count the parent's memory before exec
        found["peak"] = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
    print(json.dumps(found))


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2])
        return
    lines = []
    for case in sys.argv[1:] or CASES:
        rows, kept = CASES[case]
        with tempfile.TemporaryDirectory() as folder:
            write_workspace(folder, rows(), per_shard=20_000)
            command = [sys.executable, "-m", "benchmarks.dedup_adversarial", "--child", folder]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(done.stdout.strip().splitlines()[-1])
            alive: dict[str, int] = {}
            for row in table_of(folder, "duplicates", ["cluster", "survivor"]).to_pylist():
                alive[row["cluster"]] = alive.get(row["cluster"], 0) + row["survivor"]
        lines.append(
            f"{case:<11} {rows.__doc__}\n            in {found['in']:,}, kept {found['kept']:,}; "
            f"{found['seconds']:.1f} CPU s, {found['wall']:.1f} s, peak {found['peak'] / 1e6:,.0f} MB; candidates "
            f"{found['candidates']:,}, refused {found['refused']:,}, unexamined {found['unexamined']:,}"
        )
        print(lines[-1], flush=True)
        assert set(alive.values()) <= {1}, "a cluster without exactly one survivor"
        assert found["kept"] == kept, (found["kept"], kept)
        assert found["seconds"] < SECONDS
        assert found["peak"] < MEMORY
    if not sys.argv[1:]:
        (Path(__file__).parent / "results" / "dedup_adversarial.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
