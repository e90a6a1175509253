"""The rule-based refiner on 231 real pages: precision and recall of removed lines, and documents per CPU second.

181 English pages and 50 in other languages. A page is all text of its HTML (resiliparse without main_content); a line
is content if the human gold text of the article has it: short lines (under four words) must be a line of the gold
text, longer ones must stand in it or share half of their word trigrams with it; where a script has no white space, a
character counts as a word. Everything else is furniture. The rules were written looking at the pages whose name
hashes to 0 only; the others were not looked at. The trivial baseline removes every line under ten words.
Clean text beside it: how much the rules cut from six domains that hold hardly any furniture.

    python -m benchmarks.refine_precision
"""

import hashlib
import re
import statistics
import sys
import time
from collections import Counter

import pyarrow.parquet as pq
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import detect_encoding
from resiliparse.parse.html import HTMLTree

from gristmill.proxy_models.rewriting.programs import RemoveLines, execute
from gristmill.proxy_models.rewriting.refine_rules import refine_program

from ._extraction_pages import DATA, english, multilingual

WORD = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|[^\W\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]+")
CLEAN = ("books", "chat", "how_to", "law", "maths", "technical_prose")
Page = tuple[str, str, list[bool | None]]  # name, text, whether each line is content (None: blank)


def plain(text: str) -> str:
    return " ".join(WORD.findall(text.lower()))


def page(name: str, html: bytes, body: str) -> Page:
    text = extract_plain_text(HTMLTree.parse_from_bytes(html, detect_encoding(html)), main_content=False)
    lines = {plain(line) for line in body.split("\n")}
    words = plain(body).split()
    trigrams = set(zip(words, words[1:], words[2:], strict=False))
    return name, text, [is_content(line, lines, " ".join(words), trigrams) for line in text.split("\n")]


def is_content(line: str, lines: set[str], body: str, trigrams: set[tuple[str, ...]]) -> bool | None:
    words = plain(line).split()
    if not words:
        return None
    if len(words) < 4:
        return " ".join(words) in lines
    if f" {' '.join(words)} " in f" {body} ":
        return True
    own = list(zip(words, words[1:], words[2:], strict=False))
    return sum(gram in trigrams for gram in own) >= 0.5 * len(own)


def removed_by_rules(text: str) -> set[int]:
    gone: set[int] = set()
    for operation in refine_program(text).operations:
        if isinstance(operation, RemoveLines):
            assert operation.end is not None
            gone.update(range(operation.start, operation.end + 1))
    return gone


def removed_by_length(text: str) -> set[int]:
    return {at for at, line in enumerate(text.split("\n")) if len(line.split()) < 10}


def scored(some: list[Page], removed) -> tuple[str, float]:
    counts: Counter[tuple[bool, bool]] = Counter()
    words: Counter[tuple[bool, bool]] = Counter()
    precisions = []
    for _, text, labels in some:
        gone = removed(text)
        own: Counter[bool] = Counter()
        for at, (line, content) in enumerate(zip(text.split("\n"), labels, strict=True)):
            if content is not None:
                counts[at in gone, content] += 1
                words[at in gone, content] += len(line.split())
                own[content] += at in gone
        if own.total():
            precisions.append(own[False] / own.total())
    precision = counts[True, False] / (counts[True, False] + counts[True, True])
    recall = counts[True, False] / (counts[True, False] + counts[False, False])
    lost = words[True, True] / (words[True, True] + words[False, True])
    told = (
        f"precision {precision:.3f} (mean over pages {statistics.mean(precisions):.3f}), recall {recall:.3f}; "
        f"words of the articles lost {lost:.3f}"
    )
    return told, precision


def speed(texts: list[str]) -> float:
    """Documents per CPU second, program and execution, the median of five."""
    rates = []
    for _ in range(5):
        began = time.process_time()
        for text in texts:
            execute(text, refine_program(text))
        rates.append(len(texts) / (time.process_time() - began))
    return statistics.median(rates)


def main() -> int:
    if not (DATA / "extraction").is_dir():
        sys.stderr.write(f"no data in {DATA}; set GRISTMILL_DATA\n")
        return 77
    groups = {
        "English": [page(name, html, body) for name, (html, body, _) in sorted(english().items())],
        "other languages": [page(name, html, body) for name, (html, body, _) in sorted(multilingual().items())],
    }
    assert [len(group) for group in groups.values()] == [181, 50]
    found = [one for group in groups.values() for one in group]
    together = 0.0
    for label, group in (*groups.items(), ("together", found)):
        unseen = [one for one in group if int(hashlib.sha256(one[0].encode()).hexdigest(), 16) % 2]
        for more, some in (("", group), (", those not looked at", unseen)):
            lines = [content for _, _, labels in some for content in labels if content is not None]
            share = 1 - sum(lines) / len(lines)
            print(f"{label}{more}: {len(some)} pages, {len(lines):,} lines, {share:.1%} of them furniture")
            print(f"  lines under ten words: {scored(some, removed_by_length)[0]}")
            told, precision = scored(some, removed_by_rules)
            print(f"  rules:                 {told}")
            together = together if more else precision
    print("\nclean text: share of words cut, documents dropped, documents per CPU second")
    everything = []
    for domain in CLEAN:
        texts = pq.read_table(DATA / "domains" / f"{domain}.parquet", columns=["text"])["text"].to_pylist()[:400]
        everything += texts
        outcomes = [execute(text, refine_program(text)) for text in texts]
        before = sum(len(text.split()) for text in texts)
        cut = before - sum(len(outcome.text.split()) for outcome in outcomes)
        dropped = sum(not outcome.kept for outcome in outcomes)
        size = statistics.mean(map(len, texts))
        print(f"  {domain:16} {cut / before:8.4f} {dropped:4d} {speed(texts):10,.0f}  ({size:,.0f} characters each)")
    raw = speed([text for _, text, _ in found])
    mixed = speed(everything)
    characters = statistics.mean(len(text) for _, text, _ in found)
    lines = statistics.mean(len(labels) for *_, labels in found)
    print(
        f"\nspeed: {raw:,.0f} raw pages ({characters:,.0f} characters, {lines:,.0f} lines) and {mixed:,.0f} documents"
    )
    print("of the six domains per CPU second")
    return 0 if min(raw, mixed) >= 1000 and together >= 0.9 else 1


if __name__ == "__main__":
    raise SystemExit(main())
