"""The tokenize and train stages on a small workspace."""

import contextlib
import hashlib
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.corpus.store.made import put_table
from gristmill.corpus.store.schema import DECISIONS, DOCUMENTS
from gristmill.corpus.store.workspace import Workspace
from gristmill.mixing.recipe import RecipePhase, Tokenizer, load_recipe, make_recipe, save_recipe
from gristmill.mixing.settings import OnlineSettings
from gristmill.pipelines.cli import main
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.rewrite.stage import LINEAGE
from gristmill.pipelines.stages.tokenize.stage import TokenizeSettings, tokenize
from gristmill.pipelines.stages.train.phases import (
    Changes,
    Conditioning,
    Replay,
    Subset,
    Upsample,
    check_caps,
    plan_phases,
    with_quality,
)
from gristmill.pipelines.stages.train.stage import Shape, TrainSettings, data_of, train
from gristmill.training.data.loader import Loader
from gristmill.training.data.loader import Phase as Phase_
from gristmill.training.data.shards import document_ids, domains, held_out, open_tokens
from gristmill.training.data.tokenizer import decode, load_tokenizer
from gristmill.training.loop_settings import LoopSettings
from gristmill.training.objectives.distillation import Teacher

WORDS = {"zoo": "lion tiger bear otter seal", "kitchen": "salt pepper flour sugar butter"}


def documents(domain):
    generator = np.random.default_rng(len(domain))
    for i in range(60):
        text = " ".join(generator.choice(WORDS[domain].split(), int(generator.integers(5, 40))))
        id = hashlib.blake2b(f"{domain}{i}".encode(), digest_size=16).hexdigest()
        yield {"id": id, "text": text, "url": f"http://{domain}.org/{i}", "host": f"{domain}.org", "source": "s",
               "domain": domain}  # fmt: skip


def workspace(folder, per_shard=25, dropped=(), more=(), lineage=None):
    made = Workspace(str(folder))
    made.create()
    rows = sorted([*(row for domain in WORDS for row in documents(domain)), *more], key=lambda row: row["id"])
    shards, decided = {}, {}
    for start in range(0, len(rows), per_shard):
        part, name = rows[start : start + per_shard], f"part-{start:03d}.parquet"
        shards[name] = part
        decided[name] = [{"id": row["id"], "kept": row["id"] not in dropped, "stage": "filter"} for row in part]
    put_table(made, "documents", DOCUMENTS, shards, stage="extract")
    inputs = {"documents": made.table("documents").finished("test").fingerprint}
    put_table(made, "decisions/filter", DECISIONS, decided, inputs=inputs)
    if lineage:
        rows = [{"id": a, "parent": b, "synthetic": a, "style": "s", "model": "m"} for a, b in lineage.items()]
        put_table(made, "lineage", LINEAGE, {"a.parquet": rows}, stage="rewrite")
    return made


SETTINGS = TokenizeSettings(vocab_size=300, heldout=0.2)


def tokenized(folder, settings=SETTINGS, workers=1, **options):
    made = workspace(folder, **options)
    tokenize(made, settings, RunnerOptions(workers=workers), quiet=True)
    return made


def by_id(made):
    """id -> tokens and split, over all domains."""
    found = {}
    for name in domains(made):
        for split in ("train", "heldout"):
            table = made.table(f"tokens/{name}")
            for shard in table.manifest().shards:
                if shard.name.startswith(split):
                    rows = pa.ipc.open_file(pa.memory_map(table.shard_url(shard.name))).read_all().to_pylist()
                    found |= {row["id"]: (name, split, row["tokens"], row["n_bytes"]) for row in rows}
    return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tokenized(tmp_path_factory.mktemp("tokens"))


