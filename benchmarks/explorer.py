"""Claim: on ten million documents each view of the explorer takes under 1 s after the first, under 1 GB of memory.

    python -m benchmarks.explorer [--documents 10000000] [--folder FOLDER]

A workspace of stubs is made in a temporary folder, or in one that is given and kept: documents of 40 domains, 20
languages and hosts by Zipf's law; Gopher's signals drawn from fixed laws; decisions by the rule set itself, over these
signals; clusters of duplicates; vectors of 16 numbers around 8 centres.
Each view is asked for twice in a process of its own, with other thresholds, domains and pages the second time, so that
no answer is given again. One line on the map is as drawn by hand, with the 50 corners that the page leaves at most.
Memory is the peak of that process, with the making of `facts` and of the map told apart. The trivial baseline is the
same count by SQL over the workspace's views.
"""

import argparse
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from gristmill.corpus.store import schema
from gristmill.corpus.store.catalog import open_catalog
from gristmill.corpus.store.fate import inputs
from gristmill.corpus.store.made import put_shards
from gristmill.corpus.store.shards import open_shard
from gristmill.corpus.store.workspace import Workspace
from gristmill.filters.rule_sets import Compiled, compiled, load_rules
from gristmill.filters.signals.families import FAMILIES
from gristmill.pipelines.stages.filter.settings import DecideSettings

FAMILY, SHARD = "gopher@paper", 100_000
INTEGERS = {"word_count": (5.6, 1.1), "stop_words": (2.0, 1.0)}  # log-normal
RULES = "gopher"
WIDTH = 16  # of a vector
VECTORS = pa.schema([pa.field("id", pa.string(), nullable=False), ("embedding", pa.list_(pa.float32()))])
VIEWS = [  # two addresses a view
    ("funnel", "funnel?domain=d3"),
    ("funnel?by=host", "funnel?by=language"),
    ("funnel?by=host&domain=d5", "funnel?by=host&domain=d6"),
    ("signals", "signals"),
    ("signals?rule=RULE0&t=60&by=domain", "signals?rule=RULE0&t=75&by=domain"),
    ("signals?rule=RULE0&t=61&part=moved", "signals?rule=RULE0&t=83&part=moved"),
    ("signals?signal=gopher@paper.word_count&with=bytes", "signals?signal=gopher@paper.alpha_words&with=bytes"),
    ("documents", "documents?page=3"),
    ("documents?fate=dropped&domain=d1", "documents?fate=kept&domain=d2&language=l3"),
    ("documents?where=bytes+%3E+100&facet=%22host%22", "documents?where=bytes+%3E+90&facet=%22host%22"),
    ("documents?fails=RULE0", "documents?fails=RULE0&alone=1"),
    ("documents?sort=largest", "documents?sort=smallest&domain=d4"),
    ("document/ID0", "document/ID1"),
    ("duplicates", "duplicates?domain=d1"),
    ("cluster/CLUSTER0", "cluster/CLUSTER1"),
    ("pair/CLUSTER0/MEMBER0", "pair/CLUSTER1/MEMBER1"),
    ("map", "map?colour=%22language%22"),
    ("map?lasso=0,0+1,0+1,1+0,1", "map?lasso=-1,-1+0,-1+0,0+-0.5,0.5"),
    ("documents?lasso=0,0+1,0+1,1+0,1", "documents?lasso=-1,-1+0,-1+0,0+-0.5,0.5"),
    ("map?lasso=HAND0", "map?lasso=HAND1"),
    ("documents?lasso=HAND0", "documents?lasso=HAND1"),
    (
        "sql?sql=select+domain,count(*)+from+facts+group+by+all",
        "sql?sql=select+language,count(*)+from+facts+group+by+all",
    ),
]


def ids_of(shard: int, rows: int) -> list[str]:
    """Ids that look like digests: spread evenly, the same each time."""
    draw = np.random.default_rng(shard).integers(0, 1 << 62, (rows, 2))
    return [f"{a:016x}{b:016x}"[::-1] for a, b in draw.tolist()]


