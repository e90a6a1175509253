"""One contract for every trainer, its sampler re-stated in a few lines, and the bytes of the materialised shards."""

import fnmatch
import gzip
import importlib.util
import json
import struct
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.fate import ShardSource, sources
from gristmill.mixing.exporters.frame import ExportJob
from gristmill.mixing.exporters.levanter import block_counts
from gristmill.mixing.exporters.registry import EXPORTERS, export_recipe
from gristmill.mixing.exporters.rows import MixedStream
from gristmill.mixing.recipe import Evidence, RecipePhase, make_recipe
from gristmill.training.data.shards import TokenDomain, TokenFacts, document_ids

from .export_case import DRAWS, LENGTHS, SHARES, close, job, largest_deficit, recipe, token_share

PREMIXED = ("nanochat", "nanogpt", "modded_nanogpt", "litdata")
TINY = {"long": 0.3, "middle": 0.2, "short": 0.5}


def tiny(facts, phases=None, total=150_000):
    return make_recipe(
        total_tokens=total, domains=facts, phases=phases or [RecipePhase(until=1.0, seq_len=32, shares=TINY)]
    )


def full(tmp_path, workspace, facts, to, made=None):
    options = ExportJob(made or tiny(facts), str(tmp_path / to), workspace, batch=8, seed=3)
    return export_recipe(to, options), tmp_path / to


@pytest.mark.parametrize("to", sorted(set(EXPORTERS) - set(PREMIXED)))
def test_every_trainer_reports_shares_within_one_per_cent_and_leaves_zero_out(tmp_path, to):
    made = export_recipe(to, job(tmp_path))
    told = json.loads((tmp_path / "out" / "export.json").read_text())
    for name, row in told["phases"][0].items():
        assert row["realised"] == pytest.approx(SHARES[name], rel=0.01)
        assert row["weight"] > 0
    assert "none" not in told["phases"][0]
    assert told["dropped"] == ["none"]
    assert all((tmp_path / "out" / name).exists() for name in made.files)


@pytest.mark.parametrize("to", sorted(set(EXPORTERS) - {*PREMIXED, "neox"}))
def test_a_domain_that_only_the_last_phase_leaves_out_is_in_the_first_alone(tmp_path, to):
    last = {"books": 0.4, "chat": 0.0, "web": 0.6}
    phases = [RecipePhase(until=0.75, seq_len=64, shares=SHARES), RecipePhase(until=1.0, seq_len=64, shares=last)]
    with pytest.raises(RequestError, match="one mixture a run"):
        export_recipe("neox", job(tmp_path, recipe(phases=phases)))
    export_recipe(to, job(tmp_path, recipe(phases=phases)))
    first, second = json.loads((tmp_path / "out" / "export.json").read_text())["phases"]
    assert first["chat"]["realised"] == pytest.approx(0.05, rel=0.01)
    assert "chat" not in second
    assert {name: row["realised"] for name, row in second.items()} == pytest.approx(
        {"books": 0.4, "web": 0.6}, rel=0.01
    )


@pytest.mark.parametrize("to", sorted(EXPORTERS))
def test_every_trainer_writes_the_data_it_names(tmp_path, workspace, facts, to):
    made, folder = full(tmp_path, workspace, facts, to)
    assert all((folder / name).exists() for name in made.files)
    again, other = full(tmp_path / "again", workspace, facts, to)
    data = [name for name in made.files if name.endswith((".bin", ".idx", ".npy", ".ds", ".mds", ".parquet", ".gz"))]
    assert all((folder / name).read_bytes() == (other / name).read_bytes() for name in data)
    assert again.told()["phases"] == made.told()["phases"]