def test_every_surviving_document_is_in_one_split_of_its_domain(tmp_path):
    dropped = {row["id"] for row in list(documents("zoo"))[:10]}
    made = tokenized(tmp_path, dropped=dropped)
    tokenizer = load_tokenizer((tmp_path / "tokenizer/tokenizer.json").read_text())
    found = by_id(made)
    expected = {row["id"]: row for domain in WORDS for row in documents(domain) if row["id"] not in dropped}
    assert found.keys() == expected.keys()
    for id, (domain, split, tokens, n_bytes) in found.items():
        assert domain == expected[id]["domain"]
        assert split == ("heldout" if held_out(id, 0.2) else "train")
        assert decode(tokenizer, tokens) == expected[id]["text"]
        assert n_bytes == len(expected[id]["text"])
    details = made.table("tokens/zoo").manifest().details
    zoo = [value for value in found.values() if value[0] == "zoo"]
    assert details["train"]["documents"] + details["heldout"]["documents"] == len(zoo) == 50
    assert details["train"]["tokens"] + details["heldout"]["tokens"] == sum(len(value[2]) for value in zoo)


def test_other_shard_sizes_give_the_same_tokens_by_id(shared, tmp_path):
    assert by_id(tokenized(tmp_path, per_shard=61)) == by_id(shared)


def test_a_second_run_does_nothing_and_a_lost_shard_is_made_again(tmp_path):
    made = tokenized(tmp_path)
    assert tokenize(made, SETTINGS, RunnerOptions(), quiet=True)["skipped"]
    table = made.table("tokens/kitchen")
    before = table.manifest()
    lost = table.shard_url(before.shards[0].name)
    os.remove(lost)
    assert not tokenize(made, SETTINGS, RunnerOptions(), quiet=True)["skipped"]
    assert table.manifest().shards == before.shards
    assert os.path.exists(lost)


def test_other_settings_are_refused_and_a_given_tokenizer_is_taken_as_it_is(shared, tmp_path):
    with pytest.raises(RequestError, match="vocab_size: 300 there, 400 asked"):
        tokenize(shared, TokenizeSettings(vocab_size=400), RunnerOptions(), quiet=True)
    given = shared.path("tokenizer/tokenizer.json")
    other = tokenized(tmp_path, TokenizeSettings(tokenizer=given, heldout=0.2))
    assert by_id(other) == by_id(shared)


def test_a_metadata_prefix_stands_between_bos_and_text(tmp_path):
    made = tokenized(tmp_path, TokenizeSettings(vocab_size=300, metadata="host"))
    tokenizer = load_tokenizer((tmp_path / "tokenizer/tokenizer.json").read_text())
    zoo = open_tokens(made, "zoo")
    head = int(zoo.metadata_tokens[0])
    assert decode(tokenizer, zoo.document(0)[1 : 1 + head]) == "URL: zoo.org\n\n"


def test_a_corpus_without_survivors_is_refused(tmp_path):
    made = workspace(tmp_path, dropped={row["id"] for domain in WORDS for row in documents(domain)})
    with pytest.raises((WorkspaceError, RuntimeError), match="nothing to tokenize"):
        tokenize(made, SETTINGS, RunnerOptions(), quiet=True)


def recipe_for(made, path, **changes):
    pool = {name: open_tokens(made, name) for name in domains(made)}
    facts = next(iter(pool.values())).facts
    values = {
        "total_tokens": 32 * 64,
        "domains": {
            name: {
                "tokens_available": found.tokens,
                "mean_tokens_per_document": found.tokens / found.documents,
                "bytes_per_token": found.bytes / found.tokens,
            }
            for name, found in pool.items()
        },
        "phases": [RecipePhase(until=0.75, seq_len=16, shares={"zoo": 1.0}),
                   RecipePhase(until=1.0, seq_len=32, shares={"zoo": 0.5, "kitchen": 0.5})],
        "tokenizer": Tokenizer(sha256=facts.tokenizer, vocab_size=facts.vocab_size),
        "shards": {name: found.fingerprint for name, found in pool.items()},
    }  # fmt: skip
    save_recipe(make_recipe(**(values | changes)), str(path))
    return str(path)


LOOP = LoopSettings(device="cpu", compile=False, log_every=4, checkpoint_every=8)


