"""A small workspace with everything that evidence speaks of: declared sources, tokens, a recipe and a run."""

from pathlib import Path

from gristmill.corpus.settings import Input
from gristmill.corpus.store.workspace import Workspace
from gristmill.dedup.settings import DedupSettings
from gristmill.mixing.recipe import Domain, RecipePhase, make_recipe, save_recipe
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.dedup.stage import deduplicate
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract
from gristmill.pipelines.stages.filter.stage import FilterSettings, run_filter
from gristmill.pipelines.stages.tokenize.stage import TokenizeSettings, tokenize
from gristmill.pipelines.stages.train.stage import TrainSettings, train
from gristmill.training.data.shards import open_tokens

from .small_crawl import write_small_crawl

OPTIONS = RunnerOptions()
SECTIONS = {"gardens": "crawl", "ships": "public-dataset", "clocks": "licensed"}
SHARES = {"gardens": 0.5, "ships": 0.3, "clocks": 0.2, "kitchens": 0.0}
RULE = "{rule: words, value: gopher@paper.word_count, threshold: 9, keep: value >= threshold}"
CARD = """
provider: {name: Mill Ltd, contact: data@mill.example, representative: none}
model: {names: [mill-1.0], dependencies: none, placed_on_market: 2026-01-15}
dataset: {name: mill-corpus, description: Pages., license: cc-by-4.0, url: "https://mill.example/corpus",
          published: 2026-01-10, version: 1.0.0, cite_as: "@misc{mill, title={Mill}}"}
summary: {version: "1.0", updated: 2026-01-16, content_types: Non-fiction text}
sources:
  gardens: {description: Pages on gardening}
  ships: {title: Ships of the world, collected_until: 2024-03-01}
  clocks: {collected_until: 2024-02-01}
  kitchens: {section: other, collected_until: 2024-02-01}
crawler: {names: [MillBot], purposes: training, behaviour: honours robots.txt}
processing: {code_of_practice: true, reservations: robots.txt is honoured., illegal_content: Block lists.}
"""


def small_evidence(folder: Path, run: bool = True, documents: int = 24) -> Workspace:
    """folder/w: four sources, three of which declare their kind, deduplicated and tokenized; runs/base read it."""
    given = write_small_crawl(folder / "in", documents)
    inputs = [Input(**one, section=SECTIONS.get(one["source"])) for one in given]
    space = Workspace(str(folder / "w"))
    (folder / "rules.yaml").write_text(f"name: few\nrules:\n  - {RULE}\n")
    run_extract(space, ExtractSettings(inputs=tuple(inputs), shard_bytes=20_000), OPTIONS, quiet=True)
    run_filter(space, FilterSettings(rules=str(folder / "rules.yaml")), OPTIONS, quiet=True)
    deduplicate(space, DedupSettings(threshold=0.8, num_perm=64), OPTIONS, quiet=True)
    tokenize(space, TokenizeSettings(vocab_size=300, heldout=0.15), OPTIONS, quiet=True)
    domains = {}
    for name in SHARES:
        own = open_tokens(space, name)
        domains[name] = Domain(
            tokens_available=own.tokens,
            mean_tokens_per_document=own.tokens / own.documents,
            bytes_per_token=own.bytes / own.tokens,
        )
    phase = RecipePhase(until=1.0, seq_len=64, shares=SHARES)
    save_recipe(
        make_recipe(total_tokens=5_000, domains=domains, phases=[phase], name="base"), str(folder / "recipe.yaml")
    )
    (folder / "card.yaml").write_text(CARD)
    if run:
        settings = TrainSettings(recipe=str(folder / "recipe.yaml"), name="base", model="1x16x2", batch_tokens=256)
        train(space, settings, quiet=True)
    return space