def write(space: Workspace, documents: int) -> None:
    """Every table, shard by shard."""
    rules = load_rules(RULES)
    decide = compiled(rules)[0]
    made: dict[str, list] = {
        name: [] for name in ("documents", "signals", "decisions", "duplicates", "dedup", "embeddings")
    }
    kinds = {"documents": schema.DOCUMENTS, "signals": FAMILIES[FAMILY].schema, "decisions": schema.DECISIONS,
             "duplicates": schema.DUPLICATES, "dedup": schema.DECISIONS, "embeddings": VECTORS}  # fmt: skip
    tables = {"documents": "documents", "signals": f"signals/{FAMILY}", "decisions": "decisions/filter",
              "duplicates": "duplicates", "dedup": "decisions/dedup", "embeddings": "embeddings"}  # fmt: skip
    for number in range(-(-documents // SHARD)):
        rows = min(SHARD, documents - number * SHARD)
        for name, table in one_shard(number, rows, decide).items():
            with open_shard(space.table(tables[name]).url, f"s{number:05d}.parquet", kinds[name]) as out:
                for batch in table.cast(kinds[name]).combine_chunks().to_batches(1 << 16):
                    out.write_batch(batch)
            made[name].append(out.shard)
    put_shards(space, "documents", made["documents"], stage="extract")
    put_shards(space, f"signals/{FAMILY}", made["signals"])
    put_shards(space, "embeddings", made["embeddings"], stage="embed")
    settings = DecideSettings(rules=rules).model_dump(mode="json")
    put_shards(
        space, "decisions/filter", made["decisions"], settings=settings, inputs=inputs(space, "filter", before=())
    )
    chain = inputs(space, "dedup", before=("filter",))
    put_shards(space, "duplicates", made["duplicates"], stage="dedup", inputs=chain, after=("filter",))
    put_shards(space, "decisions/dedup", made["dedup"], stage="dedup", inputs=chain, after=("filter",))


def one_shard(number: int, rows: int, decide: Compiled) -> dict[str, pa.Table]:
    """The rows of each table for one shard of documents."""
    draw = np.random.default_rng(1000 + number)
    ids = pa.array(ids_of(number, rows))
    hosts = np.minimum(draw.zipf(1.3, rows), 200_000)
    domains, languages = draw.integers(0, 40, rows), np.minimum(draw.zipf(1.6, rows), 20)
    nothing = {field.name: pa.nulls(rows, field.type) for field in schema.DOCUMENTS}
    texts = [
        f"stub {n} of {h}" * (1 + n % 9)
        for n, h in zip(draw.integers(0, 1 << 30, rows).tolist(), hosts.tolist(), strict=True)
    ]
    documents = pa.table(
        nothing
        | {
            "id": ids,
            "text": pa.array(texts),
            "host": pa.array([f"h{h}.example" for h in hosts.tolist()]),
            "url": pa.array([f"https://h{h}.example/{n}" for n, h in enumerate(hosts.tolist())]),
            "source": pa.array(["crawl"] * rows),
            "domain": pa.array([f"d{d}" for d in domains.tolist()]),
            "language": pa.array([f"l{one}" for one in languages.tolist()]),
        }
    )
    columns = []
    for field in FAMILIES[FAMILY].type:
        if field.name in INTEGERS:
            values = np.exp(draw.normal(*INTEGERS[field.name], rows)).astype(np.int64)
        elif field.name == "mean_word_length":
            values = draw.normal(5.2, 1.2, rows).clip(1)
        elif field.name == "alpha_words":
            values = 1 - draw.beta(1.5, 14, rows)
        else:
            values = draw.beta(0.6, 12, rows)
        columns.append(pa.array(values, field.type))
    measured = pa.StructArray.from_arrays(columns, fields=list(FAMILIES[FAMILY].type))
    plain = documents.select(["id", *(n for n in documents.column_names if n in decide.columns and n != "id")])
    decided = decide.decide(plain.append_column(FAMILY, measured), "filter", False).select(schema.DECISIONS.names)
    kept = decided.filter(decided["kept"])["id"].combine_chunks()
    cluster, fates = clusters_of(kept.to_pylist(), draw)
    centres = np.random.default_rng(0).normal(0, 1, (8, WIDTH))
    vectors = centres[draw.integers(0, 8, rows)] + draw.normal(0, 0.4, (rows, WIDTH))
    flat = pa.array(vectors.astype(np.float32).ravel())
    held = pa.ListArray.from_arrays(np.arange(0, WIDTH * (rows + 1), WIDTH, dtype=np.int32), flat)
    return {
        "embeddings": pa.table({"id": ids, "embedding": held}),
        "documents": documents,
        "signals": pa.table({"id": ids, FAMILY: measured}),
        "decisions": decided,
        "duplicates": cluster,
        "dedup": fates,
    }


def clusters_of(kept: list[str], draw: np.random.Generator) -> tuple[pa.Table, pa.Table]:
    """Rows of duplicates/ and decisions/dedup/ of one shard: a quarter of what is left lies in clusters."""
    rows, at = [], 0
    while at < len(kept) // 4:
        members = kept[at : at + min(40, int(draw.zipf(2.2)) + 1)]
        at += len(members)
        for place, one in enumerate(members):
            rows.append((one, min(members), len(members), place == 0, members[0] if place else None, members[0],
                         0.8 + 0.2 * draw.random(), "minhash", "global"))  # fmt: skip
    columns = list(zip(*rows, strict=True)) if rows else [[] for _ in schema.DUPLICATES.names]
    table = pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, schema.DUPLICATES, strict=True)], schema=schema.DUPLICATES
    )
    gone = {row[0]: (row[6], row[4]) for row in rows if row[4] is not None}
    fates = [
        {"id": one, "kept": one not in gone, "stage": "dedup", "rule": "minhash" if one in gone else None,
         "value": gone[one][0] if one in gone else None, "threshold": 0.8 if one in gone else None,
         "duplicate_of": gone[one][1] if one in gone else None}
        for one in kept
    ]  # fmt: skip
    return table, pa.Table.from_pylist(fates, schema=schema.DECISIONS)