def leaves_for_transformers(folder, output):
    """A run is exported by its folder alone: its tokenizer is that of the workspace it lies in."""
    for refused in (["--to", "gguf", "--output", str(output)], ["--output", str(output.parent)]):
        with pytest.raises(SystemExit) as ended:
            main(["checkpoints", "export", folder, *refused])
        assert ended.value.code == 2
    with contextlib.suppress(SystemExit):
        main(["checkpoints", "export", folder, "--to", "hf", "--output", str(output)])
    assert json.loads((output / "config.json").read_text())["model_type"] == "qwen3"
    shutil.copytree(f"{folder}/checkpoints/step-00000032", output.parent / "elsewhere")
    with pytest.raises(SystemExit) as refused:
        main(["checkpoints", "export", str(output.parent / "elsewhere"), "--output", str(output) + "2"])
    assert refused.value.code == 2


def test_a_recipe_is_trained_in_its_phases_and_leaves_a_run(shared, tmp_path):
    recipe = recipe_for(shared, tmp_path / "recipe.yaml")
    (tmp_path / "task.jsonl").write_text(json.dumps({"context": "lion", "continuation": "bear"}))
    settings = TrainSettings(
        recipe=recipe, name="first", model="1x16x2", batch_tokens=64, loop=LOOP, targets=(str(tmp_path / "task.jsonl"),)
    )
    with pytest.raises(RequestError, match="no checkpoint to go on from"):
        train(shared, settings, resume=True, quiet=True)
    card = train(shared, settings, quiet=True)
    assert (card["steps"], card["tokens"]) == (32, 2048)
    assert [row["requested"] for row in card["plan"]] == [0.0, 1.0, 0.5, 0.5]
    assert card["bits_per_byte"].keys() == {"zoo", "kitchen"}
    folder = shared.path("runs/first")
    assert sorted(os.listdir(folder)) == [
        "checkpoints",
        "metrics.jsonl",
        "run_card.json",
        "settings.json",
        "stream.json",
    ]
    assert sorted(os.listdir(f"{folder}/checkpoints/step-00000032")) == [
        "model.safetensors", "optimizer.safetensors", "state.json",
    ]  # fmt: skip
    with open(f"{folder}/metrics.jsonl") as file:
        lines = [json.loads(line) for line in file]
    assert [line["step"] for line in lines] == list(range(4, 33, 4))
    assert lines[-1]["bits_per_byte"] == card["bits_per_byte"]
    assert lines[-1]["targets"] == card["targets"]
    assert card["targets"]["task"].keys() == {"bits_per_byte", "perplexity"}
    leaves_for_transformers(folder, tmp_path / "hf")
    branch = settings.model_copy(update={"name": "branch", "branch": f"{folder}/checkpoints/step-00000032"})
    assert train(shared, branch, quiet=True)["loss"] < card["loss"]
    other = branch.model_copy(update={"name": "other", "shape": Shape(tied=True, qk_norm=False, n_kv_heads=1)})
    with pytest.raises(RequestError, match="has another shape"):
        train(shared, other, quiet=True)
    made = train(shared, other.model_copy(update={"branch": None}), quiet=True)["model"]
    assert (made["tied"], made["qk_norm"], made["n_kv_heads"]) == (True, False, 1)


def test_shares_follow_the_losses_where_the_run_asks_for_it(shared, tmp_path, capsys):
    even = [RecipePhase(until=1.0, seq_len=16, shares={"zoo": 0.5, "kitchen": 0.5})]
    recipe = recipe_for(shared, tmp_path / "even.yaml", phases=even)
    file = tmp_path / "train.yaml"
    file.write_text(json.dumps({"online": {"every": 4, "least": 0.1}, "loop": LOOP.model_dump(mode="json")}))
    given = ["train", recipe, "--workspace", shared.url, "--model", "1x16x2", "--batch-tokens", "64", "--name", "ado",
             "--settings", str(file), "--json", "--online"]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main([*given, "ado"])
    assert ended.value.code == 0
    card = json.loads(capsys.readouterr().out)
    assert [phase["until"] for phase in card["online"]] == [n / 8 for n in range(1, 9)]
    shares = [phase["shares"]["zoo"] for phase in card["online"]]
    assert shares[:4] == [0.5] * 4
    assert shares[-1] != 0.5
    assert all(0.1 <= share <= 0.9 for share in shares)
    with pytest.raises(SystemExit) as ended:
        main([*given, "adam"])
    assert ended.value.code == 2


