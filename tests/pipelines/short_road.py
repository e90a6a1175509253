"""A short road in process: the stages that decide without a model, and tokens, in seconds."""

import json
from pathlib import Path

from gristmill.corpus.readers.inputs import Input
from gristmill.corpus.store.workspace import Workspace
from gristmill.dedup.settings import DedupSettings, RepeatSettings
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.engine.stage import run_stage
from gristmill.pipelines.stages.decontaminate.stage import DecontaminateSettings, decontaminate
from gristmill.pipelines.stages.dedup.stage import deduplicate
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract
from gristmill.pipelines.stages.filter.stage import FilterSettings, run_filter
from gristmill.pipelines.stages.tag.stage import TagSettings, run_tag
from gristmill.pipelines.stages.tokenize.stage import TokenizeSettings, tokenize

from .test_rebuild import RULES, passage

OPTIONS = RunnerOptions()
DEDUP = DedupSettings(threshold=0.9, num_perm=64, size=3, repeats=RepeatSettings(lines=3))
TOKENIZE = TokenizeSettings(vocab_size=300, heldout=0.25)


def walk(folder: Path) -> Path:
    """folder/w: a workspace with filtered, masked, deduplicated, regrouped and tokenized documents."""
    rows = [{"text": passage(n), "url": f"https://h{n}.example.{('org', 'com')[n % 2]}/{n}"} for n in range(24)]
    rows += [{"text": passage(1), "url": "https://h2.example.org/copy"}]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "exam.jsonl").write_text(json.dumps({"text": " ".join(passage(5).split()[:30])}) + "\n")
    (folder / "few.yaml").write_text(RULES.format(least=9))
    space = Workspace(str(folder / "w"))
    given = Input(paths=(str(folder / "a.jsonl"),), source="web", domain="web")
    run_extract(space, ExtractSettings(inputs=(given,), shard_bytes=6000), OPTIONS, quiet=True)
    run_filter(space, FilterSettings(rules=str(folder / "few.yaml")), OPTIONS, quiet=True)
    masks = DecontaminateSettings(sets={"exam": str(folder / "exam.jsonl")}, action="mask")
    run_stage(decontaminate, space, masks, OPTIONS, quiet=True)
    deduplicate(space, DEDUP, OPTIONS, quiet=True)
    run_tag(space, TagSettings(domain=("suffix",)), OPTIONS, quiet=True)
    tokenize(space, TOKENIZE, OPTIONS, quiet=True)
    return folder