def drawn_by_hand(seed: int, corners: int = 50) -> str:
    """A line around the middle of the map."""
    told = []
    for n in range(corners):
        turn = math.tau * n / corners
        far = 0.5 + 0.1 * math.sin(3 * turn + seed) + 0.05 * math.cos(5 * turn)
        told.append(f"{far * math.cos(turn):.5g},{far * math.sin(turn):.5g}")
    return "+".join(told)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def ask(url: str) -> None:
    """In a process of its own: open, ask for every view twice, print what it took as JSON."""
    from urllib.parse import parse_qs

    from gristmill.pipelines.explorer.server import Explorer

    explorer = Explorer(Workspace(url))
    begun = time.perf_counter()
    source = explorer.source()
    told: dict[str, object] = {"open": time.perf_counter() - begun, "open_mb": peak(), "views": []}
    begun = time.perf_counter()
    while b"is being made" in explorer.answer("map", {"part": ["none"]}).body:
        time.sleep(0.2)
    told |= {"map": time.perf_counter() - begun, "map_mb": peak()}
    source = explorer.source()
    ids = source.rows("select id from facts where id > '8' limit 2")[1]
    named = {f"ID{n}": one for n, (one,) in enumerate(ids)}
    clusters = source.rows("select cluster from clusters order by members desc, cluster limit 2")[1]
    for n, (cluster,) in enumerate(clusters):
        member = f"select max(id) from copies where cluster = '{cluster}'"
        named |= {f"CLUSTER{n}": cluster, f"MEMBER{n}": source.rows(member)[1][0][0]}
    assert source.rules is not None
    named |= {"RULE0": source.rules.rules[0].rule, "HAND0": drawn_by_hand(0), "HAND1": drawn_by_hand(1)}
    views = []
    for pair in VIEWS:
        seconds = []
        for address in pair:
            for name, value in named.items():
                address = address.replace(name, value)
            path, _, query = address.partition("?")
            begun, used = time.perf_counter(), time.process_time()
            answer = explorer.answer(path, parse_qs(query))
            seconds += [time.perf_counter() - begun, time.process_time() - used]
            assert answer.status == 200, (address, answer.body[-400:])
        views.append((pair[0], *seconds))
    told |= {"views": views, "mb": peak(), "documents": source.rows("select documents from about")[1][0][0]}
    sys.stdout.write(json.dumps(told) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=10_000_000)
    parser.add_argument("--folder", help="of the workspace, which is made there where it is not, and kept")
    parser.add_argument("--ask", help="only ask, of the workspace that is there")
    given = parser.parse_args()
    if given.ask:
        ask(given.ask)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or scratch
        space = Workspace(str(Path(folder) / "w"))
        if not os.path.exists(space.path("commits", "dedup.json")):
            write(space, given.documents)
        shutil.rmtree(Path(folder) / "cache", ignore_errors=True)
        surroundings = {**os.environ, "XDG_CACHE_HOME": str(Path(folder) / "cache")}
        answers = []
        for _ in range(2):  # the first makes `facts`, the second finds it there
            command = [sys.executable, "-m", "benchmarks.explorer", "--ask", space.url]
            done = subprocess.run(command, env=surroundings, stdout=subprocess.PIPE, check=True, text=True)
            answers.append(json.loads(done.stdout.splitlines()[-1]))
        first, second = answers
        size = sum(path.stat().st_size for path in (Path(folder) / "cache").rglob("*.duckdb")) / 1e9
        print(f"{second['documents']:,} documents; facts made in {first['open']:.1f} s, peak {first['open_mb']} MB, "
              f"{size:.2f} GB on disk")  # fmt: skip
        print(f"map made in {first['map']:.1f} s, peak {first['map_mb']} MB")
        print(f"opened again in {second['open']:.1f} s; peak of all views {second['mb']} MB")
        for name, one, one_cpu, other, other_cpu in second["views"]:
            print(f"  {name}: first {one:.2f} s ({one_cpu:.2f} CPU s), then {other:.2f} s ({other_cpu:.2f} CPU s)")
        worst = max(row[3] for row in second["views"])
        most = max(row[4] for row in second["views"])
        begun = time.perf_counter()
        with open_catalog(space) as connection:
            connection.execute(
                "select count(*) from decisions d join signals s using (id) where d.kept and "
                's."gopher@paper".word_count < 60'
            ).fetchall()
        base = time.perf_counter() - begun
        print(f"baseline, one such count over the workspace's views: {base:.2f} s")
        print(f"slowest view after the first: {worst:.2f} s ({base / worst:.1f} times as fast as the baseline); most "
              f"CPU of any: {most:.2f} s")  # fmt: skip
        print(f"under 1 s: {worst < 1}; under 1 GB: {max(first['mb'], second['mb']) < 1000}")


if __name__ == "__main__":
    main()