def test_moving_shares_exclude_what_needs_shares_that_stay(shared, tmp_path):
    even = [RecipePhase(until=1.0, seq_len=16, shares={"zoo": 0.5, "kitchen": 0.5})]
    recipe = recipe_for(shared, tmp_path / "even.yaml", phases=even)
    plain = TrainSettings(recipe=recipe, name="x", model="1x16x2", batch_tokens=64)
    plain = plain.model_copy(update={"online": OnlineSettings(every=4, least=0.1)})
    refused = [
        ({"subset": Subset(shares={"zoo": 0.5})}, "subset or online"),
        ({"upsample": Upsample(shares={"zoo": 0.8})}, "shares of its own"),
        ({"packing": "decompose"}, "row lengths"),
        ({"loop": LoopSettings(teacher=Teacher(checkpoint="T"))}, "soft labels"),
        ({"online": OnlineSettings(every=8, least=0.1)}, "over before shares"),
        ({"online": OnlineSettings(every=4, least=0.6)}, "more than all"),
        ({"online": OnlineSettings(every=1, least=0.01)}, "4 rows every 1 steps cannot hold 2 domains"),
    ]
    for change, said in refused:
        with pytest.raises(RequestError, match=said):
            train(shared, plain.model_copy(update=change), quiet=True)
    pool = {name: open_tokens(shared, name) for name in domains(shared)}
    told = load_recipe(recipe)
    told = told.model_copy(
        update={"domains": {**told.domains, "zoo": told.domains["zoo"].model_copy(update={"max_epochs": 2.0})}}
    )
    capped = plain.model_copy(update={"max_epochs": 3.0})
    online = data_of(told, capped, pool, plan_phases(told, 2048, {}, Changes()), 2048)[1]
    assert online.ceilings.tolist() == [3 * pool["kitchen"].tokens, 2 * pool["zoo"].tokens]


def test_a_cap_on_epochs_holds_over_the_run(shared, tmp_path):
    path = recipe_for(shared, tmp_path / "recipe.yaml")
    recipe = load_recipe(path)
    with pytest.raises(RequestError, match="cannot be filled"):
        plan_phases(recipe, recipe.total_tokens, {"zoo": 600, "kitchen": 300}, Changes(max_epochs=2.0))
    phases = plan_phases(recipe, recipe.total_tokens, {"zoo": 2048, "kitchen": 512}, Changes(max_epochs=1.0))
    assert phases[1].shares == {"kitchen": 0.5, "zoo": 0.5}  # a quarter of the run goes through half of kitchen
    zoo = recipe.domains["zoo"].model_copy(update={"max_epochs": 2.0})
    capped = recipe.model_copy(update={"domains": {**recipe.domains, "zoo": zoo}})
    plain = plan_phases(capped, recipe.total_tokens, {"zoo": 2048, "kitchen": 512}, Changes())
    ends = [0.0, *(phase.until for phase in plain)]
    needed = sum(phase.shares.get("zoo", 0) * (phase.until - begin) for phase, begin in zip(plain, ends, strict=False))
    check_caps(capped, plain, 2048, {"zoo": int(2048 * needed / 2) + 1, "kitchen": 512})
    with pytest.raises(RequestError, match="caps it at 2 epochs"):
        check_caps(capped, plain, 2 * 2048, {"zoo": int(2048 * needed / 2) + 1, "kitchen": 512})
    phases = plan_phases(recipe, recipe.total_tokens, {"zoo": 1600, "kitchen": 512}, Changes(max_epochs=1.0))
    assert phases[0].shares == {"zoo": 1.0}
    assert phases[1].shares == pytest.approx({"kitchen": 0.875, "zoo": 0.125}, abs=1e-6)


