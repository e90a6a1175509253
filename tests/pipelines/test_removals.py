"""Removal on request: what falls, the log that cannot be rewritten, and the proof that nothing is left."""

import base64
import gzip
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.exported import recorded_export
from gristmill.corpus.removals import OptOut, add_optout, parse
from gristmill.corpus.settings import Input
from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.corpus.store.workspace import Workspace
from gristmill.dedup.settings import DedupSettings
from gristmill.dedup.shingles import shingle
from gristmill.mixing.exporters.frame import ExportJob
from gristmill.mixing.exporters.registry import export_recipe
from gristmill.mixing.recipe import RecipePhase, load_recipe, make_recipe
from gristmill.pipelines.audit import audit
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.removals.absence import differences, prove_absence
from gristmill.pipelines.removals.asked import found_by_signals, found_by_text
from gristmill.pipelines.removals.log import entries, hash_of, head_of, read_log, secret, told_in_card
from gristmill.pipelines.removals.pieces import chosen_pieces, wholes
from gristmill.pipelines.removals.request import covered, remove_on_request
from gristmill.pipelines.removals.signing import name_of, sign
from gristmill.pipelines.stages.dedup.stage import deduplicate
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract
from gristmill.pipelines.stages.filter.stage import FilterSettings, run_filter
from gristmill.pipelines.stages.tokenize.stage import TokenizeSettings, tokenize

from ..corpus.crawl import http, record
from .small_crawl import edited, prose
from .small_evidence import small_evidence

OPTIONS = RunnerOptions()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("removals")
    small_evidence(folder)
    return folder


