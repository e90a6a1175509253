"""The recipes under examples/ as they were published: each is checked whole, and runs at small size."""

import gzip
import json
import uuid
from pathlib import Path

import pytest

from gristmill.corpus.store.catalog import open_catalog
from gristmill.corpus.store.workspace import Workspace
from gristmill.filters.classifiers import train as train_classifier
from gristmill.pipelines.audit import audit
from gristmill.pipelines.engine.run import check, load_settings, run, run_model

from .small_crawl import edited, page, prose, response

EXAMPLES = Path(__file__).parents[2] / "examples"
RECIPES = sorted((EXAMPLES / "recipes").glob("*.yaml"))
MODELS = [EXAMPLES / f"{name}.yaml" for name in ("1.5-pints", "dmas-llama-lite", "sobert")]
SMALL = {  # what makes a published size a small one; nothing of what was published in kind
    "tokenize": {"vocab_size": 400, "heldout": 0.2},
    "mix": {"total_tokens": 8192, "seq_len": 64, "mixtures": 8, "replicates": 1, "rounds": 1, "seeds": 1, "wave": 16,
            "heldout_tokens": 256,
            "proxy": {"n_layers": 1, "d_model": 16, "d_ff": 32, "seq_len": 64, "sequences": 2, "steps": 6,
                      "evaluations": 1}},
    "train": {"batch_tokens": 256, "evaluation_tokens": 512},
}  # fmt: skip
SIZES = {"1b": "1x32x2", "36x2048x32": "2x32x8", "12x768x12": "1x48x4"}


@pytest.fixture(scope="module")
def crawl(tmp_path_factory) -> Path:
    """What the recipes name: a crawl as WARC and WET, sources as JSONL, and classifiers at their paths."""
    made = tmp_path_factory.mktemp("recipes")
    texts = [prose(domain, number) for domain in ("ships", "clocks") for number in range(14)]
    texts += [texts[0], edited(texts[1]), "Short.", "\n".join(["the same line of words again."] * 40)]
    (made / "crawl").mkdir()
    (made / "crawl" / "a.warc.gz").write_bytes(
        b"".join(response(f"https://p.example/{n}", page(text)) for n, text in enumerate(texts))
    )
    (made / "crawl" / "a.warc.wet.gz").write_bytes(b"".join(conversion(n, text) for n, text in enumerate(texts)))
    sources = {
        "sources/common_crawl": texts[:16], "sources/books": texts[14:], "expository/textbooks": texts[:14],
        "expository/articles": texts[14:], "fineweb-edu": texts[:14], "held": texts[14:],
        "stackoverflow/answers": texts[:14], "stackoverflow/comments": texts[14:],
    }  # fmt: skip
    for name, own in sources.items():
        (made / name).mkdir(parents=True, exist_ok=True)
        (made / name / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in own))
    (made / "models").mkdir()
    good, bad = ([prose(domain, n) for n in range(100, 140)] for domain in ("clocks", "gardens"))
    for name in ("oh_eli5", "educational", "instructive"):
        train_classifier(good, bad, str(made / "models" / f"{name}.bin"), epochs=60, dimensions=8)
    return made


def conversion(number: int, text: str) -> bytes:
    """A page's text as the record of a WET file, a paragraph a line."""
    body = text.replace("\n\n", "\n").encode()
    head = (
        f"WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: https://p.example/{number}\r\n"
        f"WARC-Date: 2019-04-20T00:00:00Z\r\nWARC-Record-ID: <urn:uuid:{uuid.UUID(int=number)}>\r\n"
        f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return gzip.compress(head.encode() + body + b"\r\n\r\n", mtime=0)


def settings_of(path: Path, small: bool):
    """The file as it stands; `small`: other sizes, and another input where the test has none of the kind."""
    settings = load_settings(path)
    told = settings.model_dump(exclude_none=True, exclude_defaults=True) | {"workers": 1}
    if not small:
        return settings
    for name, changes in SMALL.items():
        if name in told:
            told[name] |= changes
    if "train" in told:
        told["train"]["model"] = SIZES[told["train"]["model"]]
        if told["train"].get("shape", {}).get("d_ff"):
            told["train"]["shape"] |= {"d_ff": 80, "n_kv_heads": 2}
        elif told["train"]["model"] == "1x32x2":
            told["train"]["shape"] = told["train"].get("shape", {}) | {"n_kv_heads": 1}
    if told.get("dedup", {}).get("num_perm"):
        told["dedup"] |= {"num_perm": 256, "bands": 16, "rows": 16}
    return run_model().model_validate(told)


@pytest.mark.parametrize("path", [*RECIPES, *MODELS], ids=lambda path: path.stem)
def test_a_recipe_says_where_it_is_from_and_is_checked_to_its_last_name(path, crawl, monkeypatch):
    monkeypatch.chdir(crawl)
    assert "arXiv" in path.read_text().split("workspace:")[0]
    settings = load_settings(path)
    check(settings.sections(), Workspace(settings.workspace))


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_of_a_corpus_keeps_good_prose_and_drops_what_its_rules_are_for(path, crawl, monkeypatch):
    monkeypatch.chdir(crawl)
    settings = settings_of(path, small=True)
    list(run(settings, quiet=True))
    workspace = Workspace(settings.workspace)
    with open_catalog(workspace) as catalog:
        kept = catalog.execute("select count(*) from curated").fetchall()[0][0]
        dropped = dict(catalog.execute("select stage, count(*) from decisions where not kept group by all").fetchall())
    assert 5 <= kept < 32
    assert dropped["filter"] >= 1
    assert dropped["dedup"] >= 1
    assert audit(workspace)["findings"] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_recipe_of_a_small_model_trains_to_its_end(path, crawl, monkeypatch):
    monkeypatch.chdir(crawl)
    settings = settings_of(path, small=True)
    list(run(settings, quiet=True))
    name = settings.sections()["train"].name
    card = json.loads(Path(f"{settings.workspace}/runs/{name}/run_card.json").read_text())
    assert card["tokens"] == 8192
    assert card["model"]["qk_norm"] is (name == "sobert-base")
