"""The tables of a workspace with every column, for the reference. Columns and types are those of the schemas that the
stages write; what a column is stands as a comment beside it in the code, or below where its name says the same
everywhere. Refuses a column of which nothing is said.
"""

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

COMMENT = re.compile(r'\(\s*f?"([\w{}]+)",.*?\)\s*,?\s*#\s*(.+)$')
SAID = {  # what the name of a column says, in every table that has it
    "id": "of the document: 32 hex digits",
    "text": "its text",
    "url": "its address",
    "host": "the host in its address",
    "date": "when it was published or captured",
    "title": "its title",
    "license": "the licence that it states",
    "origin": "its file, and its place in that",
    "source": "name of the input",
    "domain": "mixture unit",
    "format": "form of the input",
    "stage": "the stage that decided or failed",
    "kept": "whether it stays",
    "threshold": "what the value was compared with",
    "duplicate_of": "id of the document that stays in its place",
    "cluster": "what belongs together",
    "cluster_size": "documents of the cluster",
    "survivor": "whether it is the one of its cluster that stays",
    "scope": "global, source, domain or crawl",
    "revisit": "whether the record stands for an earlier one",
    "captured": "when the crawler fetched it",
    "parent": "id of the document that it was made from",
    "style": "the style of the rewriting",
    "model": "the model, or its bytes",
    "start": "where it begins",
    "end": "where it ends",
    "task": "name of the evaluation set",
    "taxonomy": "name of the taxonomy",
    "label": "the label",
    "labels": "its labels, in order",
    "documents": "how many documents",
    "words": "how many words, or the words that name it",
    "program": "the edits, as lines of a program",
    "errors": "what was wrong with the program",
    "chunks": "parts: where each ends, its tokens and losses",
    "rewritten": "whether there is a new text",
    "score": "what the method says; larger is better",
    "n_tokens": "tokens",
    "n_bytes": "bytes of UTF-8",
    "tokens": "the tokens, or how many",
    "metadata_tokens": "tokens of the prefix that tells about the document",
    "mixture": "name of the mixture",
    "share": "of the run's tokens",
    "tokens_available": "tokens of the domain",
    "epochs": "passes over the domain",
    "run": "number of the proxy",
    "step": "step of the training",
    "seed": "of its weights and data",
    "alive": "whether it went on, not diverged",
    "weights": "share of each domain",
    "target_spread": "of that, over seeds",
    "predicted_low": "lower end of its interval",
    "predicted_high": "upper end of its interval",
    "registered_domain": "of its address",
    "suffix": "public suffix of its address",
    "path_words": "words in the path of its address",
    "assigned_by": "what gave the labels",
    "concepts": "the concepts that it names",
    "key": "what is counted: a concept, a host or a cluster",
    "shingles": "how many shingles it has",
    "signature": "MinHash signature",
    "key_0": "digest of the first exact key; `key_1` and so on for the next",
    "crawl": "the crawl that it came from",
    "group": "documents of one group are held out together",
    "embedding": "its vector",
    "file": "path of the file",
    "rows": "rows of the file",
    "bytes": "bytes of the file",
    "row_a": "row of one end in its shard",
    "row_b": "row of the other end",
    "shard_a": "shard of one end",
    "shard_b": "shard of the other end",
    "row": "row of the document in its shard",
    "n_words": "words that were looked at",
    "log_weight": "the authors' sum over n-grams",
    "pieces": "pieces of the text that were looked at",
    **{f"nll_{name}": f"mean loss under {name}, in nats per token" for name in ("MODEL", "OTHER")},
    **{f"perplexity_{name}": "exp of that" for name in ("MODEL", "OTHER")},
    **{f"learnability_{name}": "median loss over tokens among its ten likeliest" for name in ("MODEL", "OTHER")},
    **{f"min_k_{name}": "Min-K%++; larger, likelier seen in training" for name in ("MODEL", "OTHER")},
    **{f"dc_pdd_{name}": "DC-PDD; larger, likelier seen in training" for name in ("MODEL", "OTHER")},
    "excess": "what the loss under the first model is above that under the second, mean over tokens",
    "TAXONOMY": "its label in a taxonomy, a number where all labels are",
    "TAXONOMY_confidence": "how sure the labeller is",
    "records": "records in the file",
    "gaps": "places where the file was damaged",
    "ignored": "records that hold no page",
    "in": "records that were to become documents",
    "dropped": "of those, dropped",
    "failed": "of those, with a row in `failures`",
    "ignored_by_type": "what was ignored, by type of record",
    "refers_to_url": "address of the original, as a revisit states it",
    "refers_to_date": "time of the original, as a revisit states it",
    "vector": "its numbers",
    "agreement": "share of the held-back documents on which it agrees with the engine",
    "kappa": "that agreement beyond chance",
    "format_confidence": "how sure the labeller is",
    "quality_label": "its quality, a number where all labels are",
    "quality_label_confidence": "how sure the labeller is",
    "topic": "its topic",
    "topic_confidence": "how sure the labeller is",
    "hashes": "its shingles as sorted hashes of 64 bits",
}


