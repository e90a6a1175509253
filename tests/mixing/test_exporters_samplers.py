"""Whole runs of each trainer by its own sampler, restated: tokens of each domain and phase, epochs, order and ranks."""

import itertools
import json
import math
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

from gristmill.corpus.store.errors import RequestError
from gristmill.mixing.exporters.frame import ExportJob
from gristmill.mixing.exporters.materialised import _chunks
from gristmill.mixing.exporters.registry import EXPORTERS, export_recipe
from gristmill.mixing.recipe import RecipePhase, make_recipe
from gristmill.training.data.shards import open_tokens

from .samplers import SAMPLERS

NAMES = ("long", "middle", "short")
SHARES = [{"long": 0.3, "middle": 0.2, "short": 0.5}, {"long": 0.6, "middle": 0.15, "short": 0.25}]
BATCH, SEQ_LEN = 8, 32
READS_ON = {"levanter"}  # a phase begins where the one before left each source
IN_EPOCHS = {"levanter", "torchtitan", "maxtext", "foundry"}  # no row twice before all have come once, in a phase
PREMIXED = {"nanochat", "nanogpt", "modded_nanogpt", "litdata"}


@pytest.fixture(scope="module")
def texts(workspace, tmp_path_factory):
    """text -> (domain, document, tokens) of every training document."""
    found = {}
    job = ExportJob(_whole(workspace, 1000), str(tmp_path_factory.mktemp("texts")), workspace)
    for name in NAMES:
        sizes = np.diff(open_tokens(workspace, name).offsets)
        rows = enumerate(job.texts(name))
        found |= {row["text"]: (name, number, int(sizes[number])) for number, row in rows}
    return found


def _whole(workspace, total, phases=None):
    from gristmill.mixing.proxies import domain_facts

    phases = phases or [RecipePhase(until=1.0, seq_len=SEQ_LEN, shares=SHARES[0])]
    return make_recipe(total_tokens=total, domains=domain_facts(workspace, list(NAMES)), phases=phases)


def exported(to, folder, workspace, texts, epochs, ends):
    phases = [RecipePhase(until=end, seq_len=SEQ_LEN, shares=own) for end, own in zip(ends, SHARES, strict=False)]
    available = sum(open_tokens(workspace, name).tokens for name in NAMES)
    recipe = _whole(workspace, int(epochs * available), phases)
    told = export_recipe(to, ExportJob(recipe, str(folder), workspace, batch=BATCH, seed=3))
    (folder / "sizes.json").write_text(json.dumps({text: size for text, (_, _, size) in texts.items()}))
    spans = np.diff([0.0, *ends]) * recipe.total_tokens
    (folder / "tokens.json").write_text(json.dumps(spans.tolist()))
    return recipe, told, spans


@pytest.mark.parametrize("ends", [(1.0,), (0.5, 1.0)])
@pytest.mark.parametrize("epochs", [0.4, 2.0])
@pytest.mark.parametrize("to", sorted(SAMPLERS))
def test_a_whole_run_reads_the_tokens_of_the_recipe_on_any_number_of_ranks(
    to, epochs, ends, tmp_path, workspace, texts
):
    if to == "neox" and len(ends) > 1:
        pytest.skip("GPT-NeoX has one mixture a run, which its export refuses by name")
    _, _, spans = exported(to, tmp_path, workspace, texts, epochs, ends)
    longest = max(size for _, _, size in texts.values())
    wholes = []
    for world in (1, 2, 8):
        phases = SAMPLERS[to](tmp_path, world, BATCH)
        assert len(phases) == len(ends)
        for ranks, own, tokens in zip(phases, SHARES, spans, strict=False):
            assert len(ranks) == world
            assert all(ranks)
            read = Counter()
            for unit in (unit for rank in ranks for unit in rank):
                read[unit[0]] += unit[2]
            draws = sum(map(len, ranks))
            for name, share in own.items():
                chance = 5 * math.sqrt(share * (1 - share) / draws) * tokens if to in ("nanotron", "lingua") else 0
                slack = (2 + world) * longest if to in ("maxtext", "lingua") else 2 * BATCH * SEQ_LEN
                block = 2048 * SEQ_LEN * len(ends) if to == "levanter" and len(ends) > 1 else 0
                assert abs(read[name] - share * tokens) <= 0.01 * share * tokens + chance + slack + block, (name, world)
        wholes.append([Counter(map(str, (unit for rank in ranks for unit in rank))) for ranks in phases])
    if to != "lingua":  # whose ranks draw each by itself
        assert wholes[0] == wholes[1] == wholes[2]


