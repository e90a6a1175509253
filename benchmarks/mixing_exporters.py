"""Do trainers read an exported recipe as it was meant? 10,000 draws with their own samplers.

Three domains whose documents differ tenfold in length are exported to each trainer; the trainer's own code then builds
its mixture from the exported files and 10,000 samples are drawn (for pre-mixed shards: read). Where no package of the
trainer installs here (levanter, lingua) or there is nothing to call (nanochat, nanoGPT, modded-nanogpt read files), its
rule is stated again in a few lines. Asserted: the realised token share of every domain is within 1 % (absolute) of the
recipe. Beside it, what an exporter that copied the shares unconverted into a per-document loader would give.

    GRISTMILL_PEER_PYTHON=/path/to/python [GRISTMILL_STREAMING_PYTHON=…] python benchmarks/mixing_exporters.py

The peer interpreter needs the packages of the extra `trainers`. mosaicml-streaming pins older libraries than these
allow and goes into an interpreter of its own. A trainer that cannot be imported is named and skipped.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SHARES = {"long": 0.3, "middle": 0.2, "short": 0.5}
LENGTHS = {"long": 1000, "middle": 300, "short": 100}
DRAWS = 10_000
TRAINERS = (
    "megatron",
    "neox",
    "nanotron",
    "olmo",
    "torchtitan",
    "maxtext",
    "levanter",
    "hf",
    "foundry",
    "lingua",
    "litdata",
    "nanochat",
    "nanogpt",
    "modded_nanogpt",
)
OWN = {  # whose code draws; the rest is the trainer's rule stated again below
    "megatron": "megatron-core",
    "neox": "megatron-core, its blending helper is NeoX's",
    "nanotron": "datatrove and megatron-core, whose helper nanotron copies",
    "olmo": "ai2-olmo-core",
    "torchtitan": "grain",
    "maxtext": "grain",
    "hf": "datasets",
    "foundry": "mosaicml-streaming",
    "litdata": "litdata",
}


def make_workspace(folder: Path):
    """Three domains; every token of a domain is its own id range, so that any file tells where a token came from."""
    import numpy as np

    from gristmill.corpus.store import schema
    from gristmill.corpus.store.made import put_files, put_shards, put_table
    from gristmill.corpus.store.shards import open_file
    from gristmill.corpus.store.workspace import Workspace
    from gristmill.training.data.shards import TokenFacts, TokenRows, table_name, write_tokens
    from gristmill.training.data.tokenizer import train_tokenizer

    workspace = Workspace(str(folder))
    workspace.create()
    facts = TokenFacts("0" * 64, 4000, 0, None)
    told = {"tokenizer": "0" * 64, "vocab_size": 4000, "bos": 0, "eos": None}
    draw, documents = np.random.default_rng(0), []
    for number, (name, length) in enumerate(LENGTHS.items()):
        shards, splits = [], {}
        for split, count in (("train", 600_000 // length), ("heldout", 20)):
            rows = TokenRows()
            for i in range(count):
                id = f"{number:02d}{split == 'train':d}{i:029d}"
                size = int(draw.integers(length // 2, length * 3 // 2))
                rows.append(id, np.full(size, 1000 * (number + 1), np.uint16), 4 * size, 0)
                text = " ".join([name] * size)
                documents.append({"id": id, "text": text, "url": None, "source": "s", "domain": name})
            with open_file(workspace.table(table_name(name)).url, f"{split}-part.arrow") as out:
                out.rows = write_tokens(out.path, rows, facts)
                out.counts = {f"{split}_{key}": value for key, value in rows.totals().items()}
            shards.append(out.shard)
            splits[split] = rows.totals()
        put_shards(workspace, table_name(name), shards, stage="tokenize", details=told | splits)
    text = train_tokenizer([" ".join(LENGTHS)], 300)  # of the folder that Megatron is given; no token is made by it
    put_files(workspace, "tokenizer", {"tokenizer.json": text.encode()}, stage="tokenizer", details=told)
    put_table(workspace, "documents", schema.DOCUMENTS, {"part.parquet": documents}, stage="extract")
    return workspace


def export_all(folder: Path) -> None:
    from gristmill.mixing.exporters.frame import ExportJob
    from gristmill.mixing.exporters.registry import export_recipe
    from gristmill.mixing.proxies import domain_facts
    from gristmill.mixing.recipe import RecipePhase, make_recipe

    workspace = make_workspace(folder / "W")
    recipe = make_recipe(
        total_tokens=64 * DRAWS,
        domains=domain_facts(workspace, sorted(LENGTHS)),
        phases=[RecipePhase(until=1.0, seq_len=64, shares=SHARES)],
    )
    for to in TRAINERS:
        export_recipe(to, ExportJob(recipe, str(folder / to), workspace, batch=8))


# ---- what follows runs in the peer interpreter and imports nothing of gristmill


def megatron(folder: Path) -> dict[str, float]:
    import numpy as np
    from megatron.core.datasets import helpers
    from megatron.core.datasets.indexed_dataset import IndexedDataset
    from megatron.core.datasets.utils import get_blend_from_list, normalize

    prefixes, weights = get_blend_from_list((folder / "phase-1.args").read_text().split())
    assert weights is not None
    assert len(prefixes) == len(weights)
    index, sample = np.zeros(DRAWS, np.int16), np.zeros(DRAWS, np.int64)
    helpers.build_blending_indices(index, sample, normalize(weights), len(weights), DRAWS, False)
    files = [IndexedDataset(prefix) for prefix in prefixes]  # Megatron reads the files too; a view dies with its file
    names = [int(file[0][0]) // 1000 for file in files]
    order = list(SHARES)
    return counted([order[names[i] - 1] for i in index], dict.fromkeys(SHARES, 64))


def neox(folder: Path) -> dict[str, float]:
    import numpy as np
    import yaml
    from megatron.core.datasets import helpers
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    told = yaml.safe_load((folder / "data.yml").read_text())
    weights = np.array(told["train-data-weights"]) / sum(told["train-data-weights"])
    index, sample = np.zeros(DRAWS, np.int16), np.zeros(DRAWS, np.int64)
    helpers.build_blending_indices(index, sample, list(weights), len(weights), DRAWS, False)
    files = [IndexedDataset(prefix) for prefix in told["train-data-paths"]]
    names = [int(file[0][0]) // 1000 for file in files]
    return counted([list(SHARES)[names[i] - 1] for i in index], dict.fromkeys(SHARES, 64))


def nanotron(folder: Path) -> dict[str, float]:
    import numpy as np
    import yaml
    from datatrove.utils.dataset import DatatroveFolderDataset
    from megatron.core.datasets import helpers  # nanotron's own blending helper is this one

    dataset = yaml.safe_load((folder / "data_stages.yaml").read_text())["data_stages"][0]["data"]["dataset"]
    first = [
        int(DatatroveFolderDataset(path, 64, token_size=dataset["token_size_in_bytes"])[0]["input_ids"][0])
        for path in dataset["dataset_folder"]
    ]
    index, sample = np.zeros(DRAWS, np.int16), np.zeros(DRAWS, np.int64)
    weights = np.array(dataset["dataset_weights"]) / sum(dataset["dataset_weights"])
    helpers.build_blending_indices(index, sample, list(weights), len(weights), DRAWS, False)
    return counted([list(SHARES)[first[i] // 1000 - 1] for i in index], dict.fromkeys(SHARES, 64))


def olmo(folder: Path) -> dict[str, float]:
    import yaml
    from olmo_core.data.source_mixture import (
        SourceMixtureConfig,
        SourceMixtureDatasetConfig,
        SourceMixtureList,
    )
    from olmo_core.data.types import NumpyDatasetDType

    told = yaml.safe_load((folder / "phase-1.yaml").read_text())
    sources = [SourceMixtureConfig(**source) for source in told["source_list"]["sources"]]
    config = SourceMixtureDatasetConfig(
        source_list=SourceMixtureList(sources=sources),
        requested_tokens=told["requested_tokens"],
        global_batch_size=told["global_batch_size"],
        seed=told["seed"],
    )
    mixture = config.build(npdtype=NumpyDatasetDType(told["dtype"]).as_np_dtype(), sequence_length=64)
    tokens = {source.name: sum(path.tokens for path in source.path_tokens) for source in mixture.sources}
    return {name: value / sum(tokens.values()) for name, value in tokens.items()}


def torchtitan(folder: Path) -> dict[str, float]:
    """torchtitan's Grain pipeline mixes packed rows with Grain: the weights of the module, through Grain itself."""
    import ast

    import grain

    tree = ast.parse((folder / "mixture.py").read_text())
    weights = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "WEIGHTS"
    )[1]
    names = sorted(weights)
    rows = [grain.MapDataset.source([name]).repeat(DRAWS) for name in names]
    mixed = grain.MapDataset.mix(rows, weights=[weights[name] for name in names])
    return counted([mixed[i] for i in range(DRAWS)], dict.fromkeys(SHARES, 64))


