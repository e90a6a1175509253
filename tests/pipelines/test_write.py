"""Documents out: the rows that came in, in their own columns, text as the stages left it."""

import contextlib
import datetime
import decimal
import gzip
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gristmill.corpus.readers.inputs import Input
from gristmill.corpus.removals import parse
from gristmill.corpus.store.catalog import open_catalog
from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.workspace import Workspace
from gristmill.dedup.settings import DedupSettings
from gristmill.filters.settings import LineRules, Rule, RuleSet
from gristmill.pipelines.audit import audit
from gristmill.pipelines.cli import main
from gristmill.pipelines.engine.invocation import Checking
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.dedup.stage import deduplicate
from gristmill.pipelines.stages.extract.checks import check as check_extract
from gristmill.pipelines.stages.extract.settings import COLUMNS
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract
from gristmill.pipelines.stages.filter.stage import FilterSettings, run_filter
from gristmill.pipelines.stages.opt_out import opt_out
from gristmill.pipelines.stages.removal import remove
from gristmill.pipelines.stages.write import stage as write_stage
from gristmill.pipelines.stages.write.checks import check as check_write
from gristmill.pipelines.stages.write.settings import WriteSettings
from gristmill.pipelines.stages.write.stage import run_write
from gristmill.pipelines.stages.write.stale import stale_places

ONE = RunnerOptions()
PROSE = (
    "The mill stands by the river {n}, and the {n}th miller grinds the corn of the whole valley with it.\n"
    "In spring the water of year {n} is high, so that the wheel turns day and night; in summer it rests.\n"
    "Nobody in the {n} houses around remembers who built it, but everyone has eaten its bread.\n"
    "Of the {n} sacks that it filled last week, some went to the town. The others went to the villages on the hill.\n"
)


def extracted(workspace: Workspace, *paths: Path, **more) -> dict:
    inputs = (Input(paths=tuple(map(str, paths)), source="test"),)
    asked = ExtractSettings(inputs=inputs, sandbox=False, language_model=None, **more)
    return run_extract(workspace, asked, ONE, quiet=True)


def written(workspace: Workspace, out: Path, format: str = "jsonl", **more) -> dict:
    return run_write(workspace, WriteSettings(output=str(out), format=format, **more), ONE, quiet=True)


