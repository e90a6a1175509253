"""A removal undoes just what came from an input: afterwards every table is as if it had never been there."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gristmill.corpus.planning.growth import extend
from gristmill.corpus.planning.ledger import Ledger, read_ledger
from gristmill.corpus.readers.inputs import Input, resolve
from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.corpus.store.workspace import Workspace
from gristmill.dedup.settings import DedupSettings
from gristmill.pipelines.audit import audit
from gristmill.pipelines.commands.optout import lines
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages import removal
from gristmill.pipelines.stages.dedup.stage import deduplicate
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract
from gristmill.pipelines.stages.filter.stage import FilterSettings, run_filter
from gristmill.pipelines.stages.removal import chosen, remove
from gristmill.pipelines.stages.tokenize.stage import TokenizeSettings, tokenize

from .test_rebuild import RULES, passage

OPTIONS = RunnerOptions()
MADE = ("documents", "inputs", "captures", "failures", "signals", "decisions", "duplicates")


def write(path: Path, numbers: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = [
        {"text": passage(n), "url": f"https://h{n % 3}.example/{path.stem}/{n}"} for n in numbers
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"no": "text"}]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three sources of which some documents are duplicates of each other."""
    write(tmp_path / "in" / "news" / "a.jsonl", [0, 1, 2, 3])
    write(tmp_path / "in" / "news" / "deep" / "b.jsonl", [4, 5, 6])
    write(tmp_path / "in" / "books.jsonl", [2, 7, 8, 9])
    write(tmp_path / "in" / "law.jsonl", [1, 2, 10, 11])
    (tmp_path / "rules.yaml").write_text(RULES.format(least=9))
    return tmp_path


def extracted(folder: Path, name: str, *paths: str) -> Workspace:
    space = Workspace(str(folder / name))
    given = tuple(Input(paths=(str(folder / "in" / path),)) for path in paths)
    run_extract(space, ExtractSettings(inputs=given), OPTIONS, quiet=True)
    return space


def filtered(folder: Path, space: Workspace) -> Workspace:
    run_filter(space, FilterSettings(rules=str(folder / "rules.yaml")), OPTIONS, quiet=True)
    return space


def followed(folder: Path, space: Workspace, tokenizer: str | None = None) -> Workspace:
    filtered(folder, space)
    deduplicate(space, DedupSettings(threshold=0.8, num_perm=64, size=3), OPTIONS, quiet=True)
    named = TokenizeSettings(tokenizer=tokenizer) if tokenizer else TokenizeSettings(vocab_size=300)
    tokenize(space, named, OPTIONS, quiet=True)
    return space


def rows(space: Workspace) -> dict[str, list[str]]:
    """Every row of every table that documents make, sorted; band entries and the like are of shards."""
    found = {}
    for table in space.tables():
        if table.name.split("/")[0] in (
            "documents",
            "inputs",
            "captures",
            "failures",
            "signals",
            "decisions",
            "duplicates",
        ):
            found[table.name] = sorted(str(row) for batch in table.read() for row in batch.to_pylist())
        if table.name.startswith("tokens/"):
            told = []
            for shard in table.finished("test").shards:
                with pa.memory_map(table.file_url(shard)) as file, pa.ipc.open_file(file) as reader:
                    told += [str(row) for row in reader.read_all().to_pylist()]
            found[table.name] = sorted(told)
    return found


@pytest.mark.slow
def test_every_table_is_as_if_the_inputs_had_never_been_there(folder: Path):
    space = followed(folder, extracted(folder, "w", "news", "books.jsonl", "law.jsonl"))
    tokenizer = str(folder / "tokenizer.json")
    shutil.copy(space.path("tokenizer", "tokenizer.json"), tokenizer)
    shutil.move(folder / "in", folder / "away")  # nothing of it is read again
    summary = remove(space, ["law", "deep/b.jsonl"], OPTIONS, quiet=True)
    shutil.move(folder / "away", folder / "in")
    assert (summary["rebuilt"], summary["left"]) == (["filter", "dedup", "tokenize"], {})
    assert audit(space)["findings"] == []
    scratch = Workspace(str(folder / "scratch"))
    news, books = (str(folder / "in" / name) for name in ("news/a.jsonl", "books.jsonl"))
    given = (Input(paths=(news,), source="news"), Input(paths=(books,)))
    run_extract(scratch, ExtractSettings(inputs=given), OPTIONS, quiet=True)
    assert rows(space) == rows(followed(folder, scratch, tokenizer))