def maxtext(folder: Path) -> dict[str, float]:
    """MaxText mixes records with Grain before it packs them; here records are the documents of the JSON lines."""
    import grain

    told = json.loads((folder / "phase-1.json").read_text())
    names = list(told)
    sets = [grain.MapDataset.source(documents(folder / "data" / f"{name}.jsonl.gz")).repeat() for name in names]
    mixed = grain.MapDataset.mix(sets, weights=[told[name]["weight"] for name in names])
    return in_words(mixed[i] for i in range(DRAWS))


def levanter(folder: Path) -> dict[str, float]:
    """Its rule again: whole sequences of each source in a block, truncated, the remainder to the largest."""
    import numpy as np
    import yaml

    told = yaml.safe_load((folder / "data.yaml").read_text())["data"]
    names, block = list(told["train_weights"]), told["mixture_block_size"]
    weights = np.array([told["train_weights"][name] for name in names])
    counts = (weights / weights.sum() * block).astype(int)
    counts[np.argmax(counts)] += block - counts.sum()
    ids = np.repeat(np.arange(len(names)), counts)
    drawn = np.concatenate([np.random.default_rng(n).permutation(ids) for n in range(-(-DRAWS // block))])[:DRAWS]
    return counted([names[i] for i in drawn], dict.fromkeys(SHARES, 64))


def lingua(folder: Path) -> dict[str, float]:
    """Its rule again: a source by its weight, then that source's next document; files begin anew when they end."""
    import itertools

    import numpy as np
    import yaml

    sources = yaml.safe_load((folder / "phase-1.yaml").read_text())["data"]["sources"]
    weights = np.array(list(sources.values()))
    draw = np.random.default_rng(0).choice(len(sources), DRAWS, p=weights / weights.sum())
    files = [itertools.cycle(documents(folder / "data" / name / f"{name}.chunk.00.jsonl")) for name in sources]
    return in_words(next(files[i]) for i in draw)


def foundry(folder: Path) -> dict[str, float]:
    import numpy as np
    import yaml
    from streaming import Stream, StreamingDataset

    told = yaml.safe_load((folder / "phase-1.yaml").read_text())["train_loader"]["dataset"]
    streams = [Stream(local=one["local"], proportion=one["proportion"]) for one in told["streams"].values()]
    data = StreamingDataset(
        streams=streams,
        epoch_size=DRAWS,
        shuffle=told["shuffle"],
        shuffle_seed=told["shuffle_seed"],
        batching_method=told["batching_method"],
        batch_size=8,
    )
    return read([np.asarray(row["tokens"]) for row in data])


def nanochat(folder: Path) -> dict[str, float]:
    """Its rule again: every Parquet file in the order of names but the last, which is for validation."""
    import pyarrow.parquet as pq

    files = sorted(folder.glob("**/*.parquet"))[:-1]
    return in_words(text for file in files for text in pq.read_table(file)["text"].to_pylist())


def documents(path: Path) -> list[str]:
    import gzip

    with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as file:
        return [json.loads(line)["text"] for line in file]


def in_words(texts) -> dict[str, float]:
    """Token shares of texts whose every word is the name of their domain."""
    tokens = dict.fromkeys(SHARES, 0)
    for text in texts:
        tokens[text.split(" ", 1)[0]] += text.count(" ") + 1
    return {name: value / sum(tokens.values()) for name, value in tokens.items()}


def hf(folder: Path) -> dict[str, float]:
    import importlib.util
    import itertools

    spec = importlib.util.spec_from_file_location("mixture", folder / "mixture.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return in_words(row["text"] for row in itertools.islice(module.load(1), DRAWS))


def litdata(folder: Path) -> dict[str, float]:
    import numpy as np
    from litdata import StreamingDataset, TokensLoader

    data = StreamingDataset(str(folder / "train"), item_loader=TokensLoader(block_size=65), shuffle=False)
    return read([np.asarray(data[i]) for i in range(len(data))])


def nanogpt(folder: Path) -> dict[str, float]:
    import numpy as np

    data = np.memmap(folder / "train.bin", dtype=np.uint16, mode="r")  # as its get_batch does
    starts = np.random.default_rng(0).integers(0, len(data) - 64, DRAWS)
    return read([data[start : start + 64] for start in starts])


def modded_nanogpt(folder: Path) -> dict[str, float]:
    import numpy as np

    parts = []
    for path in sorted(folder.glob("gristmill_train_*.bin")):
        header = np.fromfile(path, np.int32, 256)
        assert header[0] == 20240520
        assert header[1] == 1
        parts.append(np.fromfile(path, np.uint16, int(header[2]), offset=1024))
    return read(parts)


def read(parts) -> dict[str, float]:
    import numpy as np

    count = np.bincount(np.concatenate([np.asarray(part) for part in parts]).astype(np.int64) // 1000, minlength=4)[1:]
    return dict(zip(SHARES, (count / count.sum()).tolist(), strict=True))


def counted(drawn, tokens) -> dict[str, float]:
    total = {name: sum(one == name for one in drawn) * tokens[name] for name in SHARES}
    return {name: value / sum(total.values()) for name, value in total.items()}


def in_peer(folder: Path, trainers: list[str]) -> None:
    found = {}
    for to in trainers:
        try:
            found[to] = globals()[to](folder / to)
        except ImportError as error:
            found[to] = f"skipped: {error}"
    print("RESULT " + json.dumps(found))


def ask(peer: str, folder: str, trainers: list[str]) -> dict:
    """The shares that an interpreter with the trainers' packages realises."""
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [peer, __file__, "--peer", *trainers, folder]
    done = subprocess.run(command, capture_output=True, text=True, env=quiet)
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        sys.exit(f"{peer} failed:\n{done.stderr[-3000:]}")
    return json.loads(line.removeprefix("RESULT "))


def main() -> None:
    peer = os.environ.get("GRISTMILL_PEER_PYTHON")
    if not peer:
        sys.exit("set GRISTMILL_PEER_PYTHON to an interpreter with the trainers' packages (see the docstring)")
    with tempfile.TemporaryDirectory() as name:
        export_all(Path(name))
        found = ask(peer, name, [to for to in TRAINERS if to != "foundry"])
        found |= ask(os.environ.get("GRISTMILL_STREAMING_PYTHON", peer), name, ["foundry"])
    print(f"recipe: {SHARES}; mean tokens per document: {LENGTHS}; {DRAWS:,} draws")
    wrong = {name: SHARES[name] * LENGTHS[name] for name in SHARES}
    print(
        "unconverted shares in a per-document loader would give: "
        + ", ".join(f"{name} {value / sum(wrong.values()):.4f}" for name, value in wrong.items())
    )
    failed = False
    for to in TRAINERS:
        shares = found[to]
        if isinstance(shares, str):
            print(f"{to:<15} {shares}")
            continue
        worst = max(abs(shares[name] - SHARES[name]) for name in SHARES)
        failed |= worst > 0.01
        told = ", ".join(f"{name} {shares[name]:.4f}" for name in SHARES)
        print(f"{to:<15} {told}; worst {worst:.4f}; drawn by {OWN.get(to, 'its rule stated again')}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    if "--peer" in sys.argv:
        in_peer(Path(sys.argv[-1]), sys.argv[2:-1])
    else:
        main()
