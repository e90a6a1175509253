"""Signals, rules and PII inside `datasets.map` of Hugging Face: no workspace, rows in, rows out.

python examples/library/datasets_map.py
"""

import datasets

import gristmill as gm


def judge(batch: dict) -> dict:
    """Columns to add to a batch: whether the Gopher rules keep a row, the rule that it fails, its language, its PII."""
    fate = gm.decide({"text": batch["text"]}, "gopher")
    return {
        "kept": fate["kept"].to_pylist(),
        "rule": fate["rule"].to_pylist(),
        "language": [(gm.language(text) or [("und", 0.0)])[0][0] for text in batch["text"]],
        "pii": [len(gm.pii(text)) for text in batch["text"]],
    }


def curate(rows: datasets.Dataset) -> datasets.Dataset:
    """The rows that the rules keep."""
    return rows.map(judge, batched=True).filter(lambda row: row["kept"])


if __name__ == "__main__":
    prose = "The mill stands by the river, and that is the way it has been with all of the people of the valley. "
    sample = datasets.Dataset.from_dict(
        {"text": [" ".join(f"{n} {prose}" for n in range(9)), "too short"], "id": [1, 2]}
    )
    print(sample.map(judge, batched=True).to_list())