@pytest.mark.parametrize(
    ("named", "gone"),
    [
        ("books", ["books.jsonl"]),
        ("news", ["a.jsonl", "deep/b.jsonl"]),
        ("{in}", ["a.jsonl", "books.jsonl", "deep/b.jsonl", "law.jsonl"]),
        ("{in}/news/", ["a.jsonl", "deep/b.jsonl"]),
        ("{in}/news/deep", ["deep/b.jsonl"]),
        ("{in}/law.jsonl", ["law.jsonl"]),
        ("{in}/*.jsonl", ["books.jsonl", "law.jsonl"]),
        ("{in}/*/*.jsonl", ["a.jsonl"]),
        ("{in}/**/?.jsonl", ["a.jsonl", "deep/b.jsonl"]),
        ("deep/b.jsonl", ["deep/b.jsonl"]),
        ("deep", ["deep/b.jsonl"]),
        ("{in}/some.paths", ["a.jsonl", "law.jsonl"]),
    ],
)
@pytest.mark.parametrize("there", [True, False])
def test_an_input_is_named_as_it_was_extracted_or_by_its_source_or_path(
    folder: Path, named: str, gone: list[str], there: bool
):
    given = tuple(Input(paths=(str(folder / "in" / path),)) for path in ("news", "books.jsonl", "law.jsonl"))
    files = extend(Workspace(str(folder / "w")), Ledger(), resolve(given), 1 << 20).ledger.files
    (folder / "in" / "some.paths").write_text("news/a.jsonl\nlaw.jsonl\n")
    if not there and "paths" not in named:
        shutil.rmtree(folder / "in")
    assert sorted(file.path for file in chosen(named.replace("{in}", str(folder / "in")), files)) == gone


def test_a_dry_run_tells_what_would_go_and_changes_nothing(folder: Path):
    space = filtered(folder, extracted(folder, "w", "news", "books.jsonl"))
    before = {path: path.read_bytes() for path in Path(space.url).rglob("*") if path.is_file()}
    summary = remove(space, ["books"], OPTIONS, quiet=True, dry_run=True)
    assert (summary["documents"], summary["failures"], summary["shards"]) == (4, 1, {"dropped": 0, "cut": 1})
    assert summary["would_run"] == ["filter"]
    told = "\n".join(lines(summary))
    assert "would remove 1 file (books.jsonl): 4 documents, 1 failures" in told
    assert {path: path.read_bytes() for path in Path(space.url).rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("boks", "no input 'boks'; did you mean books?"),
        ("deep/c.jsonl", "did you mean"),
        ("nothing-like-it", "there are: books, law, news"),
    ],
)
def test_an_unknown_input_is_refused_with_the_nearest_right_names(folder: Path, named: str, message: str):
    space = extracted(folder, "w", "news", "books.jsonl", "law.jsonl")
    with pytest.raises(RequestError, match=message.replace("?", r"\?")):
        remove(space, ["books", named], OPTIONS, quiet=True)
    assert len(read_ledger(space).files) == 4


def test_everything_can_be_removed(folder: Path):
    space = extracted(folder, "w", "news", "books.jsonl")
    remove(space, ["news", "books"], OPTIONS, quiet=True)
    assert rows(space)["documents"] == rows(space)["inputs"] == []
    assert audit(space)["findings"] == []
    assert len(rows(extracted(folder, "w", "books.jsonl"))["documents"]) == 4


def test_what_repeated_a_removed_file_takes_its_place(folder: Path):
    shutil.copy(folder / "in" / "books.jsonl", folder / "in" / "news" / "z.jsonl")
    given = (Input(paths=(str(folder / "in"),), source="all"),)
    space = Workspace(str(folder / "w"))
    run_extract(space, ExtractSettings(inputs=given), OPTIONS, quiet=True)
    remove(space, [str(folder / "in" / "books.jsonl")], OPTIONS, quiet=True)
    (folder / "in" / "books.jsonl").unlink()
    scratch = Workspace(str(folder / "scratch"))
    run_extract(scratch, ExtractSettings(inputs=given), OPTIONS, quiet=True)
    assert rows(space) == rows(scratch)
    assert run_extract(space, ExtractSettings(inputs=given), OPTIONS, quiet=True)["skipped"]


@pytest.mark.parametrize("killed_at", ["_commit", "write_ledger", "rebuild"])
def test_a_removal_that_was_killed_is_completed_by_the_same_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str
):
    space = filtered(folder, extracted(folder, "w", "news", "books.jsonl"))
    with monkeypatch.context() as killed:
        killed.setattr(removal, killed_at, lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            remove(space, ["books"], OPTIONS, quiet=True)
    remove(space, ["books"], OPTIONS, quiet=True)
    assert audit(space)["findings"] == []
    assert len(rows(space)["documents"]) == len(rows(space)["decisions/filter"]) == 7
    with pytest.raises(RequestError, match="no input 'books'"):
        remove(space, ["books"], OPTIONS, quiet=True)


def test_a_replacement_that_was_killed_leaves_the_earlier_version_in_force(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    space = extracted(folder, "w", "news", "books.jsonl")
    before = rows(space)
    write(folder / "in" / "books.jsonl", [7, 8])
    with monkeypatch.context() as killed:
        killed.setattr(Workspace, "put_commit", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            extracted(folder, "w", "books.jsonl")
    assert rows(space) == before
    with pytest.raises(WorkspaceError, match="begun and not finished"):
        remove(space, ["news"], OPTIONS, quiet=True)
    run_extract(space, ExtractSettings(), OPTIONS, quiet=True)
    assert rows(space) == rows(extracted(folder, "scratch", "news", "books.jsonl"))