def test_nanotron_draws_the_token_shares_and_its_stages_start_where_phases_do(tmp_path):
    phases = [
        RecipePhase(until=0.5, seq_len=64, shares=SHARES),
        RecipePhase(until=1.0, seq_len=64, shares={"web": 0.5, "books": 0.5}),
    ]
    export_recipe("nanotron", job(tmp_path, recipe(phases)))
    stages = yaml.safe_load((tmp_path / "out" / "data_stages.yaml").read_text())["data_stages"]
    assert [stage["start_training_step"] for stage in stages] == [1, 801]
    first = stages[0]["data"]["dataset"]
    names = [folder.rsplit("/", 1)[1] for folder in first["dataset_folder"]]
    drawn = largest_deficit(first["dataset_weights"], DRAWS)
    assert close(token_share(names, drawn, dict.fromkeys(names, 64)))


def test_olmo_ratios_sum_to_one_as_numpy_checks_it(tmp_path):
    export_recipe("olmo", job(tmp_path))
    content = yaml.safe_load((tmp_path / "out" / "phase-1.yaml").read_text())
    ratios = [source["target_ratio"] for source in content["source_list"]["sources"]]
    assert np.allclose(sum(ratios), 1.0)
    assert all(0 < ratio <= 1 for ratio in ratios)


def test_olmo_refuses_more_repetition_than_the_recipe_allows(tmp_path, facts):
    phases = [
        RecipePhase(until=0.9, seq_len=32, shares=TINY),
        RecipePhase(until=1.0, seq_len=32, shares={"short": 1.0}),
    ]
    capped = {**facts, "short": {**facts["short"], "max_epochs": 30.0}}
    export_recipe("olmo", ExportJob(tiny(capped, phases), str(tmp_path / "a"), batch=8))
    with pytest.raises(ValueError, match="exceed its cap"):
        tiny({**facts, "short": {**facts["short"], "max_epochs": 0.1}}, phases)


def test_levanter_keeps_a_share_that_its_usual_block_would_lose(tmp_path):
    shares = {"books": 0.0003, "chat": 0.4997, "web": 0.5}
    assert block_counts(shares, 2048)["books"] == 0
    export_recipe("levanter", job(tmp_path, recipe([RecipePhase(until=1.0, seq_len=64, shares=shares)])))
    data = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())["data"]
    counts = block_counts(data["train_weights"], data["mixture_block_size"])
    assert counts["books"] / data["mixture_block_size"] == pytest.approx(0.0003, rel=0.01)


def test_levanter_refuses_a_share_below_its_largest_block(tmp_path):
    shares = {"books": 1e-5, "web": 1 - 1e-5}
    with pytest.raises(RequestError, match="blocks of at most"):
        export_recipe("levanter", job(tmp_path, recipe([RecipePhase(until=1.0, seq_len=64, shares=shares)])))


def test_levanter_stages_start_on_blocks(tmp_path):
    phases = [
        RecipePhase(until=0.9, seq_len=64, shares=SHARES),
        RecipePhase(until=1.0, seq_len=64, shares={"books": 1.0}),
    ]
    export_recipe("levanter", job(tmp_path, recipe(phases), batch=16))
    content = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    stages = content["data"]["train_weights"]
    assert stages[0][0] == 0
    assert stages[1][0] * 16 % content["data"]["mixture_block_size"] == 0
    assert stages[1][1]["web"] == 0.0


def test_maxtext_and_lingua_weigh_documents(tmp_path):
    export_recipe("maxtext", job(tmp_path))
    weights = {n: row["weight"] for n, row in json.loads((tmp_path / "out" / "phase-1.json").read_text()).items()}
    export_recipe("lingua", job(tmp_path))
    sources = yaml.safe_load((tmp_path / "out" / "phase-1.yaml").read_text())["data"]["sources"]
    for found in (weights, sources):
        tokens = {name: weight * LENGTHS[name] for name, weight in found.items()}
        assert close({name: value / sum(tokens.values()) for name, value in tokens.items()}, within=1e-9)


def test_foundry_always_states_the_epoch_size(tmp_path):
    export_recipe("foundry", job(tmp_path))
    content = yaml.safe_load((tmp_path / "out" / "phase-1.yaml").read_text())["train_loader"]["dataset"]
    assert content["epoch_size"] == 1600 * 64
    assert {name: stream["proportion"] for name, stream in content["streams"].items()} == SHARES


