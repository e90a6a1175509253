"""Documents per CPU second of MinHash deduplication, end to end, beside datatrove, text-dedup and rensa.

20,000 real documents with edited copies planted at known Jaccard; 14 bands of 8 rows over word 5-grams for everybody.
Ours includes Beam, reading and writing Parquet, exact keys, and the verification that the others do not do. Each
contender runs in a process of its own and reports the CPU seconds (user + system) of its work after imports.
text-dedup is a command: its CPU seconds are those of the process less those of the same command on 20 documents.

    GRISTMILL_PEER_DATATROVE=VENV/bin/python GRISTMILL_PEER_TEXT_DEDUP=VENV/bin/python \\
        python -m benchmarks.dedup_speed [--documents 20000]

Recall is counted over the planted pairs by exact Jaccard and set against the S-curve; every pair that we joined is
computed again from Python sets of words.
"""

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BANDS, ROWS, THRESHOLD = 14, 8, 0.6
SEEDS = (1, 2, 3, 4, 5)
FLOOR = {"datatrove": 60, "rensa": 2}
EDGES = (0.6, 0.7, 0.8, 0.9, 1.0001)


def cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def contend(contender: str, folder: str) -> None:
    """The child: do the work, print {cpu, wall, clusters of documents that have more than one}."""
    work = {"gristmill": gristmill, "rensa": rensa, "datatrove": datatrove}[contender](Path(folder))
    next(work)  # imports, and what has to be loaded once
    began, used = time.monotonic(), cpu()
    clusters = next(work)
    print(json.dumps({"cpu": cpu() - used, "wall": time.monotonic() - began, "clusters": clusters}))


def gristmill(folder: Path):
    import shutil

    from gristmill.corpus.store.workspace import Workspace
    from gristmill.dedup.settings import DedupSettings
    from gristmill.pipelines.engine.runner import RunnerOptions
    from gristmill.pipelines.stages.dedup.stage import deduplicate

    workspace = Workspace(str(folder / "workspace"))
    settings = DedupSettings(preset="fineweb", fold="plain", threshold=THRESHOLD, bands=BANDS, rows=ROWS)
    warm = Workspace(str(folder / "warm"))  # compiled kernels are loaded here, as the peers' imports are
    deduplicate(warm, settings, RunnerOptions(), quiet=True, force=True)
    for table in ("signatures", "shingles", "duplicates", "decisions"):
        shutil.rmtree(workspace.path(table), ignore_errors=True)
    yield
    summary = deduplicate(workspace, settings, RunnerOptions(), quiet=True)
    yield summary["tables"]["duplicates"]["clusters"]