def lines(out: Path) -> list[bytes]:
    found = []
    for path in sorted(out.glob("*.jsonl*")):
        data = path.read_bytes()
        found += (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines(keepends=True)
    return found


def kept(workspace: Workspace, rules: RuleSet) -> None:
    run_filter(workspace, FilterSettings(rules=rules), ONE, force=True, quiet=True)


def rows_of(number: int) -> list[dict]:
    return [
        {
            "id": f"{number}-{n}", "quality": n / 2 if n % 2 else n, "tags": ["a", None, str(n)],
            "text": PROSE.format(n=n % 7 + 100 * number).rstrip(), "meta": {"lang": "en", "né": [n, n + 1]},
        }
        for n in range(8)
    ]  # fmt: skip


def test_thirty_files_go_through_rules_and_dedup_and_out_again_byte_for_byte(tmp_path: Path):
    came = {}
    for number in range(30):
        path = tmp_path / "in" / f"{number:02d}.jsonl.gz"
        path.parent.mkdir(exist_ok=True)
        made = [json.dumps(row, ensure_ascii=number % 2 == 0).encode() + b"\n" for row in rows_of(number)]
        came |= {f"{number}-{n}": line for n, line in enumerate(made)}
        path.write_bytes(gzip.compress(b"".join(made)))
    workspace = Workspace(str(tmp_path / "w"))
    extracted(workspace, tmp_path / "in")
    run_filter(workspace, FilterSettings(rules="fineweb"), ONE, quiet=True)
    deduplicate(workspace, DedupSettings(), ONE, quiet=True)
    summary = written(workspace, tmp_path / "out", "jsonl.gz")
    found = {json.loads(line)["id"]: line for line in lines(tmp_path / "out")}
    assert 0 < len(found) < len(came)
    assert summary["details"]["rows"] == len(found)
    assert found == {name: came[name] for name in found}
    written(workspace, tmp_path / "parquet", "parquet")
    table = pa.concat_tables(pq.read_table(path) for path in sorted((tmp_path / "parquet").glob("*.parquet")))
    assert {row["id"]: row for row in table.to_pylist()} == {name: json.loads(came[name]) for name in found}
    written(workspace, tmp_path / "gone", "jsonl", dropped=True)
    fell = [json.loads(line) for line in lines(tmp_path / "gone")]
    assert {row["id"] for row in fell} == set(came) - set(found)
    assert {row["gristmill"]["stage"] for row in fell} <= {"filter", "dedup"}
    assert all(json.loads(came[row["id"]]) == {k: v for k, v in row.items() if k != "gristmill"} for row in fell)
    assert not audit(workspace)["findings"]


SCHEMAS = [
    [("n", pa.int64(), 1), ("text", pa.string(), "t")],
    [
        ("n", pa.dictionary(pa.int8(), pa.string()), "a"),
        ("text", pa.large_string(), "t"),
        ("when", pa.date64(), datetime.date(2020, 1, 2)),
    ],
    [
        ("text", pa.dictionary(pa.int32(), pa.string()), "t"),
        ("at", pa.timestamp("us", "Europe/Berlin"), 5),
        ("ID", pa.int8(), 1),
        ("id", pa.int8(), 2),
    ],
    [
        ("content", pa.string_view(), "t"),
        ("d", pa.decimal128(9, 2), decimal.Decimal("1.50")),
        ("l", pa.list_(pa.struct([("x", pa.float32())])), [{"x": 1.5}, None]),
    ],
    [
        ("text", pa.binary(), b"t"),
        ("m", pa.map_(pa.string(), pa.int8()), [("a", 1)]),
        ("f", pa.list_(pa.int8(), 2), [1, 2]),
    ],
]


def value_of(value, place: str, null: bool):
    """A text of its own where the value stands for one; null, or the value, elsewhere."""
    text = f"{value}{place} \u00e9 "
    return text.encode() if value == b"t" else text if value == "t" else None if null else value


ROWS = st.lists(
    st.tuples(st.integers(0, len(SCHEMAS) - 1), st.lists(st.booleans(), min_size=1, max_size=3)), min_size=1, max_size=4
)


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS)
def test_rows_of_any_schemas_come_back_by_schema_and_value_in_one_call_and_by_growth(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("rows")
    paths, came = [], []
    for number, (which, nulls) in enumerate(files):
        schema = pa.schema([(name, kind) for name, kind, _ in SCHEMAS[which]], {b"own": str(which).encode()})
        rows = [
            {name: value_of(value, f"{number}.{n}", null) for name, _, value in SCHEMAS[which]}
            for n, null in enumerate(nulls)
        ]
        table = pa.Table.from_pylist(rows, schema)
        paths.append(folder / f"{number}.arrow")
        with pa.ipc.new_file(paths[-1], schema) as out:
            out.write_table(table)
        came.append(table)
    workspace = Workspace(str(folder / "w"))
    extracted(workspace, *paths[: len(paths) // 2 or 1])
    extracted(workspace, *paths)
    written(workspace, folder / "out", "arrow")
    found = [pa.ipc.open_file(path).read_all() for path in sorted((folder / "out").glob("*.arrow"))]
    order = lambda tables: sorted(str((t.schema.to_string(), row)) for t in tables for row in t.to_pylist())  # noqa: E731
    assert order(found) == order(came)
    assert all(any(t.schema.equals(c.schema, check_metadata=True) for c in came) for t in found)


def test_text_that_a_rule_cut_is_the_only_thing_that_changes(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    line = '{"text" : "Read more\\nThe mill stands by the \\u00e9cluse.  ", "n": 1.0,"o":{ }}'
    path.write_text(line + "\n")
    workspace = Workspace(str(tmp_path / "w"))
    extracted(workspace, path)
    written(workspace, tmp_path / "before")
    assert lines(tmp_path / "before") == [line.encode() + b"\n"]
    cut = LineRules(rules=(Rule(rule="short", value="chars", threshold=12, keep="value >= threshold"),))
    kept(workspace, RuleSet(name="cut", about="lines", rules=(), lines=cut))
    written(workspace, tmp_path / "after")
    (found,) = lines(tmp_path / "after")
    text = json.loads(found)["text"]
    assert "Read more" not in text
    assert (
        found.decode() == line.replace(json.dumps(json.loads(line)["text"]), json.dumps(text, ensure_ascii=True)) + "\n"
    )


def own_rules(value: str, threshold: float) -> RuleSet:
    rule = Rule(rule="own", value=value, threshold=threshold, keep="value >= threshold")
    return RuleSet(name="own", about="own", rules=(rule,))


def test_rules_and_views_read_own_columns_of_every_schema_by_their_types(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of(1)))
    texts = [PROSE.format(n=n) for n in range(4)]
    pq.write_table(pa.table({"text": texts, "quality": pa.array(range(4), pa.int8())}), tmp_path / "b.parquet")
    (tmp_path / "c.txt").write_text(PROSE)
    workspace = Workspace(str(tmp_path / "w"))
    extracted(workspace, tmp_path / "a.jsonl", tmp_path / "b.parquet", tmp_path / "c.txt")
    kept(workspace, own_rules("extra.quality", 3))
    with open_catalog(workspace) as catalog:
        found = catalog.execute("select extra.quality from curated order by all").fetchall()
        assert [value for (value,) in found] == [3.0, 3.0 - 0.5 + 1, 4.0, 6.0] or len(found) >= 4
        assert all(value >= 3 for (value,) in found)
        assert catalog.execute("select count(*) from documents where extra.meta.lang = 'en'").fetchone() == (8,)
        assert catalog.execute("select count(*) from documents where list_contains(extra.tags, '3')").fetchone() == (1,)
        dropped = catalog.execute("select value from decisions where not kept order by value nulls last").fetchall()
    assert dropped[-1] == (None,)  # the text file has no columns: an absent value never passes
    with pytest.raises(RequestError, match=r"extra\.qualty.*did you mean extra\.quality"):
        kept(workspace, own_rules("extra.qualty", 3))


def test_an_opt_out_leaves_the_bytes_of_a_workspace_that_never_held_the_rows(tmp_path: Path):
    rows = [{**row, "url": f"https://h{n}.example/"} for n, row in enumerate(rows_of(1))]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = pa.Table.from_pylist([{"text": row["text"] + "p", "url": row["url"], "k": n} for n, row in enumerate(rows)])
    pq.write_table(table, tmp_path / "b.parquet")
    held = {}
    for name in ("after", "never"):
        workspace = Workspace(str(tmp_path / name))
        if name == "after":
            extracted(workspace, tmp_path / "a.jsonl", tmp_path / "b.parquet")
            opt_out(workspace, parse(["h3.example", "h0.example"], "list"), ONE, quiet=True)
        else:
            (tmp_path / name / "plans").mkdir(parents=True)
            (tmp_path / name / "plans" / "optout.json").write_bytes((tmp_path / "after/plans/optout.json").read_bytes())
            extracted(workspace, tmp_path / "a.jsonl", tmp_path / "b.parquet")
        shards = [s for t in workspace.tables() if t.name.startswith("columns/") for s in t.finished("test").shards]
        held[name] = [(shard.name, shard.checksum, dict(shard.counts)) for shard in shards]
        written(workspace, tmp_path / f"out-{name}")
    assert held["after"] == held["never"]
    assert len(lines(tmp_path / "out-after")) == 12
    assert lines(tmp_path / "out-after") == lines(tmp_path / "out-never")


def test_an_opt_out_names_the_places_that_still_hold_what_was_removed(tmp_path: Path):
    rows = [{**row, "url": f"https://h{n}.example/"} for n, row in enumerate(rows_of(1))]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    workspace = Workspace(str(tmp_path / "w"))
    extracted(workspace, tmp_path / "a.jsonl")
    for name in ("old", "gone"):
        written(workspace, tmp_path / name)
    shutil.rmtree(tmp_path / "gone")
    assert opt_out(workspace, parse(["elsewhere.example"], "list"), ONE, quiet=True)["written"] == {}
    for _ in range(2):  # said until it is mended
        said = opt_out(workspace, parse(["h3.example"], "list"), ONE, quiet=True)["written"]
        out = str(tmp_path / "old")
        assert said == {out: f"gristmill write {out} --format jsonl --workspace {workspace.url}"}
    written(workspace, tmp_path / "old")
    assert len(lines(tmp_path / "old")) == 7
    assert opt_out(workspace, parse(["h3.example"], "list"), ONE, quiet=True)["written"] == {}


def test_a_removal_names_them_too_with_the_settings_that_they_were_written_by(tmp_path: Path, capsys):
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of(ord(name))))
    workspace = Workspace(str(tmp_path / "w"))
    extracted(workspace, tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    out = str(tmp_path / "out")
    written(workspace, tmp_path / "out", domain=("test",), columns=("quality", "text"), shard_size=1500)
    command = (
        f"gristmill write {out} --format jsonl --domain test --columns quality --columns text --shard-size 1500 "
        f"--workspace {workspace.url}"
    )
    assert "written" not in remove(workspace, [str(tmp_path / "a.jsonl")], ONE, quiet=True, dry_run=True)
    with pytest.raises(SystemExit) as ended:
        main(["remove", str(tmp_path / "a.jsonl"), "--workspace", workspace.url])
    assert ended.value.code == 1
    assert f"remove: {out} was written from documents that are no more; run: {command}" in capsys.readouterr().out
    with contextlib.suppress(SystemExit):
        main(command.split()[1:])
    assert len(lines(tmp_path / "out")) == 8
    assert stale_places(workspace) == {}


def test_writing_goes_on_where_files_are_gone_and_follows_growth(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of(ord(name))))
    workspace = Workspace(str(tmp_path / "w"))
    extracted(workspace, tmp_path / "a.jsonl")
    first = written(workspace, tmp_path / "out", shard_size=1500)
    assert first["details"]["files"] > 1
    assert written(workspace, tmp_path / "out", shard_size=1500)["skipped"]
    files = sorted((tmp_path / "out").glob("*.jsonl"))
    before = files[0].read_bytes()
    files[0].unlink()
    assert not written(workspace, tmp_path / "out", shard_size=1500)["skipped"]
    assert files[0].read_bytes() == before
    extracted(workspace, tmp_path / "b.jsonl")
    written(workspace, tmp_path / "out")
    assert sorted(json.loads(line)["id"] for line in lines(tmp_path / "out")) == sorted(
        row["id"] for name in "ab" for row in rows_of(ord(name))
    )
    assert not list((tmp_path / "out").glob("*-0001.jsonl"))


def test_columns_are_chosen_left_out_and_refused_with_the_nearest_name(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of(1)))
    workspace = Workspace(str(tmp_path / "w"))
    extracted(workspace, tmp_path / "a.jsonl", drop_columns=("meta", "tags"))
    written(workspace, tmp_path / "all")
    assert [*json.loads(lines(tmp_path / "all")[0])] == ["id", "quality", "text"]
    written(workspace, tmp_path / "some", columns=("quality", "source"))
    assert json.loads(lines(tmp_path / "some")[1]) == {"quality": 0.5, "source": "test"}
    inputs = (Input(paths=(str(tmp_path / "a.jsonl"),)),)
    for asked, named in (
        ({"text_column": "txt"}, "text"),
        ({"url_column": "metta"}, "meta"),
        ({"keep_columns": ("tag",)}, "tags"),
        ({"drop_columns": ("qualty",)}, "quality"),
        *(({f"{kind}_column": "qualty"}, "quality") for kind in COLUMNS),
    ):
        with pytest.raises(RequestError, match=f"did you mean {named}"):
            check_extract(Checking(ExtractSettings(inputs=inputs, **asked), workspace, {}))
    with pytest.raises(RequestError, match="did you mean quality"):
        check_write(Checking(WriteSettings(output=str(tmp_path / "x"), columns=("qualty",)), workspace, {}))
    with pytest.raises(RequestError, match="did not put there"):
        check_write(Checking(WriteSettings(output=str(tmp_path)), workspace, {}))