@pytest.mark.parametrize("to", sorted(IN_EPOCHS))
@pytest.mark.parametrize("ends", [(1.0,), (0.5, 1.0)])
def test_no_row_comes_twice_before_all_of_its_domain_have_come(to, ends, tmp_path, workspace, texts):
    exported(to, tmp_path, workspace, texts, 2.0, ends)
    phases = [ranks[0] for ranks in SAMPLERS[to](tmp_path, 1, BATCH)]
    streams = [[unit for phase in phases for unit in phase]] if to in READS_ON else phases
    rows = {name: 1 + max(unit[1] for phase in phases for unit in phase if unit[0] == name) for name in NAMES}
    for stream in streams:
        for name in NAMES:
            units = [unit[1] for unit in stream if unit[0] == name]
            times = Counter(units).values()
            most = math.ceil(len(units) / rows[name])
            assert max(times) <= most
            if to == "foundry":  # passes are mixed
                continue
            for first in range(0, len(units), rows[name]):
                assert max(Counter(units[first : first + rows[name]]).values()) == 1


@pytest.mark.parametrize("to", ["megatron", "neox"])
def test_a_document_is_read_at_most_once_an_epoch_and_phases_begin_with_others(to, tmp_path, workspace, texts):
    ends = (1.0,) if to == "neox" else (0.5, 1.0)
    _, _, spans = exported(to, tmp_path, workspace, texts, 0.8, ends)
    firsts = []
    for ranks, own, tokens in zip(SAMPLERS[to](tmp_path, 1, BATCH), SHARES, spans, strict=False):
        for name, share in own.items():
            length = np.diff(open_tokens(workspace, name).offsets)
            passes = math.ceil(share * tokens * 1.01 / length.sum())
            read = np.zeros(len(length))
            for _, sample, _ in (unit for unit in ranks[0] if unit[0] == name):
                for document, count in sample:
                    read[document] += count
            assert (read <= passes * length).all()
        firsts.append([unit[1] for unit in ranks[0] if unit[0] == "long"][:20])
    assert len(firsts) == 1 or firsts[0] != firsts[1]


@pytest.mark.parametrize("to", sorted(set(EXPORTERS) - READS_ON - PREMIXED - {"neox", "hf", "maxtext"}))
def test_a_trainer_that_begins_its_sources_anew_in_each_phase_is_said_to_with_numbers(to, tmp_path, workspace, texts):
    _, told, _ = exported(to, tmp_path, workspace, texts, 0.6, (0.5, 1.0))
    (note,) = (note for note in told.notes if "anew in every phase" in note)
    phases = [Counter(_units(ranks[0])) for ranks in SAMPLERS[to](tmp_path, 1, BATCH)]
    for name in NAMES:
        before, now = ({unit for unit in phase if unit[0] == name} for phase in phases)
        again = len(before & now) / len(now)
        (said,) = [
            float(part.split("%")[0].split()[-1]) / 100 for part in note.split(",") if f"reads of {name}" in part
        ]
        if to == "megatron":  # a sample is of several documents: those of which it read any
            before, now = ({(d) for unit in phase if unit[0] == name for d, _ in unit[1]} for phase in phases)
            assert before & now
        elif to != "nanotron":  # which also leaves rows out
            assert again == pytest.approx(said, abs=0.08)


def _units(read):
    return [(name, tuple(unit) if isinstance(unit, list) else unit) for name, unit, _ in read]


def test_a_phase_longer_than_nanotrons_pass_says_which_rows_never_come(tmp_path, workspace, texts):
    _, told, _ = exported("nanotron", tmp_path, workspace, texts, 2.0, (1.0,))
    (note,) = [note for note in told.notes if "never comes" in note]
    read = SAMPLERS["nanotron"](tmp_path, 1, BATCH)[0][0]
    for name in SHARES[0]:
        rows = open_tokens(workspace, name).tokens // (SEQ_LEN + 1)
        never = 1 - len({unit for own, unit, _ in read if own == name}) / rows
        assert (f"% of {name}" in note) == (never > 0.01)
        if never > 0.01:
            assert f"{never:.0%} of {name}" in note


def test_a_domain_without_a_row_is_refused_where_rows_are_read(tmp_path, workspace):
    from gristmill.mixing.proxies import domain_facts

    facts = domain_facts(workspace, list(NAMES)) | {
        "speck": {"tokens_available": SEQ_LEN, "mean_tokens_per_document": 8.0, "bytes_per_token": 4.0}
    }
    shares = {"long": 0.5, "speck": 0.5}
    phases = [RecipePhase(until=1.0, seq_len=SEQ_LEN, shares=shares)]
    recipe = make_recipe(total_tokens=100_000, domains=facts, phases=phases)
    with pytest.raises(RequestError, match="speck has not one row of 33 tokens"):
        export_recipe("nanotron", ExportJob(recipe, str(tmp_path), None, batch=BATCH))


# ---- what is written mixed


def stream_of(folder, to, facts) -> list[np.ndarray]:
    """The tokens that the trainer of a pre-mixed export reads, in its order."""
    if to == "litdata":
        parts = []
        for chunk in json.loads((folder / "train" / "index.json").read_text())["chunks"]:
            data = (folder / "train" / chunk["filename"]).read_bytes()
            parts.append(np.frombuffer(data, "<u2", chunk["dim"], 4 + 4 * (chunk["chunk_size"] + 1)))
        return parts
    if to == "nanogpt":
        return [np.fromfile(folder / "train.bin", "<u2")]
    return [np.fromfile(file, "<u2", offset=1024) for file in sorted(folder.glob("gristmill_train_*.bin"))]


