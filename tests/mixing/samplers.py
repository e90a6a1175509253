"""The samplers of the trainers, stated again from their sources: what each reads of an export, phase by phase.

Each takes the folder of an export and the number of ranks, and gives, for each phase, what each rank reads in its
order: (domain, unit, tokens). A unit is a row of its domain or a document, by number. The sources are named at each.
"""

import gzip
import itertools
import json
import math
import re

import numpy as np
import pyarrow.parquet as pq
import yaml

from gristmill.mixing.exporters.levanter import block_counts
from gristmill.mixing.exporters.maxtext import grain_proportions

from .export_case import largest_deficit

Read = list[tuple[str, int, int]]


def dealt(order: Read, world: int, batch: int) -> list[Read]:
    """Global steps of `batch` rows, of which every rank reads its consecutive part."""
    part = batch // world
    return [[unit for at in range(r * part, len(order), batch) for unit in order[at : at + part]] for r in range(world)]


def stem(path: str) -> str:
    return path.rsplit("/", 1)[1].removesuffix("_train_text_document")


def gpt_samples(lengths: np.ndarray, samples: int, seq_len: int, seed: int) -> list[list[tuple[int, int]]]:
    """The documents and tokens of each sample (`megatron/core/datasets/gpt_dataset.py`: document, sample and shuffle
    index; the last epoch is shuffled apart where less than 80 % of it is needed)."""
    per_epoch = int(lengths.sum())
    epochs = max(1, math.ceil((samples * seq_len + 1) / per_epoch))
    before = ((epochs - 1) * per_epoch - 1) // seq_len
    apart = epochs > 1 and samples - before < int(0.8 * ((per_epoch - 1) // seq_len))
    state = np.random.RandomState(seed)

    def shuffled(count: int) -> np.ndarray:
        order = np.tile(np.arange(len(lengths)), count)
        state.shuffle(order)
        return order

    documents = np.concatenate([shuffled(epochs - 1), shuffled(1)]) if apart else shuffled(epochs)
    stream = np.repeat(documents, lengths[documents])
    total = (len(stream) - 1) // seq_len
    parts = [np.arange(before), np.arange(before, total)] if apart else [np.arange(total)]
    for part in parts:
        state.shuffle(part)
    return [runs_of(stream[i * seq_len : (i + 1) * seq_len]) for i in np.concatenate(parts)[:samples]]


def runs_of(values: np.ndarray) -> list[tuple[int, int]]:
    """Each value of a run of equal ones, and how long the run is."""
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    return [(int(values[a]), b - a) for a, b in itertools.pairwise(edges)]


def blended(folder, weights, names, samples: int, seq_len: int, seed: int) -> Read:
    """`helpers.cpp: build_blending_indices` over data sets of ceil(ceil(n w) 1.005) samples each
    (`blended_megatron_dataset_builder.py`); a sample that is not there is an IndexError."""
    weights = np.array(weights) / sum(weights)
    chosen, made, at = largest_deficit(weights, samples), {}, dict.fromkeys(names, 0)
    for name, weight in zip(names, weights, strict=True):
        index = (folder / "data" / f"{name}_train_text_document.idx").read_bytes()
        lengths = np.frombuffer(index, "<i4", int(np.frombuffer(index, "<u8", 1, 18)[0]), 34)
        made[name] = gpt_samples(lengths, math.ceil(math.ceil(samples * weight) * 1.005), seq_len, seed)
    order: Read = []
    for place in chosen:
        name = names[place]
        order.append((name, made[name][at[name]], seq_len))  # type: ignore[arg-type]
        at[name] += 1
    return order


def megatron(folder, world, batch):
    script, found = (folder / "run.sh").read_text(), []
    starts = [0, *map(int, re.findall(r"--phase-transition-iterations ([\d,]+)", script)[0].split(","))] if (
        "--phase-transition" in script) else [0]  # fmt: skip
    end = int(re.findall(r"--train-iters (\d+)", script)[-1])
    runs = re.findall(r"phase-(\d+)\.args.*--seq-length (\d+).*--seed (\d+)", script)
    for (number, seq_len, seed), first, last in zip(runs, starts, [*starts[1:], end], strict=True):
        parts = (folder / f"phase-{number}.args").read_text().split()
        names = [stem(path) for path in parts[1::2]]
        weights = [float(part) for part in parts[::2]]
        order = blended(folder, weights, names, (last - first) * batch, int(seq_len), int(seed))
        found.append(dealt(order, world, batch))
    return found


def neox(folder, world, batch):
    told = yaml.safe_load((folder / "data.yml").read_text())
    names = [stem(path) for path in told["train-data-paths"]]
    samples = told["train-iters"] * batch
    order = blended(folder, told["train-data-weights"], names, samples, told["seq-length"], told["seed"])
    return [dealt(order, world, batch)]


def nanotron(folder, world, batch):
    """`nanotron/data/nanoset.py: build_nanoset_index`."""
    told = yaml.safe_load((folder / "data_stages.yaml").read_text())
    stages, end = told["data_stages"], told["tokens"]["train_steps"] + 1
    starts = [stage["start_training_step"] for stage in stages]
    found = []
    for stage, first, last in zip(stages, starts, [*starts[1:], end], strict=True):
        own, seq_len = stage["data"]["dataset"], stage["sequence_length"]
        names = [path.rsplit("/", 1)[1] for path in own["dataset_folder"]]
        files = [folder / "data" / name / "00000.ds" for name in names]
        rows = [file.stat().st_size // own["token_size_in_bytes"] // (seq_len + 1) for file in files]
        chosen = largest_deficit(np.array(own["dataset_weights"]) / sum(own["dataset_weights"]), sum(rows))
        at, passed = [0] * len(names), []
        for place in chosen:
            passed.append((names[place], at[place] % rows[place], seq_len))
            at[place] += 1
        order = np.arange(len(passed))
        np.random.RandomState(stage["data"]["seed"]).shuffle(order)
        samples = (last - first) * batch
        found.append(dealt([passed[order[i % len(order)]] for i in range(samples)], world, batch))
    return found


def olmo(folder, world, batch):
    """`olmo_core/data/source_mixture.py`: whole copies of a source, then its first part; instances by Hamilton."""
    found = []
    for file in sorted(folder.glob("phase-*.yaml")):
        told = yaml.safe_load(file.read_text())
        seq_len, wanted = told["sequence_length"], told["requested_tokens"]
        parts = []  # domain, instances, what is left over, instances there are
        for source in told["source_list"]["sources"]:
            there = (folder / "data" / f"{source['source_name']}.npy").stat().st_size // np.dtype(
                told["dtype"]
            ).itemsize
            need = int(wanted * source["target_ratio"])
            assert need <= int(there * source["max_repetition_ratio"]), "Insufficient tokens for source"
            left = need / there
            while left > 0:
                kept = math.ceil(there * min(1.0, left))
                whole = kept // seq_len
                parts.append(
                    [source["source_name"], whole, (kept % seq_len) * (whole < there // seq_len), there // seq_len]
                )
                left -= min(1.0, left)
        missing = math.ceil(wanted / told["global_batch_size"]) * told["global_batch_size"] // seq_len
        missing -= sum(part[1] for part in parts)
        free = sorted((part for part in parts if part[1] < part[3]), key=lambda part: -part[2])
        for i in range(max(0, missing)):
            free[i % len(free)][1] += 1
        order = [(name, row, seq_len) for name, count, _, _ in parts for row in range(count)]
        mixed = [order[i] for i in np.random.default_rng(told["seed"]).permutation(len(order))]
        found.append(dealt(mixed[: len(mixed) // batch * batch], world, batch))
    return found


def torchtitan(folder, world, batch):
    """Rows are packed in each domain, mixed by Grain (`transformations/mix.py`), and repeated in another order."""
    told: dict = {}
    text = (folder / "mixture.py").read_text()
    exec("\n".join(line for line in text.split("\n") if re.match(r"(WEIGHTS|STEPS|SEQ_LEN|SEED) = ", line)), told)
    found = []
    for number, steps in told["STEPS"].items():
        seq_len, whole = told["SEQ_LEN"][number], grain_proportions(told["WEIGHTS"][number])
        names = sorted(whole)
        rows = {name: tokens_of(folder, f"{name}.parquet") // seq_len for name in names}
        chosen = largest_deficit(np.array([whole[name] for name in names]) / sum(whole.values()), steps * batch)
        found.append(dealt(in_passes(names, chosen, rows, seq_len, told["SEED"] + number), world, batch))
    return found


def in_passes(names, chosen, rows, tokens, seed) -> Read:
    """The draws of each source, pass after pass, each in another order."""
    orders, at, order = {}, dict.fromkeys(names, 0), []
    for place in chosen:
        name = names[place]
        number, within = divmod(at[name], rows[name])
        if (name, number) not in orders:
            orders[name, number] = np.random.default_rng([seed, place, number]).permutation(rows[name])
        unit = int(orders[name, number][within])
        order.append((name, unit, tokens if isinstance(tokens, int) else tokens[name][unit]))
        at[name] += 1
    return order


def maxtext(folder, world, batch):
    """Documents mixed by Grain before they are packed; each phase ends when its tokens are read."""
    found = []
    for number, (tokens, file) in enumerate(zip(told_tokens(folder), sorted(folder.glob("phase-*.json")), strict=True)):
        whole = grain_proportions({name: row["weight"] for name, row in json.loads(file.read_text()).items()})
        names = list(whole)
        sizes = {name: sizes_of(folder, f"{name}.jsonl.gz") for name in names}
        mean = sum(whole[name] * sizes[name].mean() for name in names) / sum(whole.values())
        draws = int(1.2 * tokens / mean) + 200
        chosen = largest_deficit(np.array([whole[name] for name in names]) / sum(whole.values()), draws)
        rows = {name: len(size) for name, size in sizes.items()}
        found.append(until(in_passes(names, chosen, rows, sizes, number), tokens, world))
    return found


def until(order: Read, tokens: int, world: int) -> list[Read]:
    """Documents until their tokens are out; ranks take every so manieth."""
    ends = np.cumsum([unit[2] for unit in order])
    own = order[: int(np.searchsorted(ends, tokens)) + 1]
    return [own[rank::world] for rank in range(world)]


def levanter(folder, world, batch):
    """`levanter/data/mixture.py`: whole sequences of each source in a block, in an order of the block's own; sources
    go on from stage to stage, and begin again where they end."""
    told = yaml.safe_load((folder / "data.yaml").read_text())
    data, block, seq_len = told["data"], told["data"]["mixture_block_size"], told["train_seq_len"]
    stages = data["train_weights"] if isinstance(data["train_weights"], list) else [[0, data["train_weights"]]]
    bounds = [*(start for start, _ in stages), told["trainer"]["num_train_steps"]]
    names = sorted(stages[0][1])
    rows = {name: tokens_of(folder, f"{name}.jsonl.gz") // seq_len for name in names}
    order, number, cuts = [], 0, []
    for (_, weights), first, last in zip(stages, bounds, bounds[1:], strict=False):
        counts = block_counts({name: weight for name, weight in weights.items() if weight}, block)
        assert first * batch % block == 0
        for _ in range(-(-(last - first) * batch // block)):
            ids = np.repeat([names.index(name) for name in counts], list(counts.values()))
            order.append(np.random.default_rng(number).permutation(ids)[: (last * batch) - number * block])
            number += 1
        cuts.append(last * batch)
    read = in_passes(names, np.concatenate(order), rows, seq_len, 0)
    return [dealt(read[a:b], world, batch) for a, b in zip([0, *cuts], cuts, strict=False)]


def foundry(folder, world, batch):
    """`streaming/base/stream.py: apply_weights` and `sampling.py`: choose = proportion x epoch size, whole passes and
    for the rest a part of the samples at random."""
    found = []
    for file in sorted(folder.glob("phase-*.yaml")):
        told = yaml.safe_load(file.read_text())
        own = told["train_loader"]["dataset"]
        size, seq_len = own["epoch_size"], own["max_seq_len"]
        draw, order = np.random.default_rng(own["shuffle_seed"]), []
        exact = {name: stream["proportion"] * size for name, stream in own["streams"].items()}
        counts = {name: int(value) for name, value in exact.items()}
        for name in sorted(exact, key=lambda name: counts[name] - exact[name])[: size - sum(counts.values())]:
            counts[name] += 1
        for name, count in counts.items():
            there = json.loads((folder / "data" / name / "index.json").read_text())["shards"]
            rows = sum(shard["samples"] for shard in there)
            units = [*np.tile(np.arange(rows), count // rows), *draw.permutation(rows)[: count % rows]]
            order += [(name, int(unit), seq_len) for unit in units]
        mixed = [order[i] for i in draw.permutation(len(order))]
        assert told["max_duration"] == f"{size // told['global_train_batch_size']}ba"
        found.append(dealt(mixed, world, batch))
    return found


def lingua(folder, world, batch):
    """`lingua/data.py`: each rank draws a source by weight, then the next of the lines that are its own."""
    found = []
    for file in sorted(folder.glob("phase-*.yaml")):
        told = yaml.safe_load(file.read_text())
        own, ranks = told["data"], []
        names, weights = list(own["sources"]), np.array(list(own["sources"].values()))
        sizes = {name: sizes_of(folder, f"{name}/{name}.chunk.00.jsonl") for name in names}
        for rank in range(world):
            draw = np.random.default_rng((own["seed"], rank, world))
            at, read, left = dict.fromkeys(names, 0), [], told["steps"] * batch * own["seq_len"] / world
            while left > 0:
                name = names[draw.choice(len(names), p=weights / weights.sum())]
                lines = range(rank, len(sizes[name]), world)
                unit = lines[at[name] % len(lines)]
                at[name] += 1
                left -= sizes[name][unit]
                read.append((name, unit, int(sizes[name][unit])))
            ranks.append(read)
        found.append(ranks)
    return found


def told_tokens(folder) -> list[int]:
    return json.loads((folder / "tokens.json").read_text())


def sizes_of(folder, name: str) -> np.ndarray:
    """(documents,) tokens of the texts in a file of the export; the test says what a text has."""
    path = folder / "data" / name
    if name.endswith(".parquet"):
        texts = pq.read_table(path)["text"].to_pylist()
    else:
        with gzip.open(path, "rt") if name.endswith(".gz") else open(path) as file:
            texts = [json.loads(line)["text"] for line in file]
    known = json.loads((folder / "sizes.json").read_text())
    return np.array([known[text] for text in texts])


def tokens_of(folder, name: str) -> int:
    return int(sizes_of(folder, name).sum())


SAMPLERS = {f.__name__: f for f in (megatron, neox, nanotron, olmo, torchtitan, maxtext, levanter, foundry, lingua)}
