"""Claim: the three documents of a workspace hold: Croissant without an error or a warning and with the rows of the
Parquet files, a front matter that the Hub reads, a summary with every field of the template, each figure what its SQL
gives.

    python -m benchmarks.evidence_cards [--workspace DEMO]

Without a workspace, one is built from the real WARC files under GRISTMILL_DATA (extract, filter by gopher, dedup,
tokenize), and cards are made of it as it is. Of another, such as one that `gristmill demo` made, a recipe beside it
(`mixture/recipe.yaml`) weights the figures. The settings tell of the dataset what Croissant recommends, and nothing
else, so that what no table knows has to be listed as missing. Prints what was checked; fails where something does not
hold.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

DATA = Path(os.environ.get("GRISTMILL_DATA", "../shared/data")) / "warc"
CRAWLS = (
    "whirlwind.warc.gz",
    "sample-0000.warc.gz",
    "IAH-urls-wget.warc",
    "IAH-20080430204825-00000-blackbook.warc.gz",
)
TOLD = """
dataset: {name: crawls, description: Pages of four crawls., license: other, url: "https://mill.example/crawls",
          published: 2026-01-10, version: 1.0.0, cite_as: "@misc{mill, title={Mill}}"}
"""
COLUMNS = ("text", "url", "source", "domain", "language", "license")


def built(place: str) -> bool:
    """A workspace of the WARC files; False where they are not there."""
    from gristmill.corpus.settings import Input
    from gristmill.corpus.store.workspace import Workspace
    from gristmill.dedup.settings import DedupSettings
    from gristmill.pipelines.engine.runner import RunnerOptions
    from gristmill.pipelines.stages.dedup.stage import deduplicate
    from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract
    from gristmill.pipelines.stages.filter.stage import FilterSettings, run_filter
    from gristmill.pipelines.stages.tokenize.stage import TokenizeSettings, tokenize

    files = [DATA / name for name in CRAWLS if (DATA / name).exists()]
    if not files:
        return False
    space, one = Workspace(place), RunnerOptions()
    inputs = tuple(Input(paths=(str(file),), source=file.name.split(".")[0], section="crawl") for file in files)
    run_extract(space, ExtractSettings(inputs=inputs), one, quiet=True)
    run_filter(space, FilterSettings(rules="gopher"), one, quiet=True)
    deduplicate(space, DedupSettings(), one, quiet=True)
    tokenize(space, TokenizeSettings(vocab_size=2048), one, quiet=True)
    return True


def checked(place: str, settings_file: str) -> dict[str, Any]:
    """Make the cards and hold them against what reads them."""
    import jsonschema
    import mlcroissant
    from huggingface_hub import DatasetCard

    from gristmill.corpus.store.workspace import Workspace
    from gristmill.pipelines.evidence.card import check_card, load_card_settings, make_card, stream_of
    from gristmill.pipelines.evidence.template import FIELDS, schema

    Path(settings_file).write_text(TOLD)
    space, settings = Workspace(place), load_card_settings(settings_file)
    recipe = space.path("mixture", "recipe.yaml")
    stream = stream_of(space, recipe if os.path.exists(recipe) else None, None)
    made = make_card(space, settings, stream, None)
    dataset = mlcroissant.Dataset(f"{place}/croissant.json")
    issues = dataset.metadata.ctx.issues
    table = space.table("documents")
    rows = [row for shard in table.finished("cards").shards for row in pq.read_table(table.file_url(shard)).to_pylist()]
    told = {_plain(record["documents/id"]): record for record in dataset.records("documents")}
    other = [
        row["id"]
        for row in rows
        if row["id"] not in told or any(_plain(told[row["id"]][f"documents/{name}"]) != row[name] for name in COLUMNS)
    ]
    summary = json.loads(Path(place, "training-content.json").read_text())
    jsonschema.validate(summary, schema())
    front = DatasetCard.load(f"{place}/README.md").data.to_dict()
    recomputed = check_card(space, settings, stream, None)
    return {
        "weighted by": "the recipe" if stream is not None else "every document once",
        "croissant errors": sorted(issues.errors),
        "croissant warnings": sorted(issues.warnings),
        "rows": len(rows),
        "rows that mlcroissant reads": len(told),
        "rows that differ": len(other) + abs(len(told) - len(rows)),
        "front matter": sorted(front),
        "fields of the template": len(FIELDS),
        "fields answered or listed as missing": len(summary["answers"]),
        "listed as missing": len(made["missing"]),
        "figures": recomputed["figures"],
        "figures that their SQL does not give": recomputed["others"],
    }


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", default=None)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = asked.workspace or f"{scratch}/w"
        if asked.workspace is None and not built(place):
            print(f"evidence_cards: {DATA} has no WARC files")
            return 77
        found = checked(place, f"{scratch}/card.yaml")
    for name, value in found.items():
        print(f"{name}: {value}")
    sound = not (
        found["croissant errors"]
        or found["croissant warnings"]
        or found["rows that differ"]
        or found["figures that their SQL does not give"]
        or found["fields of the template"] > found["fields answered or listed as missing"]
        or not found["rows"]
    )
    print(f"evidence_cards: {'everything holds' if sound else 'something does NOT hold'}")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