@pytest.fixture
def space(whole: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(whole / "w", tmp_path / "w")
    return Workspace(str(tmp_path / "w"))


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Path:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not on this machine")
    folder = tmp_path_factory.mktemp("keys")
    for name in ("own", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    return folder


def asked(space: Workspace, *hosts: str, **more):
    return remove_on_request(space, parse(hosts, "list"), "list", OPTIONS, quiet=True, **more)


def texts(space: Workspace, source: str) -> dict[str, str]:
    rows = (row for batch in space.table("documents").read(["id", "source", "text"]) for row in batch.to_pylist())
    return {row["id"]: row["text"] for row in rows if row["source"] == source}


def checks(space: Workspace, signer: Path | None = None) -> set[str]:
    return {one["check"] for one in prove_absence(space, str(signer) if signer else None)["findings"]}


def test_near_copies_of_a_text_are_listed_before_they_go_and_then_nothing_of_it_is_left(
    space: Workspace, tmp_path: Path
):
    given = tmp_path / "text.txt"
    given.write_text(edited(prose("gardens", 0)))
    why, about = found_by_text(space, [str(given)], 0.8, make=True)
    assert len(why) == 2  # the page and the near copy of it
    assert set(covered(space, OptOut(), why)) == set(why)
    assert len(texts(space, "gardens")) == 25
    assert all(row["containment"] > 0.8 for row in about)
    summary = remove_on_request(space, OptOut(), "text", OPTIONS, why=why, quiet=True)
    assert summary["removed"] == 2
    assert not set(why) & set(texts(space, "gardens"))
    assert prove_absence(space)["findings"] == audit(space)["findings"] == []
    told = Path(space.path("removals", "log.jsonl")).read_text()
    assert not any(word in told for word in (prose("gardens", 0).split(".")[0], *why))


def test_a_text_within_a_longer_page_is_found_by_containment(space: Workspace, tmp_path: Path):
    given = tmp_path / "part.txt"
    given.write_text(" ".join(prose("ships", 3).split()[20:60]))
    _, about = found_by_text(space, [str(given)], 0.8)
    assert about[0]["containment"] == 1.0
    assert about[0]["jaccard"] < 0.5
    plain = given.read_text()
    for number, form in enumerate((plain.encode("utf-16"), plain.encode("utf-8-sig"), gzip.compress(plain.encode()))):
        other = tmp_path / f"part{number}"
        other.write_bytes(form)
        assert found_by_text(space, [str(other)], 0.8)[1][0]["id"] == about[0]["id"]


@pytest.mark.slow
def test_fitted_artefacts_stay_and_are_listed_as_fitted_with_what_was_removed(space: Workspace):
    before = space.table("tokenizer").finished("test").shards
    summary = asked(space, "ships.example")
    assert space.table("tokenizer").finished("test").shards == before
    assert summary["log"]["fitted"] == [f"tokenizer/tokenizer.json {before[0].checksum}"]
    assert "tokenize" in summary["rebuilt"]


def test_runs_that_read_it_are_named_exactly_before_and_as_possible_after(space: Workspace):
    ids = texts(space, "gardens")
    first, second = sorted(ids)[:2]
    told = asked(space, first)["trained"]
    held_out = not told
    assert told == ([] if held_out else [{"kind": "run", "name": "base", "documents": 1, "exact": True}])
    later = asked(space, second)["trained"]
    assert all(not one["exact"] for one in later)
    named = {one["name"] for one in prove_absence(space)["trained"]}
    assert named == {one["name"] for one in (*told, *later)}


@pytest.mark.slow
def test_the_tables_are_those_of_a_workspace_that_never_held_them(space: Workspace, tmp_path: Path, whole: Path):
    asked(space, "gardens.example")
    other = Workspace(str(tmp_path / "other"))
    other.create()
    add_optout(other, parse(["gardens.example"], "list"))
    rebuilt = _walk_again(whole, other, space)
    assert differences(space, rebuilt) == []


def _walk_again(whole: Path, other: Workspace, like: Workspace) -> Workspace:
    """The same calls from scratch, with the tokenizer of the other workspace."""
    names = {
        "gardens": "gardens.warc.gz",
        "ships": "ships.jsonl.gz",
        "clocks": "clocks.parquet",
        "kitchens": "kitchens",
    }
    inputs = tuple(Input(paths=(str(whole / "in" / f),), source=n, domain=n) for n, f in names.items())
    run_extract(other, ExtractSettings(inputs=inputs, shard_bytes=20_000), OPTIONS, quiet=True)
    run_filter(other, FilterSettings(rules=str(whole / "rules.yaml")), OPTIONS, quiet=True)
    deduplicate(other, DedupSettings(threshold=0.8, num_perm=64), OPTIONS, quiet=True)
    kept = like.table("tokenizer").shard_url("tokenizer.json")
    tokenize(other, TokenizeSettings(tokenizer=kept, heldout=0.15), OPTIONS, quiet=True)
    return other


@pytest.mark.slow
def test_robots_of_the_crawl_are_applied_afterwards_and_told_by_language(space: Workspace, tmp_path: Path):
    (tmp_path / "robotstxt").mkdir()
    body = b"User-agent: CCBot\nUser-agent: GPTBot\nDisallow: /1\n\nUser-agent: *\nAllow: /\n"
    made = [record(http(body, "text/plain"), "https://gardens.example/robots.txt"),
            record(http(b"", "text/plain", "500 Oops"), "https://ships.example/robots.txt")]  # fmt: skip
    (tmp_path / "robotstxt" / "a.warc.gz").write_bytes(b"".join(gzip.compress(one, mtime=0) for one in made))
    why, about = found_by_signals(space, [str(tmp_path / "robotstxt")], "GPTBot", None, False)
    gardens = set(texts(space, "gardens")) & set(why)
    assert len(gardens) == 11  # 1, 10 to 19
    assert set(why) - gardens == set(texts(space, "ships"))
    assert sum(row["documents"] for row in about) == len(why)
    assert sum(row["of_documents"] for row in about) == space.table("documents").finished("test").counts["kept"]
    assert all(0 < row["tokens"] < row["of_tokens"] for row in about if row["documents"])
    other, _ = found_by_signals(space, [str(tmp_path / "robotstxt")], "ClaudeBot", "robots", False)
    assert set(other) == set(texts(space, "ships"))
    summary = remove_on_request(space, OptOut(), "robots", OPTIONS, why=why, quiet=True)
    assert summary["removed"] == len(why)
    found = prove_absence(space)
    assert found["findings"] == []
    assert found["checked"]["ids"] == len(why)


@pytest.mark.parametrize(("agents", "signals"), [("Mozilla/5.0 (x)", None), ("5bot", None), ("GPTBot", "robot")])
def test_agents_and_signals_that_are_none_are_refused(space: Workspace, tmp_path: Path, agents, signals):
    (tmp_path / "r.jsonl").write_text(json.dumps({"url": "https://a.example/robots.txt", "body": ""}) + "\n")
    if agents == "Mozilla/5.0 (x)":
        found_by_signals(space, [str(tmp_path / "r.jsonl")], agents, signals, False)  # its token is Mozilla
        return
    with pytest.raises(RequestError, match=r"product token|signal"):
        found_by_signals(space, [str(tmp_path / "r.jsonl")], agents, signals, False)


# ---- the log


@pytest.fixture
def light(tmp_path: Path) -> Workspace:
    """Documents and nothing else."""
    rows = [{"text": prose("ships", n), "url": f"https://ships.example/{n}"} for n in range(6)]
    (tmp_path / "ships.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = Workspace(str(tmp_path / "light"))
    given = Input(paths=(str(tmp_path / "ships.jsonl"),), source="ships")
    run_extract(made, ExtractSettings(inputs=(given,), language_model=None, sandbox=False), OPTIONS, quiet=True)
    return made


@pytest.fixture
def logged(light: Workspace, keys: Path) -> Workspace:
    for id in sorted(texts(light, "ships"))[:3]:
        asked(light, id, sign=str(keys / "own"))
    return light


def exported(space: Workspace, recipe: Path, out: Path, *names: str) -> None:
    told = load_recipe(str(recipe))
    shares = {name: 1 / len(names) if name in names else 0.0 for name in told.domains}
    phase = RecipePhase(until=1.0, seq_len=64, shares=shares)
    own = make_recipe(total_tokens=2_000, domains=told.domains, phases=[phase], name="base")
    export_recipe("olmo", ExportJob(own, str(out), space, batch=2))


def test_exports_that_still_hold_removed_documents_are_named_until_they_are_written_anew(
    space: Workspace, whole: Path, tmp_path: Path
):
    recipe, inside, outside, other = (
        whole / "recipe.yaml",
        Path(space.url, "export"),
        tmp_path / "out",
        tmp_path / "not",
    )
    for place in (inside, outside):
        exported(space, recipe, place, "gardens", "ships")
    exported(space, recipe, other, "ships", "clocks")
    summary = asked(space, min(texts(space, "gardens")))
    assert set(summary["written"]) == {str(inside), str(outside)}
    told = prove_absence(space)["findings"]
    assert {(one["check"], one["where"]) for one in told} == {("written", str(inside)), ("written", str(outside))}
    exported(space, recipe, inside, "gardens", "ships")
    shutil.rmtree(outside)
    assert not prove_absence(space)["findings"]


def test_an_export_that_ended_half_way_may_hold_what_it_held_before(space: Workspace, whole: Path, tmp_path: Path):
    out = tmp_path / "out"
    exported(space, whole / "recipe.yaml", out, "gardens", "ships")
    asked(space, min(texts(space, "gardens")))
    with pytest.raises(OSError, match="full"), recorded_export(space, "olmo", str(out), ["tokens/ships"]):
        raise OSError("full")
    assert checks(space) == {"written"}


def rewritten(space: Workspace, change) -> None:
    path = Path(space.path("removals", "log.jsonl"))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in change(lines)))


def anew(space: Workspace, lines: list[dict]) -> list[dict]:
    """The chain computed as a whole over changed lines, head and all: what whoever has the code can do."""
    previous = "0" * 64
    for number, line in enumerate(lines, 1):
        line |= {"number": number, "previous": previous}
        line["hash"] = previous = hash_of(line)
        place = Path(space.path("removals", f"{number}.parquet"))
        assert place.exists()
    Path(space.path("removals", "head")).write_text(head_of(lines))
    return lines


def forged(lines: list[dict]) -> list[dict]:
    lines[1]["documents"] = 0
    return lines


def test_a_log_that_is_as_it_was_written_verifies(logged: Workspace, keys: Path):
    assert [line["number"] for line in entries(logged)] == [1, 2, 3]
    assert not checks(logged, keys / "own.pub") & {"log", "signature"}
    assert "signature" in checks(logged, keys / "other.pub")


@pytest.mark.parametrize(
    "change",
    [
        forged,
        lambda lines: [lines[0], lines[2]],
        lambda lines: lines[:2],
        lambda lines: lines[1:],
        lambda lines: [lines[0], lines[2], lines[1]],
        lambda lines: [*lines, {**lines[-1], "number": 4}],
        lambda lines: [],
    ],
    ids=["forged", "dropped", "cut", "beheaded", "swapped", "added", "emptied"],
)
def test_a_line_that_was_forged_dropped_moved_or_added_is_found(logged: Workspace, change):
    rewritten(logged, change)
    assert read_log(logged)[1]
    assert "log" in checks(logged)
    with pytest.raises(WorkspaceError, match="does not hold together"):
        entries(logged)


def test_a_log_computed_anew_without_the_key_is_found_by_its_signature(logged: Workspace, keys: Path):
    rewritten(logged, lambda lines: anew(logged, forged(lines)))
    assert read_log(logged)[1] == []  # the chain itself holds
    assert "signature" in checks(logged)
    assert "signature" in checks(logged, keys / "own.pub")
    sign(logged.path("removals", "head"), str(keys / "other"))
    assert "signature" in checks(logged, keys / "own.pub")


def test_hashes_that_were_changed_and_a_log_that_is_gone_are_found(logged: Workspace, keys: Path):
    path = Path(logged.path("removals", "2.parquet"))
    pq.write_table(pq.read_table(path).slice(1), path)
    assert "log" in checks(logged)
    shutil.rmtree(logged.path("removals"))
    assert "log" in checks(logged)
    assert "log" in checks(logged, keys / "own.pub")


def test_the_same_request_twice_is_one_line(light: Workspace):
    id = sorted(texts(light, "ships"))[0]
    assert asked(light, id)["log"]["number"] == 1
    again = asked(light, id)
    assert (again["log"], again["removed"]) == (None, 0)


@pytest.fixture(scope="module")
def minisign(tmp_path_factory) -> Path:
    if shutil.which("minisign") is None:
        pytest.skip("minisign is not on this machine")
    folder = tmp_path_factory.mktemp("minisign")
    for name in ("own", "other"):
        told = ["minisign", "-G", "-W", "-p", folder / f"{name}.pub", "-s", folder / name]
        subprocess.run(told, check=True, capture_output=True)
    return folder


def test_a_minisign_key_signs_the_head_as_an_ssh_key_does(light: Workspace, minisign: Path, keys: Path):
    asked(light, sorted(texts(light, "ships"))[0], sign=str(minisign / "own"))
    assert "signature" not in checks(light, minisign / "own.pub")
    assert "signature" in checks(light, minisign / "other.pub")
    assert "signature" in checks(light, keys / "own.pub")
    assert "signature" in checks(light)  # it bears no key by which it could be verified
    name = name_of(light.path("removals", "head.sig"))
    assert name in (minisign / "own.pub").read_text()
    assert name in told_in_card(light)[1]
    rewritten(light, lambda lines: anew(light, [{**lines[0], "documents": 0}]))
    assert "signature" in checks(light, minisign / "own.pub")


def test_a_minisign_key_bears_the_name_that_minisign_gives_it(tmp_path: Path):
    data = b"ED" + bytes.fromhex("aedfa87848554c00") + bytes(64)
    (tmp_path / "head.sig").write_text(f"untrusted comment: signature\n{base64.b64encode(data).decode()}\n")
    assert name_of(str(tmp_path / "head.sig")) == "4C554878A8DFAE"  # as in `minisign public key 4C554878A8DFAE`


# ---- absence


def test_what_comes_back_is_found_wherever_it_lies(light: Workspace, tmp_path: Path):
    id, text = next(iter(sorted(texts(light, "ships").items())))
    before = next(s for s in light.table("documents").finished("test").shards if _holds(light, s, id))
    old = Path(light.table("documents").file_url(before)).read_bytes()
    asked(light, id)
    assert checks(light) == set()
    stray = Path(light.table("documents").url, before.file)
    stray.write_bytes(old)
    assert checks(light) == {"strays"}
    stray.unlink()
    key = secret(light)
    assert key is not None
    cache = Path(light.path("requests"))
    cache.mkdir(exist_ok=True)
    import sqlite3

    with sqlite3.connect(cache / "replies.sqlite") as connection:
        connection.execute("create table replies (key text, text text)")
        connection.execute("insert into replies values ('k', ?)", (f"A reply that quotes: {text}",))
    assert checks(light) == {"pieces"}


def _holds(space: Workspace, shard, id: str) -> bool:
    return id in pq.read_table(space.table("documents").file_url(shard), columns=["id"])["id"].to_pylist()


@given(st.lists(st.text("ab cé", max_size=60), max_size=5), st.integers(1, 5), st.integers(2, 9))
def test_one_shingle_in_n_are_those_of_all_that_n_divides(texts: list[str], size: int, n: int):
    every, few = (shingle(pa.array(texts, pa.string()), size=size, one_in=one) for one in (1, n))
    assert (every.content == few.content).all()
    for d in range(len(texts)):
        whole, own = (sets.hashes[sets.offsets[d] : sets.offsets[d + 1]] for sets in (every, few))
        assert own.tolist() == whole[whole % np.uint64(n) == 0].tolist()


@given(
    st.lists(st.sampled_from("mill grain river stone flour wheel yard bread".split()), min_size=26, max_size=120),
    st.integers(0, 30),
)
def test_pieces_of_a_text_are_pieces_of_every_text_that_holds_it(words: list[str], before: int):
    text = " ".join(words)
    inside = " ".join(["other"] * before + words + ["words"] * 5).upper()
    own, wide = (set(next(iter(chosen_pieces(pa.array([one])))).tolist()) for one in (text, inside))
    assert own <= wide
    assert wholes(pa.array([text]))[0] == wholes(pa.array([text.replace(" ", "\n").title()]))[0]