@pytest.mark.parametrize("dialect", ["main", "0.3"])
def test_torchtitan_modules_build_a_mixture_of_packed_rows(tmp_path, monkeypatch, dialect):
    """The trainer's classes are stood in for by recorders: what the module asks of them is what is checked."""
    calls = []

    class Recorder:
        def __init__(self, *arguments, **named):
            self.__dict__.update(named)
            calls.append((type(self).__name__, named))

    class Anything:
        def __getattr__(self, name):
            made = type(name, (Recorder,), {})
            made.Config = type(name, (Recorder,), {})
            return made

    modules = ["torchtitan", "torchtitan.components", "torchtitan.components.data", "torchtitan.hf_datasets"]
    for name in [*modules, "torchtitan.hf_datasets.text_datasets", "datasets"]:
        stand_in = Anything()
        stand_in.DATASETS = {}
        monkeypatch.setitem(sys.modules, name, stand_in)
    export_recipe("torchtitan", job(tmp_path, dialect=dialect))
    spec = importlib.util.spec_from_file_location("mixture", tmp_path / "out" / "mixture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.dataloader(1)
    weighted = "WeightedDataset" if dialect == "main" else "HFDataSource"
    assert [named["weight"] for kind, named in calls if kind == weighted] == [SHARES[name] for name in sorted(SHARES)]
    if dialect == "main":  # packed below the mix: weights count rows
        kinds = [type(named["dataset"]).__name__ for kind, named in calls if kind == weighted]
        assert kinds == ["ConcatThenSplitPackingConfig"] * 3


def test_an_unknown_dialect_is_refused(tmp_path):
    with pytest.raises(RequestError, match=r"there are: 0\.3, main"):
        export_recipe("torchtitan", job(tmp_path, dialect="2"))


@pytest.mark.parametrize("to", PREMIXED)
def test_a_premixed_export_needs_the_data(tmp_path, to):
    with pytest.raises(RequestError, match="--workspace"):
        export_recipe(to, job(tmp_path))


def test_nanogpt_holds_the_shares_of_tokens(tmp_path, workspace, facts):
    made, folder = full(tmp_path, workspace, facts, "nanogpt")
    assert len(np.fromfile(folder / "train.bin", "<u2")) == 150_000
    assert close(made.realised[0], within=0.01, shares=TINY)


def test_nanogpt_refuses_phases_because_it_draws_at_random(tmp_path, workspace, facts):
    phases = [RecipePhase(until=0.5, seq_len=32, shares=TINY), RecipePhase(until=1.0, seq_len=32, shares={"long": 1.0})]
    with pytest.raises(RequestError, match="order of phases"):
        full(tmp_path, workspace, facts, "nanogpt", tiny(facts, phases))


def test_modded_nanogpt_headers_count_the_tokens_and_phases_keep_their_order(tmp_path, workspace, facts):
    phases = [
        RecipePhase(until=0.5, seq_len=32, shares={"short": 1.0}),
        RecipePhase(until=1.0, seq_len=32, shares={"long": 1.0}),
    ]
    _, folder = full(tmp_path, workspace, facts, "modded_nanogpt", tiny(facts, phases))
    parts = []
    for name in ("gristmill_train_000001.bin", "gristmill_train_000002.bin"):
        header = np.fromfile(folder / name, "<i4", 256)
        tokens = np.fromfile(folder / name, "<u2", offset=1024)
        assert list(header[:3]) == [20240520, 1, len(tokens)]
        parts.append(tokens)
    assert (parts[0][-2:] == parts[1][:2]).all()  # its loader asks for a token more than it reads of a file
    both = np.concatenate([parts[0][:-2], parts[1]])
    bos = np.flatnonzero(both == 0)
    assert len(both) == 586 * 8 * 32 + 2  # whole steps
    assert np.diff(bos[bos < 70_000]).mean() < np.diff(bos[bos > 80_000]).mean() / 5


def test_litdata_chunks_hold_rows_of_one_length(tmp_path, workspace, facts):
    _, folder = full(tmp_path, workspace, facts, "litdata")
    index = json.loads((folder / "train" / "index.json").read_text())
    chunk = index["chunks"][0]
    data = (folder / "train" / chunk["filename"]).read_bytes()
    count = struct.unpack_from("<I", data)[0]
    offsets = np.frombuffer(data, "<u4", count + 1, 4)
    assert set(np.diff(offsets)) == {33 * 2}
    assert chunk["dim"] == count * 33
    assert offsets[0] == 4 + 4 * (count + 1)
    assert chunk["chunk_bytes"] == len(data) == offsets[-1]


def test_nanochat_files_are_text_with_the_held_out_documents_last(tmp_path, workspace, facts):
    made, folder = full(tmp_path, workspace, facts, "nanochat")
    train, held = (set(pq.read_table(folder / name)["text"].to_pylist()) for name in made.files)
    assert not train & held
    assert "red" in next(text for text in held if "red" in text)


@pytest.mark.parametrize(("to", "shards"), [("nanochat", "shard_*.parquet"), ("modded_nanogpt", "gristmill_*.bin")])
def test_nothing_of_an_earlier_export_is_left_to_be_read_with_the_new_one(
    tmp_path, workspace, facts, monkeypatch, to, shards
):
    monkeypatch.setattr("gristmill.mixing.exporters.materialised.NANOCHAT_CHARS", 100_000)
    monkeypatch.setattr("gristmill.mixing.exporters.materialised.MODDED_TOKENS", 20_000)
    sizes = []
    for total in (150_000, 60_000):
        made, folder = full(tmp_path, workspace, facts, to, tiny(facts, total=total))
        assert sorted(path.name for path in folder.glob(shards)) == sorted(made.files)
        sizes.append(len(made.files))
    assert sizes[0] > sizes[1] > 2
    (folder / made.files[0]).rename(folder / shards.replace("*", "99999"))
    with pytest.raises(RequestError, match=f"holds .*99999.*which {to} would read"):
        full(tmp_path, workspace, facts, to)
    assert not (folder / made.files[0]).exists()


def test_what_an_export_did_not_write_is_not_removed(tmp_path, workspace, facts):
    full(tmp_path, workspace, facts, "nanochat")
    path, mine = tmp_path / "nanochat" / "export.json", tmp_path / "mine.txt"
    mine.write_text("mine")
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "files": [*told["files"], "../mine.txt", str(mine), 5]}))
    full(tmp_path, workspace, facts, "nanochat")
    assert mine.exists()