def test_replay_gives_every_phase_its_share_of_the_old_mixture(shared, tmp_path):
    recipe = load_recipe(recipe_for(shared, tmp_path / "recipe.yaml"))  # zoo alone, then half and half
    replay = Replay(recipe=str(tmp_path / "recipe.yaml"), share=0.2)
    phases = plan_phases(recipe, 2048, {}, Changes(replay=replay))
    assert phases[0].shares == pytest.approx({"kitchen": 0.2 * 0.125, "zoo": 0.8 + 0.2 * 0.875})
    assert phases[1].shares == pytest.approx({"kitchen": 0.8 * 0.5 + 0.2 * 0.125, "zoo": 0.8 * 0.5 + 0.2 * 0.875})


def test_a_subset_is_as_large_as_its_epochs_say(shared, tmp_path):
    recipe = load_recipe(recipe_for(shared, tmp_path / "recipe.yaml"))

    def planned(**subset):
        there = {"zoo": 1000, "kitchen": 1000}
        return [phase.subset for phase in plan_phases(recipe, 2000, there, Changes(subset=Subset(**subset)))]

    assert planned(epochs={"zoo": 4}) == [{"zoo": 1750 / 4 / 1000}] * 2
    late = planned(epochs={"zoo": 4}, shares={"kitchen": 0.5}, phases=(2,))
    assert late == [{}, {"zoo": 250 / 4 / 1000, "kitchen": 0.5}]
    with pytest.raises(RequestError, match="no domain 'zo'"):
        planned(shares={"zo": 0.5})
    with pytest.raises(RequestError, match="phases \\[3\\] are not there"):
        planned(shares={"zoo": 0.5}, phases=(3,))


def test_conditioning_and_upsampling_cut_the_phases_where_they_begin_and_end(shared, tmp_path):
    recipe = load_recipe(recipe_for(shared, tmp_path / "recipe.yaml"))  # until 0.75 zoo, then half and half
    changes = Changes(conditioning=Conditioning(cooldown=0.1), upsample=Upsample(shares={"kitchen": 0.8}, last=0.5))
    phases = plan_phases(recipe, 2000, {}, changes)
    assert [(phase.until, phase.metadata, phase.shares.get("kitchen", 0.0)) for phase in phases] == [
        (0.5, True, 0.0), (0.75, True, 0.8), (0.9, True, 0.8), (1.0, False, 0.8),
    ]  # fmt: skip
    assert all(sum(phase.shares.values()) == pytest.approx(1.0) for phase in phases)
    with pytest.raises(RequestError, match="must sum to 1"):
        plan_phases(recipe, 2000, {}, Changes(upsample=Upsample(shares={"zoo": 0.5}, last=0.5)))
    own = recipe.model_copy(update={"phases": tuple(p.model_copy(update={"metadata": "host"}) for p in recipe.phases)})
    with pytest.raises(RequestError, match="leave one out"):
        plan_phases(own, 2000, {}, changes)