def test_columns_named_as_ours_and_more_keys_than_columns_come_out_whole(tmp_path: Path, monkeypatch):
    rows = [
        {"text": PROSE.format(n=n), "gristmill": n, "kind": "date", "n": None, **{f"k{n}{i}": i for i in range(4)}}
        for n in range(4)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    workspace = Workspace(str(tmp_path / "w"))
    extracted(workspace, tmp_path / "a.jsonl")
    monkeypatch.setattr(write_stage, "COLUMNS", 6)
    kept(workspace, own_rules("extra.gristmill", 2))
    for format in ("jsonl", "parquet"):
        for dropped in (False, True):
            written(workspace, tmp_path / format / str(dropped), format, dropped=dropped)
    for dropped, came in ((False, rows[2:]), (True, rows[:2])):
        found = [json.loads(line) for line in lines(tmp_path / "jsonl" / str(dropped))]
        assert all((row.pop("gristmill_")["rule"] == "own") for row in found if dropped)
        assert sorted(found, key=lambda row: row["gristmill"]) == came
        (path,) = (tmp_path / "parquet" / str(dropped)).glob("*.parquet")
        table = pq.read_table(path)
        assert table.num_columns == 7 + dropped
        for row in table.to_pylist():
            assert not dropped or row.pop("gristmill_")["stage"] == "filter"
            whole = json.loads(row.pop("other_keys")) | row
            assert {k: v for k, v in whole.items() if v is not None or k == "n"} == rows[row["gristmill"]]
    written(workspace, tmp_path / "some", columns=("kind", "date", "domain"))
    assert [list(json.loads(line)) for line in lines(tmp_path / "some")] == [["kind", "date", "domain"]] * 2


def test_rows_that_lack_a_named_column_are_failures_and_domains_may_be_columns(tmp_path: Path):
    rows = [
        {"txt": PROSE, "text": "other", "kind": "law"},
        {"text": "other", "kind": "law"},
        {"txt": PROSE, "kind": None},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    workspace = Workspace(str(tmp_path / "w"))
    counts = extracted(workspace, tmp_path / "a.jsonl", text_column="txt", domain_column="kind")["tables"]["documents"]
    assert (counts["kept"], counts["failed"]) == (1, 2)
    with open_catalog(workspace) as catalog:
        assert catalog.execute("select text, domain from documents").fetchall() == [(PROSE, "law")]
        errors = [error for (error,) in catalog.execute("select error from failures order by all").fetchall()]
    assert errors == ["column kind names no domain", "the row has no column txt"]


def test_the_users_id_of_a_row_is_kept_whatever_else_is_and_a_row_without_one_is_a_failure(tmp_path: Path):
    rows = [
        {"key": "a-1", "text": PROSE, "k": 1},
        {"key": 7, "text": PROSE + " Again.", "k": 2},
        {"key": None, "text": PROSE},
        {"key": "", "text": PROSE},
        {"text": PROSE},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    workspace = Workspace(str(tmp_path / "w"))
    asked = {"id_column": "key", "keep_columns": ("text",)}
    counts = extracted(workspace, tmp_path / "a.jsonl", **asked)["tables"]["documents"]
    assert (counts["kept"], counts["failed"]) == (2, 3)
    written(workspace, tmp_path / "out")
    found = [json.loads(line) for line in lines(tmp_path / "out")]
    assert sorted(found, key=lambda row: str(row["key"])) == [
        {"key": 7, "text": PROSE + " Again."},
        {"key": "a-1", "text": PROSE},
    ]
    with open_catalog(workspace) as catalog:
        errors = [error for (error,) in catalog.execute("select error from failures order by all").fetchall()]
    assert errors == ["no id: column key is empty", "no id: column key is empty", "the row has no column key"]
    with pytest.raises(ValidationError, match="column key is the id of a row, which is kept"):
        ExtractSettings(id_column="key", drop_columns=("key",))


def test_a_page_in_a_row_is_given_back_with_its_text_beside_it(tmp_path: Path):
    html = "<html><body><article>" + "".join(f"<p>{PROSE}</p>" for _ in range(3)) + "</article></body></html>"
    pq.write_table(pa.table({"html": [html], "k": [1]}), tmp_path / "a.parquet")
    workspace = Workspace(str(tmp_path / "w"))
    extracted(workspace, tmp_path / "a.parquet")
    written(workspace, tmp_path / "out", "parquet")
    (row,) = pq.read_table(next((tmp_path / "out").glob("*.parquet"))).to_pylist()
    assert (row["html"], row["k"]) == (html, 1)
    assert "The mill stands" in row["text"]
    assert "<p>" not in row["text"]


def test_a_folder_for_hugging_face_opens_with_its_own_library(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of(1)))
    pq.write_table(pa.table({"text": [PROSE], "k": [1]}), tmp_path / "b.parquet")
    workspace = Workspace(str(tmp_path / "w"))
    extracted(workspace, tmp_path / "a.jsonl", tmp_path / "b.parquet")
    written(workspace, tmp_path / "out", "hf")
    found = {name: datasets.load_dataset(str(tmp_path / "out"), name, cache_dir=str(tmp_path / "cache"), split="train")
             for name in datasets.get_dataset_config_names(str(tmp_path / "out"))}  # fmt: skip
    rows = {tuple(sorted(one.column_names)): one.to_list() for one in found.values()}
    assert rows["k", "text"] == [{"text": PROSE, "k": 1}]
    assert sorted(row["id"] for row in rows["id", "meta", "quality", "tags", "text"]) == [f"1-{n}" for n in range(8)]