@pytest.mark.parametrize(("to", "left"), [("megatron", "cache"), ("neox", "short_train_indexmap_1ns.npy")])
def test_indices_of_token_files_that_lay_there_before_are_said(tmp_path, workspace, facts, to, left):
    made, folder = full(tmp_path, workspace, facts, to)
    assert not [note for note in made.notes if "indices" in note]
    (folder / "data" / left).mkdir()
    made, _ = full(tmp_path, workspace, facts, to)
    assert [note for note in made.notes if left in note]


@pytest.mark.parametrize(("bits", "said"), [(2.1, True), (1.9, False)])
def test_an_export_says_where_a_recipe_lost_its_own_validation(tmp_path, bits, said):
    rows = {"fitted": {"bits_per_byte": bits}, "natural": {"bits_per_byte": 2.0}}
    evidence = Evidence(seed=0, chosen="fitted, as predicted", validation=rows, verdict="It does not win.")
    made = export_recipe("hf", job(tmp_path, recipe().model_copy(update={"evidence": evidence})))
    assert bool([note for note in made.notes if "natural measured better: It does not win." in note]) == said


def test_megatron_refuses_a_place_that_its_blend_would_be_cut_at(tmp_path):
    with pytest.raises(RequestError, match="white space"):
        export_recipe("megatron", job(tmp_path / "my runs"))


def test_levanter_keeps_a_cache_for_each_set_of_texts(tmp_path, workspace, facts):
    def cache(made=None):
        _, folder = full(tmp_path, workspace, facts, "levanter", made)
        return yaml.safe_load((folder / "data.yaml").read_text())["data"]["cache_dir"]

    two = RecipePhase(until=1.0, seq_len=32, shares={"long": 0.5, "middle": 0.5})
    assert cache() == cache(tiny(facts, total=300_000)) != cache(tiny(facts, [two]))