def test_the_best_documents_by_a_score_are_what_a_run_reads(tmp_path):
    made = tokenized(tmp_path)
    ids = document_ids(made, "zoo").to_pylist()
    scores, shards = {id: float(place) for place, id in enumerate(ids[:-1])}, {}  # the last has none
    schema = pa.schema([("id", pa.string()), ("odd", pa.float64())])
    for name in [shard.name for shard in made.table("documents").manifest().shards]:
        shards[name] = [{"id": id, "odd": -score} for id, score in scores.items()] if not shards else []
    put_table(made, "scores/odd", schema, shards)
    pool = {"zoo": open_tokens(made, "zoo")}
    subset = Subset(shares={"zoo": 0.3}, best="odd.odd", smallest=True)
    zoo = with_quality(made, pool, subset)["zoo"]
    best = zoo.best(0.3)
    assert best.tolist() == list(range(len(ids) - 1 - len(best), len(ids) - 1))
    assert 0.2 < np.diff(zoo.offsets)[best].sum() / zoo.tokens <= 0.3
    loader = Loader({"zoo": zoo}, [Phase_(1.0, {"zoo": 1.0}, 16, subset={"zoo": 0.3}, best=True)], 8192, 64)
    read = {tuple(row) for step in range(loader.steps) for row in loader.batch(step).ids}
    flat = np.concatenate([zoo.document(i) for i in best])
    assert read <= {tuple(np.pad(flat[at : at + 16], (0, 16 - len(flat[at : at + 16])), constant_values=zoo.facts.bos))
                    for at in range(0, len(flat), 16)}  # fmt: skip
    assert loader.plan()[0]["passes"] > 3 * loader.plan()[0]["epochs"]
    assert (
        loader.fingerprint != Loader({"zoo": replace(zoo, quality=-zoo.quality)}, loader.phases, 8192, 64).fingerprint
    )
    for wrong, said in (("odder.odd", "no score 'odder'"), ("odd", "no column 'score'")):
        with pytest.raises(RequestError, match=said):
            with_quality(made, pool, Subset(shares={"zoo": 0.3}, best=wrong))


def test_a_recipe_for_other_tokens_is_refused_unless_forced(shared, tmp_path):
    stale = recipe_for(shared, tmp_path / "stale.yaml", shards={"zoo": "0" * 32})
    settings = TrainSettings(recipe=stale, name="stale", model="1x16x2", batch_tokens=64, loop=LOOP)
    with pytest.raises(RequestError, match="tokens of zoo"):
        train(shared, settings, quiet=True)
    assert train(shared, settings, force=True, quiet=True)["steps"] == 32
    wrong = recipe_for(shared, tmp_path / "wrong.yaml", tokenizer=Tokenizer(sha256="1" * 64, vocab_size=300))
    with pytest.raises(RequestError, match="tokenizer: 111111111111"):
        train(shared, TrainSettings(recipe=wrong, name="wrong"), quiet=True)
    conditioned = [RecipePhase(until=1.0, seq_len=16, shares={"zoo": 1.0}, metadata="host")]
    meco = recipe_for(shared, tmp_path / "meco.yaml", phases=conditioned)
    with pytest.raises(RequestError, match="tokenize --metadata host"):
        train(shared, TrainSettings(recipe=meco, name="meco"), quiet=True)


def test_a_document_its_copies_and_its_rewritings_are_on_one_side(tmp_path):
    rows = list(documents("zoo"))
    ids, texts = [row["id"] for row in rows], [row["text"] for row in rows]
    copies = [
        {**row, "id": f"copy-{row['id']}", "domain": "mirror", "text": row["text"] + " once more"} for row in rows
    ]
    chain = [{**row, "id": f"new-{row['id']}", "domain": "new", "text": row["text"][::-1]} for row in rows[:20]]
    made = tokenized(tmp_path, more=copies + chain, lineage={row["id"]: row["id"][4:] for row in chain})
    side = {id: split for id, (_, split, *_) in by_id(made).items()}
    assert {side[id] for id in ids} == {"train", "heldout"}
    assert all(side[f"copy-{id}"] == side[id] for id, text in zip(ids, texts, strict=True) if len(text.split()) > 25)
    assert all(side[row["id"]] == side[row["id"][4:]] for row in chain)


def test_a_group_that_would_take_most_of_what_is_held_out_is_trained_on(tmp_path):
    many = [{**next(iter(documents("zoo"))), "id": f"many-{i}", "domain": "many"} for i in range(40)]
    side = {id: split for id, (_, split, *_) in by_id(tokenized(tmp_path, more=many)).items()}
    assert {side[row["id"]] for row in many} == {"train"}
