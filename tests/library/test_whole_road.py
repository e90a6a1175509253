"""The library from files to a trained model, as the design shows it: mix and train included."""

import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import gristmill as gm

WORDS = {
    "mills": "mill miller grain wheel river sack flour stone corn wind".split(),
    "ships": "ship sailor mast harbour anchor sail deck keel tide wind".split(),
}
PROXY = {"n_layers": 1, "d_model": 16, "d_ff": 32, "seq_len": 32, "sequences": 2, "steps": 6, "evaluations": 1}


def texts(domain: str, count: int) -> list[str]:
    words = WORDS[domain]
    drawn = random.Random(domain)
    return [
        " ".join(
            f"The {drawn.choice(words)} of {n} has the {drawn.choice(words)} of {drawn.choice(words)}."
            for _ in range(15)
        )
        for n in range(count)
    ]


@pytest.mark.slow
def test_from_files_to_a_recipe_an_export_and_a_model(tmp_path: Path):
    for domain in WORDS:
        rows = [{"text": text, "weight": n} for n, text in enumerate(texts(domain, 60))]
        (tmp_path / f"{domain}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ws = gm.Workspace(tmp_path / "w", quiet=True)
    for domain in WORDS:
        ws.extract(tmp_path / f"{domain}.jsonl", domain=domain, sandbox=False, language_model=None)
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "name: few\nrules:\n"
        "  - {rule: min_words, value: gopher@paper.word_count, threshold: 20, keep: value >= threshold}\n"
    )
    ws.filter(rules=str(rules)).dedup(threshold=0.95).tokenize(vocab_size=400, heldout=0.2)
    recipe = ws.mix(
        target="mills", total_tokens=4096, seq_len=32, mixtures=8, replicates=1, rounds=1, seeds=1, wave=16,
        heldout_tokens=256, proxy=PROXY, max_epochs=4.0,
    )  # fmt: skip
    assert isinstance(recipe, gm.Recipe)
    assert sum(recipe.shares.values()) == pytest.approx(1, abs=1e-6)
    assert recipe.shares.keys() == WORDS.keys()
    told = recipe.export("hf", tmp_path / "hf")
    assert (tmp_path / "hf" / "mixture.py").exists()
    assert told
    ws.quiet = False  # what is printed takes nothing from what is returned
    trained = ws.train(recipe, model="1x16x2", batch_tokens=128, evaluation_tokens=512)
    assert trained.details["tokens"] == 4096
    assert trained.details["bits_per_byte"].keys() <= WORDS.keys()
    assert ws.train(recipe, model="1x16x2", batch_tokens=128, evaluation_tokens=512).details == trained.details
    ws.documents().to_parquet(tmp_path / "kept")
    kept = [row for file in (tmp_path / "kept").glob("*.parquet") for row in pq.read_table(file).to_pylist()]
    counted = ws.sql("select count(*) from curated").fetchall()[0][0]
    assert len(kept) == counted > 20
    assert all(row["text"] in texts("mills", 60) + texts("ships", 60) for row in kept)
    assert ws.audit()["findings"] == []