def test_maxtext_finds_the_files_of_a_domain_by_a_folder_and_not_by_how_they_begin(tmp_path):
    domain = {"tokens_available": 10**8, "mean_tokens_per_document": 400.0, "bytes_per_token": 4.0}
    phases = [RecipePhase(until=1.0, seq_len=64, shares={"web": 0.7, "web.easy": 0.3})]
    made = make_recipe(total_tokens=10**7, domains={"web": domain, "web.easy": domain}, phases=phases)
    export_recipe("maxtext", ExportJob(made, str(tmp_path), None, data_root="/data", batch=8))
    told = json.loads((tmp_path / "phase-1.json").read_text())
    files = {name: f"/data/{name}/part-0.array_record" for name in told}
    for name, row in told.items():
        assert [own for own, file in files.items() if fnmatch.fnmatch(file, row["path"])] == [name]


def test_megatron_index_points_at_each_document(tmp_path, workspace, facts):
    full(tmp_path, workspace, facts, "megatron")
    from gristmill.training.data.shards import open_tokens

    tokens = open_tokens(workspace, "long")
    stem = tmp_path / "megatron" / "data" / "long_train_text_document"
    index = stem.with_suffix(".idx").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00"
    version, code, sequences, documents = struct.unpack_from("<QBQQ", index, 9)
    assert (version, code, sequences, documents) == (1, 8, tokens.documents, tokens.documents + 1)
    lengths = np.frombuffer(index, "<i4", sequences, 34)
    pointers = np.frombuffer(index, "<i8", sequences, 34 + 4 * sequences)
    data = np.fromfile(stem.with_suffix(".bin"), "<u2")
    for i in (0, 1, sequences - 1):
        begin = pointers[i] // 2
        assert (data[begin : begin + lengths[i]] == tokens.document(i)).all()


def test_levanter_texts_are_those_of_the_training_split(tmp_path, workspace, facts):
    full(tmp_path, workspace, facts, "levanter")
    lines = gzip.decompress((tmp_path / "levanter" / "data" / "long.jsonl.gz").read_bytes()).decode().splitlines()
    from gristmill.training.data.shards import open_tokens

    assert len(lines) == open_tokens(workspace, "long").documents


def test_a_mixed_stream_keeps_its_shares_at_every_point_and_repeats_only_after_all():
    facts = TokenFacts("t", 300, 0, 1)
    draw = np.random.default_rng(0)
    domains = {
        name: TokenDomain.from_documents(
            name, [np.full(draw.integers(1, most), number, np.uint16) for number in range(40)], facts
        )
        for name, most in {"a": 10, "b": 100}.items()
    }
    stream = MixedStream(domains, seed=1)
    got, seen = {"a": 0, "b": 0}, {"a": [], "b": []}
    for name, document in stream.take({"a": 0.6, "b": 0.4}, 10_000):
        got[name] += len(document)
        seen[name].append(int(document[0]))
        assert abs(got["a"] - 0.6 * sum(got.values())) <= 101
    assert sum(got.values()) == 10_000
    assert sorted(seen["b"][:40]) == list(range(40))


def test_the_corpus_is_read_once_whatever_the_number_of_domains(tmp_path, workspace, facts, monkeypatch):
    reads = []
    real = ShardSource.read
    monkeypatch.setattr(ShardSource, "read", lambda own, *more: (reads.append(own.shard), real(own, *more))[1])
    job = ExportJob(tiny(facts), str(tmp_path), workspace)
    found = {(n, split): list(job.texts(n, split)) for n in facts for split in ("train", "heldout")}
    assert sorted(reads) == sorted(sources(workspace, "test"))
    for (name, split), own in found.items():
        assert [row["id"] for row in own] == document_ids(workspace, name, split).to_pylist()
        numbered = job.numbered_texts(name, split)
        assert [numbered[n] for n in range(len(numbered))] == own
    assert sum(map(len, found.values())) > 10
