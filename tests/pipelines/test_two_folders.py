"""The same calls in two folders, with the inputs in two folders, on one worker and on two, give the same files."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from .road import done
from .test_rebuild import RULES, passage


def write_inputs(folder: Path) -> None:
    (folder / "deep").mkdir(parents=True)
    for name, numbers in (("a", range(6)), ("deep/b", range(5, 12))):
        rows = [{"text": passage(n), "url": f"https://h{n}.example/"} for n in numbers]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "page.html").write_text(f"<html><body><article><p>{passage(20)}</p></article></body></html>")
    (folder / "wanted.jsonl").write_text("".join(json.dumps({"text": passage(n)}) + "\n" for n in (3, 7)))
    (folder / "rules.yaml").write_text(RULES.format(least=9))


def calls(inputs: Path, workspace: Path, workers: int) -> list[str]:
    """The road; what each command said."""
    where = ("--workspace", workspace, "--workers", str(workers))
    return [
        done("extract", inputs / "a.jsonl", inputs / "deep", *where, "--source", "web", "--language-model", "none"),
        done("extract", inputs / "*.html", *where, "--language-model", "none"),
        done("filter", "--rules", inputs / "rules.yaml", *where),
        done("dedup", "--threshold", "0.8", *where),
        done("score", "dsir", "--target", inputs / "wanted.jsonl", *where),
        done("tokenize", "--vocab-size", "300", *where),
    ]


def files(workspace: Path) -> dict[str, bytes]:
    """Every file but the catalog and `plans/`."""
    found = {str(path.relative_to(workspace)): path for path in workspace.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes()
        for name, path in found.items()
        if not name.startswith("plans/") and name != "catalog.duckdb"
    }


@pytest.mark.slow
def test_two_folders_give_the_same_files_and_none_of_them_tells_where_it_lay(tmp_path: Path):
    one, other = tmp_path / "one", tmp_path / "some" / "where" / "else"
    write_inputs(one / "in")
    write_inputs(other / "in")
    (one / "out").mkdir()
    calls(one / "in", one / "out" / "w", 1)
    calls(other / "in", tmp_path / "w", 2)
    first, second = files(one / "out" / "w"), files(tmp_path / "w")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert [name for name, data in first.items() if str(tmp_path).encode() in data] == []
    shutil.copytree(one, tmp_path / "copy")
    shutil.rmtree(one)
    said = calls(tmp_path / "copy" / "in", tmp_path / "copy" / "out" / "w", 1)
    assert all(line.endswith("(up to date)") for text in said for line in text.splitlines() if " in " in line)
    assert files(tmp_path / "copy" / "out" / "w") == first


SMALL_COLOR = {
    "prior": {"n_layers": 1, "d_model": 16, "d_ff": 32, "seq_len": 32, "sequences": 2, "steps": 6, "warmup": 1,
              "evaluations": 1},
    "conditional_steps": 3,
    "vocab_size": 300,
}  # fmt: skip


def by_models(folder: Path, workspace: Path, workers: int) -> list[str]:
    """The road by models over folder/in: what each command said."""
    inputs, where = folder / "in", ("--workspace", workspace, "--workers", str(workers))
    (folder / "color.yaml").write_text(yaml.safe_dump({"color": SMALL_COLOR}))
    wanted = ("--target", inputs / "wanted.jsonl")
    said = [
        done("extract", inputs / "a.jsonl", inputs / "deep", *where, "--source", "web", "--language-model", "none"),
        done("filter", "--rules", inputs / "rules.yaml", *where),
    ]
    color = ("score", "color", *wanted, "--settings", folder / "color.yaml", *where)
    if not (workspace / "commits" / "semantic.json").exists():
        said.append(done(*color))  # of all documents; semantic needs its model
    model = ("--model", workspace / "proxies" / "color" / "prior.safetensors")
    tokenizer = ("--tokenizer", workspace / "proxies" / "color" / "tokenizer.json")
    return [
        *said,
        done("semantic", *model, "--epsilon", "0.0001", "--components", "0", *where),
        done(*color),  # of those that semantic left
        done("tag", "--domain", "suffix", *where),
        done("score", "rds", *wanted, *tokenizer, "--model", f"prior={model[1]}", *where),
        done("select", "--by", "color", "--share", "0.7", *where),
        done("tokenize", "--vocab-size", "300", *where),
    ]


@pytest.mark.slow
def test_what_models_made_is_the_same_twice_in_one_folder_in_two_on_two_workers_and_on_a_copy(tmp_path: Path):
    one, other = tmp_path / "one", tmp_path / "some" / "where"
    for folder in (one, other):
        write_inputs(folder / "in")
    by_models(one, one / "w", 1)
    first = files(one / "w")
    assert len([name for name in first if name.endswith(".safetensors")]) >= 4
    shutil.rmtree(one / "w")
    by_models(one, one / "w", 1)
    by_models(other, other / "w", 2)
    for again in (files(one / "w"), files(other / "w")):
        assert again.keys() == first.keys()
        assert [name for name in first if first[name] != again[name]] == []
    shutil.copytree(one, tmp_path / "copy")
    shutil.rmtree(one)
    said = by_models(tmp_path / "copy", tmp_path / "copy" / "w", 1)
    assert all(line.endswith("(up to date)") for text in said for line in text.splitlines() if " in " in line)
    assert files(tmp_path / "copy" / "w") == first
    where = ("--workspace", tmp_path / "copy" / "w")
    done("balance", "--by", "domain", "--cap", "4", *where)
    assert "decisions/select" in done("select", "--by", "color", "--share", "0.5", *where)