@dataclass(frozen=True)
class Table:
    """One table, or a kind of them: where its schema is made, and with what."""

    name: str
    about: str
    place: str  # module:object of gristmill
    given: tuple[Any, ...] | None = None  # of a function that makes the schema
    said: Mapping[str, str] = field(default_factory=dict)  # what SAID does not say, or says of others

    def made(self) -> Any:
        module, _, name = self.place.partition(":")
        return getattr(importlib.import_module(f"gristmill.{module}"), name)

    def schema(self) -> pa.Schema:
        found = self.made()
        if isinstance(found, type):  # a method of scoring, whose columns depend on its models
            return found.schema.fget(SimpleNamespace(readers=dict.fromkeys(self.given or ()), details=True))
        return found if self.given is None else found(*self.given)

    def comments(self) -> dict[str, str]:
        """Column -> what stands beside it in the code."""
        module, _, name = self.place.partition(":")
        source = inspect.getsource(importlib.import_module(f"gristmill.{module}"))
        begin = re.search(rf"^(?:{name} = |def {name}\(|class {name}\b)", source, re.MULTILINE)
        if begin is None:
            raise SystemExit(f"{self.name}: there is no {self.place}")
        body = re.split(r"^(?:\)|    \))", source[begin.start() :], maxsplit=1, flags=re.MULTILINE)[0]
        return {found[1]: found[2] for line in body.split("\n") if (found := COMMENT.search(line))}

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """(column, type, what it is)."""
        beside = self.comments()
        for one in self.schema():
            said = self.said.get(one.name) or beside.get(one.name) or SAID.get(one.name)
            if said is None:
                raise SystemExit(f"{self.name}: say what the column {one.name!r} is, beside it in {self.place}")
            yield one.name, str(one.type), said


TABLES = (
    Table("documents", "One row is one extracted document.", "corpus.store.schema:DOCUMENTS"),
    Table("failures/", "One row is one input that could not be processed.", "corpus.store.schema:FAILURES"),
    Table("inputs", "One row is a file, or a part of one, and its account.", "pipelines.stages.extract.stage:INPUTS"),
    Table("captures", "One row is a record of a crawl: one that became a document, or a revisit.",
          "corpus.store.schema:CAPTURES"),
    Table("decisions/", "One row is the fate of one document at a stage; the view is its fate over all stages.",
          "corpus.store.schema:DECISIONS"),
    Table("edits/", "One row is a document whose text a stage changed.", "corpus.store.schema:EDITS",
          said={"text": "its text after the edit",
                "removed": "what was cut: place in characters of the text before the edit, and the rule"}),
    Table("duplicates", "One row is one document that entered dedup.", "corpus.store.schema:DUPLICATES"),
    Table("signatures", "One row is one document that entered dedup; how many keys depends on `--exact`.",
          "pipelines.stages.dedup.sets:signature_schema", (1, 112)),
    Table("shingles", "One row is one document that entered dedup; Arrow files.", "dedup.verification:SHINGLES"),
    Table("bands", "One row is an entry of a bucket.", "pipelines.stages.dedup.bands:BANDS"),
    Table("edges", "One row is a pair of documents that were compared.", "dedup.growth:STORED"),
    Table("semantic", "What the vectors were brought into form with.", "pipelines.stages.semantic.stage:CENTROIDS"),
    Table("contamination", "One row is a place where a document holds an evaluation example.",
          "pipelines.stages.decontaminate.stage:HITS"),
    Table("matches", "One row is one document, with the concepts that it names.",
          "pipelines.stages.balance.stage:MATCHED"),
    Table("concepts", "One row is a concept, a host or a cluster.", "pipelines.stages.balance.stage:FREQUENCIES"),
    Table("programs", "One row is the program that `refine` ran on a document.",
          "pipelines.stages.refine.stage:PROGRAMS"),
    Table("rewrites", "One row is an attempt to rewrite a document.", "pipelines.stages.rewrite.stage:REWRITES"),
    Table("lineage", "One row is a rewritten document that was adopted.", "pipelines.stages.rewrite.stage:LINEAGE"),
    Table("labels", "One row is a label that an engine gave.", "pipelines.stages.tag.lessons:LABELS"),
    Table("labellers", "One row is a classifier that was fitted to labels.", "pipelines.stages.tag.lessons:LABELLERS"),
    Table("tags", "One row is one document; two columns for each taxonomy.", "pipelines.stages.tag.columns:columns",
          (("TAXONOMY",), ()),
          said={"format": "what kind of page it is", "cluster": "its cluster"}),
    Table("domains", "One row is one document; mixture units that replace those of `documents`.",
          "corpus.store.schema:DOMAINS"),
    Table("clusters", "One row is a cluster of `tag`.", "pipelines.stages.tag.lessons:CLUSTERS"),
    Table("scores/dsir", "One row is one document; the view `scores` has a struct column for each method.",
          "proxy_models.scoring.dsir:SCHEMA"),
    Table("scores/zipfit", "One row is one document.", "proxy_models.scoring.zipfit:SCHEMA"),
    Table("scores/transport", "One row is one document.", "proxy_models.scoring.transport:SCHEMA"),
    Table("scores/pair", "One row is one document; so is `scores/color`. MODEL and OTHER name two models. The "
          "columns of learnability, Min-K%++ and DC-PDD are there with `--details`.",
          "proxy_models.scoring.pair:ScorePair", ("MODEL", "OTHER")),
    Table("groups", "One row is one document.", "pipelines.stages.tokenize.held_out:SCHEMA"),
    Table("tokens/", "One row is one document; Arrow files of one folder for each domain.",
          "training.data.shards:token_schema", (np.dtype(np.uint16),)),
    Table("removed", "One row is one document that was taken out for good.", "pipelines.stages.opt_out:REMOVED",
          said={"removed": "when"}),
    Table("mixture/swarm.parquet", "One row is a proxy at one of its evaluations.", "mixing.proxies:proxy_schema",
          (("DOMAIN",), ("TARGET",))),
    Table("mixture", "One row is a domain in a mixture that was validated.",
          "pipelines.stages.mix.files:MIXTURE_TABLE"),
    Table("written/", "One row is a file that `write` left.", "pipelines.stages.write.stage:RECEIPT"),
)  # fmt: skip