@pytest.mark.parametrize("epochs", [0.4, 2.0])
@pytest.mark.parametrize(("to", "ends"), [("litdata", (0.5, 1.0)), ("nanogpt", (1.0,)), ("modded_nanogpt", (0.5, 1.0))])
def test_what_is_written_mixed_lasts_as_long_as_the_recipe_and_repeats_nothing_early(
    to, ends, epochs, tmp_path, workspace, texts
):
    recipe, _, spans = exported(to, tmp_path, workspace, texts, epochs, ends)
    parts = stream_of(tmp_path, to, recipe)
    if to == "modded_nanogpt":  # train_gpt.py: a step is read while pos + batch + 1 < tokens of the file
        step = BATCH * SEQ_LEN
        assert sum((len(part) - 2) // step for part in parts) == round(recipe.total_tokens / step)
        parts = [*(part[:-2] for part in parts[:-1]), parts[-1]]
    whole = np.concatenate(parts)
    wanted = recipe.total_tokens // SEQ_LEN * (SEQ_LEN + 1) if to == "litdata" else recipe.total_tokens
    assert abs(len(whole) - wanted) <= BATCH * SEQ_LEN + 2
    known = {}
    for name in NAMES:
        domain = open_tokens(workspace, name)
        known |= {domain.document(i).tobytes(): (name, i) for i in range(domain.documents)}
    bounds = [*np.flatnonzero(whole == open_tokens(workspace, "long").facts.bos), len(whole)]
    read = [(known.get(whole[a:b].astype("<u2").tobytes()), a, b - a) for a, b in itertools.pairwise(bounds)]
    assert sum(unit is None for unit, _, _ in read) <= len(ends) + 1  # documents that a phase or the run cuts
    edges = np.cumsum(spans) * len(whole) / recipe.total_tokens
    for number, (own, end) in enumerate(zip(SHARES, edges, strict=False)):
        begin = edges[number - 1] if number else 0
        tokens = Counter()
        for unit, at, size in read:
            if unit and begin <= at < end:
                tokens[unit[0]] += size
        for name, share in own.items():
            assert tokens[name] == pytest.approx(share * (end - begin), abs=3 * max(s for _, _, s in texts.values()))
    for name in NAMES:
        units = [unit[1] for unit, _, _ in read if unit and unit[0] == name]
        count = open_tokens(workspace, name).documents
        assert max(Counter(units[: count - 1]).values()) == 1


@pytest.mark.parametrize("epochs", [0.4, 2.0])
@pytest.mark.parametrize("world", [1, 2, 8])
def test_every_rank_of_nanochat_has_texts_and_together_they_read_the_run(world, epochs, tmp_path, workspace, texts):
    """`nanochat/dataloader.py`: a rank reads every so manieth row group of each file, and waits for one."""
    recipe, _, _ = exported("nanochat", tmp_path, workspace, texts, epochs, (0.5, 1.0))
    files = sorted(tmp_path.glob("shard_*.parquet"))
    for file in files:
        opened = pq.ParquetFile(file)
        ranks = [[text for group in range(rank, opened.num_row_groups, world)
                  for text in opened.read_row_group(group)["text"].to_pylist()] for rank in range(world)]  # fmt: skip
        assert all(ranks)
        if file != files[-1]:
            read = Counter()
            for text in (text for rank in ranks for text in rank):
                read[texts[text][0]] += texts[text][2]
            longest = max(size for _, _, size in texts.values())
            for name, share in recipe.run_shares().items():
                assert read[name] == pytest.approx(share * recipe.total_tokens, abs=4 * longest)


def test_blocks_of_several_lengths_are_refused(tmp_path, workspace):
    phases = [
        RecipePhase(until=0.5, seq_len=32, shares=SHARES[0]),
        RecipePhase(until=1.0, seq_len=64, shares=SHARES[1]),
    ]
    with pytest.raises(RequestError, match="blocks of one length"):
        export_recipe("litdata", ExportJob(_whole(workspace, 100_000, phases), str(tmp_path), workspace, batch=BATCH))


@pytest.mark.parametrize(
    ("total", "size", "ahead"), [(10, 4, 0), (10, 4, 2), (12, 4, 2), (8, 4, 0), (3, 4, 2), (6, 4, 2)]
)
def test_pieces_follow_each_other_and_overlap_by_what_is_ahead(total, size, ahead):
    tokens = np.arange(total)
    pieces = list(_chunks(iter(np.array_split(tokens, 3)), size, ahead=ahead))
    assert all(len(piece) <= size + ahead for piece in pieces)
    assert [int(piece[0]) for piece in pieces] == [size * n for n in range(len(pieces))]
    assert int(pieces[-1][-1]) == total - 1
