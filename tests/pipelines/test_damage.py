"""Every kind of damage to every table of a workspace is found by `audit` and refused by whoever reads."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from gristmill.corpus.store.catalog import open_catalog
from gristmill.corpus.store.commits import commit_url, setting_aside, told_apart
from gristmill.corpus.store.errors import WorkspaceError
from gristmill.corpus.store.fate import inputs
from gristmill.corpus.store.shards import checksum, filesystem, open_file, open_shard
from gristmill.corpus.store.soundness import demand_sound
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.audit import audit
from gristmill.pipelines.audit_shards import damaged_shards
from gristmill.pipelines.engine.registry import records
from gristmill.pipelines.stages.dedup.stage import deduplicate
from gristmill.pipelines.stages.tokenize.stage import tokenize
from gristmill.pipelines.status import lines, status_of
from gristmill.training.data.shards import open_tokens

from .short_road import DEDUP, OPTIONS, TOKENIZE


@pytest.fixture
def space(short_road: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(short_road / "w", tmp_path / "w")
    return Workspace(str(tmp_path / "w"))


def lose(place: Path, others: list[Path]) -> None:
    place.unlink()


def cut(place: Path, others: list[Path]) -> None:
    place.write_bytes(place.read_bytes()[:-7])


def swap(place: Path, others: list[Path]) -> None:
    place.write_bytes(next(o.read_bytes() for o in others if o.read_bytes() != place.read_bytes()))


def foreign(place: Path, others: list[Path]) -> None:
    if place.suffix == ".parquet":
        pq.write_table(pa.table({"id": ["x"], "kept": [True], "text": ["another"]}), place)
    else:
        place.write_bytes(b"another" + place.read_bytes())


def double(place: Path, others: list[Path]) -> None:
    if place.suffix == ".parquet":
        table = pq.read_table(place)
        pq.write_table(pa.concat_tables([table, table] if table.num_rows else [table]), place, compression="zstd")
    else:
        place.write_bytes(place.read_bytes() * 2)


def flip(place: Path, others: list[Path]) -> None:
    content = bytearray(place.read_bytes())
    content[len(content) // 3] ^= 1
    place.write_bytes(content)


@pytest.mark.parametrize("damage", [lose, cut, swap, foreign, double, flip], ids=lambda kind: kind.__name__)
def test_a_damaged_file_of_any_table_is_found_and_refused(space: Workspace, damage):
    held = space.commits()
    tables = {name: table for commit in held.values() for name, table in commit.tables.items() if table.shards}
    every = [Path(space.table(name).file_url(s)) for name, table in tables.items() for s in table.shards]
    assert len(tables) > 15
    for name, table in tables.items():
        place = Path(space.table(name).file_url(table.shards[0]))
        true = place.read_bytes()
        damage(place, every)
        if place.exists() and place.read_bytes() == true:
            continue
        wrong = [where for _, where, _ in damaged_shards(space, held)]
        assert wrong == [f"{name}/{table.shards[0].name}"]
        with pytest.raises(WorkspaceError, match="which a commit lists"):
            demand_sound(*filesystem(str(place)))
        place.write_bytes(true)
    assert list(damaged_shards(space, held)) == []


def test_the_tables_that_are_damaged_here_are_those_that_the_records_of_the_stages_name(space: Workspace):
    stages = ("extract", "filter", "decontaminate", "dedup", "tag", "tokenize")
    written = [name for stage in stages for name in records()[stage].writes]
    present = {name for commit in space.commits().values() for name in commit.tables}
    known = tuple(name for record in records().values() for name in record.writes)
    assert sum(any(t == name or t.startswith(name) for t in present) for name in written) >= len(written) - 4
    own = ("columns/", "captures", "failing_rules", "shingles", "failures/", "repeats", "components")
    assert [name for name in present if not name.startswith((*known, *own))] == []


VIEWS = {
    "documents": "select count(*) from documents",
    "decisions/dedup": "select stage, rule from decisions",
    "edits/decontaminate": "select count(*) n from curated where contains(text, 'x')",
    "domains": "select domain, count(*) from curated group by all",
    "duplicates": "select count(*) from duplicates",
}


@pytest.mark.parametrize("table", sorted(VIEWS))
def test_views_over_a_lost_or_flipped_file_refuse_and_name_the_command(space: Workspace, table: str):
    place = next(Path(space.table(table).file_url(s)) for s in space.table(table).finished("test").shards if s.rows)
    command = space.table(table).finished("test").commit.command
    for damage, word in ((flip, "damaged"), (lose, "lost")):
        damage(place, [])
        with pytest.raises(WorkspaceError, match=f"is {word}; run: gristmill {command}"):
            open_catalog(space, query=VIEWS[table])
    open_catalog(space, query="select * from failures").close()


@pytest.mark.parametrize("table", ["documents", "decisions/tag", "edits/decontaminate", "domains"])
def test_tokenize_refuses_what_it_would_read_damaged(space: Workspace, table: str):
    place = next(Path(space.table(table).file_url(s)) for s in space.table(table).finished("test").shards if s.rows)
    space.retire("tokenize")
    flip(place, [])
    with pytest.raises(WorkspaceError, match=r"holds something else than was committed|cannot be read"):
        tokenize(space, TOKENIZE, OPTIONS, quiet=True)
    assert space.commit_of("tokenize") is None


def test_training_refuses_flipped_tokens(space: Workspace):
    manifest = space.table("tokens/org").finished("test")
    place = next(Path(space.table("tokens/org").file_url(s)) for s in manifest.shards if s.rows and "train" in s.name)
    flip(place, [])
    with pytest.raises(WorkspaceError, match="holds something else"):
        open_tokens(space, "org")


def made_right(space: Workspace, table: str, change, place: int = 0) -> None:
    """Change the rows of a shard and commit it with checksum, content, rows and seal of what is there now."""
    manifest = space.table(table).finished("test")
    shard = [s for s in manifest.shards if s.rows][place]
    url = space.table(table).file_url(shard)
    if shard.name.endswith(".parquet"):
        before = pq.read_table(url)
        with open_shard(space.table(table).url, shard.name, before.schema) as out:
            for batch in change(before).to_batches():
                out.write_batch(batch)
    else:
        with open_file(space.table(table).url, shard.name) as out:
            Path(out.path).write_bytes(change(Path(url).read_bytes()))
            out.rows = shard.rows
    new = replace(out.shard, counts=shard.counts, item=shard.item)
    shards = tuple(new if s.name == shard.name else s for s in manifest.shards)
    record = manifest.record.model_copy(update={"shards": shards})
    commit = manifest.commit.model_copy(update={"tables": {**manifest.commit.tables, table: record}})
    Path(commit_url(space.url, commit.stage)).write_bytes(commit.bytes())
    space.follow(commit)


def kept_and_dropped(table: pa.Table) -> pa.Table:
    values = table["kept"].to_pylist()
    return table.set_column(1, table.schema.field(1), pa.array([not values[0], *values[1:]]))


def another_token(content: bytes) -> bytes:
    with pa.ipc.open_file(content) as reader:
        schema, table = reader.schema, reader.read_all()
    rows = table.to_pylist()
    rows[0]["tokens"][2] = rows[0]["tokens"][2] ^ 1
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema))
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("table", ["decisions/filter", "decisions/decontaminate", "decisions/dedup", "decisions/tag"])
def test_a_flipped_decision_whose_checksum_was_made_right_is_found(space: Workspace, table: str):
    made_right(space, table, kept_and_dropped)
    found = {(f["check"], f["where"].split("/shard")[0].rpartition("/")[0]) for f in audit(space)["findings"]}
    assert {("decisions", table), ("conservation", table)} <= found


def test_a_flipped_token_whose_checksum_was_made_right_is_found(space: Workspace):
    made_right(space, "tokens/org", another_token)
    assert "tokens" in {f["check"] for f in audit(space)["findings"]}


@pytest.mark.parametrize("table", ["documents", "decisions/dedup", "duplicates", "domains", "edits/decontaminate"])
def test_rows_that_were_doubled_are_found_though_every_checksum_is_right(space: Workspace, table: str):
    made_right(space, table, lambda rows: pa.concat_tables([rows, rows]))
    assert "ids" in {f["check"] for f in audit(space)["findings"]}


def test_texts_that_changed_behind_the_tokens_are_found_or_stale(space: Workspace):
    def other_text(rows: pa.Table) -> pa.Table:
        at = rows.schema.get_field_index("text")
        return rows.set_column(at, rows.schema.field(at), pc.utf8_upper(rows["text"]))

    made_right(space, "documents", other_text)
    assert "fingerprint" in {f["check"] for f in audit(space)["findings"]}
    with pytest.raises(WorkspaceError, match="run: gristmill"):
        inputs(space, "tokenize")


@pytest.mark.parametrize("stage", ["extract", "dedup", "tokenize", "tag"])
@pytest.mark.parametrize("kind", ["cut short", "empty", "a count", "reformatted"])
def test_a_commit_that_was_changed_is_one_clear_line_for_everyone(space: Workspace, stage: str, kind: str):
    place = Path(commit_url(space.url, stage))
    text = place.read_text()
    changed = {
        "cut short": text[: len(text) // 2],
        "empty": "",
        "a count": text.replace('"rows":', '"rows":1', 1),
        "reformatted": json.dumps(json.loads(text), indent=1),
    }[kind]
    place.write_text(changed)
    told = [(f["check"], f["where"]) for f in audit(space)["findings"]]
    assert told == [("commit", stage)]
    with pytest.raises(WorkspaceError, match=r"is damaged .* make it anew: gristmill \w+ .* --force"):
        open_catalog(space)
    with pytest.raises(WorkspaceError, match="is damaged"):
        inputs(space, "train")
    assert "is damaged" in "\n".join(lines(status_of(space)))


def test_a_stage_whose_commit_is_damaged_is_made_again_by_force_and_gives_the_same(space: Workspace):
    before = {t.name: [s.checksum for s in t.finished("test").shards] for t in space.tables()}
    place = Path(commit_url(space.url, "dedup"))
    place.write_bytes(place.read_bytes()[:300])
    with pytest.raises(WorkspaceError, match="gristmill dedup"):
        deduplicate(space, DEDUP, OPTIONS, quiet=True)
    with setting_aside(space.url, "dedup"):
        deduplicate(space, DEDUP, replace(OPTIONS, mend=True), force=True, quiet=True)
    assert told_apart(space.url)[1] == {}
    assert {t.name: [s.checksum for s in t.finished("test").shards] for t in space.tables()} == before


def test_a_flipped_byte_is_mended_by_force(space: Workspace):
    shard = space.table("decisions/dedup").finished("test").shards[0]
    place = Path(space.table("decisions/dedup").file_url(shard))
    flip(place, [])
    deduplicate(space, DEDUP, replace(OPTIONS, mend=True), force=True, quiet=True)
    assert checksum(str(place)) == shard.checksum
    assert audit(space)["findings"] == []


@pytest.mark.parametrize("stage", ["dedup", "decontaminate", "filter"])
def test_a_commit_of_the_chain_that_was_lost_is_not_taken_for_never_asked_for(space: Workspace, stage: str):
    Path(commit_url(space.url, stage)).unlink()
    assert "lost" in {f["check"] for f in audit(space)["findings"]}
    with pytest.raises(WorkspaceError, match=r"is lost|run: gristmill"):
        inputs(space, "tokenize")


def test_a_file_that_nobody_put_into_a_table_is_told(space: Workspace):
    home = Path(space.table("documents").url)
    shutil.copy(next(home.glob("*.parquet")), home / "extra.parquet")
    assert [(f["check"], f["where"]) for f in audit(space)["findings"]] == [("foreign", "documents/extra.parquet")]


def test_a_manifest_that_was_cut_short_is_told_and_written_anew_by_the_same_command(space: Workspace):
    place = Path(space.url) / "duplicates" / "_manifest.json"
    true = place.read_text()
    place.write_text(true[: random.Random(1).randrange(len(true))])
    assert [(f["check"], f["where"]) for f in audit(space)["findings"]] == [("manifest", "duplicates")]
    deduplicate(space, DEDUP, OPTIONS, quiet=True)
    assert place.read_text() == true