def rensa(folder: Path):
    import re
    import unicodedata  # noqa: F401
    from collections import defaultdict

    import pyarrow.parquet as pq
    from rensa import RMinHash, RMinHashLSH

    from gristmill.corpus.store.workspace import Workspace

    table = Workspace(str(folder / "workspace")).table("documents")
    paths = [table.file_url(shard) for shard in table.finished("rensa").shards]
    yield
    word = re.compile(r"\w+")
    texts = [text for path in paths for text in pq.read_table(path, columns=["text"])["text"].to_pylist()]

    def tokens(text: str) -> list[str]:
        found = word.findall(text.lower())
        return [" ".join(found[i : i + 5]) for i in range(max(1, len(found) - 4))]

    signatures = RMinHash.from_token_sets([tokens(text) for text in texts], num_perm=BANDS * ROWS, seed=42)
    index = RMinHashLSH(threshold=0.7, num_perm=BANDS * ROWS, num_bands=BANDS)
    index.insert_many(signatures)
    parent = list(range(len(texts)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for node, found in enumerate(index.query_all(signatures)):
        for other in found:
            a, b = root(node), root(other)
            parent[max(a, b)] = min(a, b)
    sizes: dict[int, int] = defaultdict(int)
    for node in range(len(texts)):
        sizes[root(node)] += 1
    yield sum(size > 1 for size in sizes.values())


def datatrove(folder: Path):
    import logging

    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.dedup import minhash
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter
    from loguru import logger

    logger.remove()
    logging.disable(logging.WARNING)
    work, source = folder / "datatrove", str(folder / "jsonl")
    config = minhash.MinhashConfig(n_grams=5, num_buckets=BANDS, hashes_per_bucket=ROWS)
    signed, buckets, removed = str(work / "signatures"), str(work / "buckets"), str(work / "remove")
    steps = [
        ([JsonlReader(source), minhash.MinhashDedupSignature(signed, config=config)], 1),
        ([minhash.MinhashDedupBuckets(signed, buckets, config=config)], BANDS),
        ([minhash.MinhashDedupCluster(buckets, removed, config=config, save_cluster_size=True)], 1),
        ([JsonlReader(source), minhash.MinhashDedupFilter(removed), JsonlWriter(str(work / "kept"))], 1),
    ]
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    load_word_tokenizer("eng").word_tokenize("Load what is loaded once.")
    yield
    for number, (pipeline, tasks) in enumerate(steps):
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=str(work / f"logs{number}")).run()
    import gzip

    kept = 0
    for path in (work / "kept").glob("*.gz"):
        with gzip.open(path) as lines:
            kept += sum(1 for _ in lines)
    yield kept


def text_dedup(python: str, folder: Path, documents: str) -> float:
    """CPU seconds of `python -m text_dedup.minhash` on one Parquet file."""
    command = [python, "-m", "text_dedup.minhash", "--path", "parquet", "--data_files", documents, "--split", "train"]
    command += ["--cache_dir", str(folder / "td_cache"), "--output", str(folder / "td_out"), "--column", "text"]
    command += ["--ngram", "5", "--num_perm", str(BANDS * ROWS), "--b", str(BANDS), "--r", str(ROWS), "--num_proc", "1"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def child(python: str, contender: str, folder: Path) -> dict:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [python, __file__, "--contender", contender, "--folder", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(documents: int, repeats: int, peer_documents: int) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from benchmarks._dedup_corpus import planted, write_workspace

    texts, pairs = planted(documents)
    size = sum(map(len, texts)) / len(texts)
    lines = [
        f"{len(texts):,} documents of {size:,.0f} characters, {len(pairs):,} planted pairs; {BANDS} x {ROWS} bands"
    ]
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_workspace(str(folder / "workspace"), ({"text": text} for text in texts))
        write_workspace(str(folder / "warm"), ({"text": text} for text in texts[:50]))
        runs: dict[str, list[dict]] = {"gristmill": [], "rensa": []}
        for _ in range(repeats):
            for contender in runs:
                runs[contender].append(child(sys.executable, contender, folder))
        for contender, results in runs.items():
            rates[contender] = len(texts) / statistics.median(result["cpu"] for result in results)
        lines += quality(folder, texts, pairs)
        some = texts[:peer_documents]
        if python := os.environ.get("GRISTMILL_PEER_DATATROVE"):
            (folder / "jsonl").mkdir()
            with open(folder / "jsonl" / "some.jsonl", "w", encoding="utf-8") as file:
                file.writelines(json.dumps({"text": text, "id": str(i)}) + "\n" for i, text in enumerate(some))
            rates["datatrove"] = len(some) / child(python, "datatrove", folder)["cpu"]
        if python := os.environ.get("GRISTMILL_PEER_TEXT_DEDUP"):
            for count in (20, len(some)):
                pq.write_table(pa.table({"text": some[:count]}), folder / f"td{count}.parquet")
            start = text_dedup(python, folder, str(folder / "td20.parquet"))
            used = text_dedup(python, folder, str(folder / f"td{len(some)}.parquet"))
            rates["text-dedup"] = (len(some) - 20) / (used - start)
    lines.append(f"documents per CPU second (median of {repeats}; datatrove, text-dedup: one run on {len(some):,}):")
    for contender, rate in rates.items():
        lines.append(f"  {contender:<12} {rate:>9,.0f}   gristmill is {rates['gristmill'] / rate:.1f} x")
    for peer, floor in FLOOR.items():
        if peer in rates:
            held = rates["gristmill"] >= floor * rates[peer]
            lines.append(f"  {'holds' if held else 'MISSED'}: at least {floor} x {peer}")
        else:
            lines.append(f"  not measured: {peer} (set GRISTMILL_PEER_{peer.upper()} to its Python)")
    return lines


def quality(folder: Path, texts: list[str], pairs: list[tuple[int, int]]) -> list[str]:
    """Recall of the planted pairs by Jaccard, precision of what was joined, clusters without a survivor.

    The S-curve is an expectation: a run of n pairs scatters around it by the binomial law. So beside the mean over
    `SEEDS` stands the interval in which 19 of 20 runs would lie if every pair were found by a draw of its own, and how
    many of the seeds do: hash functions that are weak or hang together would be outside of it.
    """
    import numpy as np

    from benchmarks._dedup_corpus import jaccard, name, shingles, table_of
    from gristmill.corpus.store.workspace import Workspace
    from gristmill.dedup.minhash import s_curve
    from gristmill.dedup.settings import DedupSettings
    from gristmill.pipelines.engine.runner import RunnerOptions
    from gristmill.pipelines.stages.dedup.stage import deduplicate

    place = {name(i): i for i in range(len(texts))}
    sets: dict[int, set] = {}

    def exact(a: int, b: int) -> float:
        for i in (a, b):
            if i not in sets:
                sets[i] = shingles(texts[i])
        return jaccard(sets[a], sets[b])

    found = np.array([exact(a, b) for a, b in pairs])
    together, apart, joined, false, clusters = [], 0.0, 0, 0, 0
    for seed in SEEDS:
        settings = DedupSettings(preset="fineweb", fold="plain", threshold=THRESHOLD, bands=BANDS, rows=ROWS, seed=seed)
        deduplicate(Workspace(str(folder / "workspace")), settings, RunnerOptions(), force=True, quiet=True)
        rows = table_of(str(folder / "workspace"), "duplicates").to_pylist()
        cluster = {place[row["id"]]: row["cluster"] for row in rows}
        together.append([a in cluster and cluster[a] == cluster.get(b) for a, b in pairs])
        alive: dict[str, int] = {}
        for row in rows:
            value = exact(place[row["id"]], place[row["match"]])
            apart, false = max(apart, abs(value - row["jaccard"])), false + (value < THRESHOLD)
            alive[row["cluster"]] = alive.get(row["cluster"], 0) + row["survivor"]
        joined, clusters = joined + len(rows), clusters + len(alive)
        assert set(alive.values()) == {1}, "a cluster does not have exactly one survivor"
    by_seed = np.array(together)
    lines = [f"recall of planted pairs (one cluster) by exact Jaccard, mean of {len(SEEDS)} seeds [lowest, highest]:"]
    for low, high in itertools.pairwise(EDGES):
        inside = (found >= low) & (found < high)
        if inside.any():
            expected, recall = s_curve(found[inside], BANDS, ROWS).mean(), by_seed[:, inside].mean(axis=1)
            held = "holds" if recall.mean() >= expected - 0.02 else "MISSED"
            noise = 1.96 * (expected * (1 - expected) / inside.sum()) ** 0.5
            within = int((abs(recall - expected) <= noise + 0.5 / inside.sum()).sum())
            lines.append(
                f"  [{low:.1f}, {min(high, 1.0):.1f})  {inside.sum():>5} pairs  recall {recall.mean():.3f} "
                f"[{recall.min():.3f}, {recall.max():.3f}]  S-curve {expected:.3f}  {held}; "
                f"{within} of {len(SEEDS)} seeds within its {noise:.3f} of binomial noise"
            )
    lines.append(
        f"precision after verification {1 - false / max(1, joined):.4f} over {joined:,} joined documents (largest "
        f"difference of a recorded Jaccard from Python sets: {apart:.1e}); {clusters:,} clusters, 0 without a survivor"
    )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--peer-documents", type=int, default=2_000, help="for the two slow peers; their rate is flat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.contender:
        contend(asked.contender, asked.folder)
        return
    text = "\n".join(measure(asked.documents, asked.repeats, asked.peer_documents)) + "\n"
    print(text, end="")
    (Path(__file__).parent / "results" / "dedup_speed.txt").write_text(text)


if __name__ == "__main__":
    main()
