"""Claim: planted pieces of evaluation sets are found whatever their case and punctuation, and nothing else is.

    GRISTMILL_DATA=../shared/data python benchmarks/filter_decontamination.py

300 examples of ARC-easy, BoolQ, PIQA, OpenBookQA, LAMBADA and GSM8K (the shared data) are planted in 300 of the
documents of the six `domains/`: 50 verbatim, 50 in capitals, 50 with every mark of punctuation exchanged, 50 with a
tenth of their words replaced, 50 with a tenth left out, 50 with a tenth put in. Prints recall by kind at the default
setting, without near copies and by a search for the example as a string; every document that is hit without being
planted; and how many would be with a wider tolerance.
"""

import os
import random
import re
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.filters.decontamination import build, read_examples, search

DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
TASKS = ("arc_easy", "boolq", "piqa", "openbook_qa", "lambada_openai", "gsm8k")
KINDS = ("verbatim", "re-cased", "re-punctuated", "10 % of words changed", "10 % left out", "10 % put in")
FOREIGN = ("otherwise", "seventeen", "marble", "quietly", "left-handed", "tomorrow")


def changed(text: str, kind: str, dice: random.Random) -> str:
    if kind == "re-cased":
        return text.upper()
    if kind == "re-punctuated":
        return re.sub(r"[.,;:!?]", lambda _: dice.choice([";", " -", "...", "!"]), text) + " --"
    words = text.split()
    for place in sorted(dice.sample(range(len(words)), max(1, len(words) // 10)), reverse=True):
        if kind == KINDS[3]:
            words[place] = dice.choice(FOREIGN)
        elif kind == KINDS[4]:
            del words[place]
        elif kind == KINDS[5]:
            words.insert(place, dice.choice(FOREIGN))
    return text if kind == "verbatim" else " ".join(words)


def main() -> None:
    if not (DATA / "targets").exists():
        sys.exit(f"no data in {DATA}: set GRISTMILL_DATA")
    dice = random.Random(0)
    examples = {task: read_examples(str(DATA / "targets" / f"{task}.jsonl")) for task in TASKS}
    texts: list[str] = []
    for path in sorted((DATA / "domains").glob("*.parquet")):
        texts += pq.read_table(path)["text"].to_pylist()
    clean = list(texts)
    long_enough = [(task, n) for task in TASKS for n, text in enumerate(examples[task]) if len(text.split()) >= 8]
    planted: dict[int, tuple[str, tuple[str, int], str]] = {}
    places = dice.sample(range(len(texts)), 300)
    for number, place in enumerate(places):
        kind, key = KINDS[number % len(KINDS)], dice.choice(long_enough)
        piece = changed(examples[key[0]][key[1]], kind, dice)
        cut = texts[place].find(" ", len(texts[place]) // 2) + 1
        texts[place] = f"{texts[place][:cut]} {piece} {texts[place][cut:]}"
        planted[place] = (kind, key, piece)
    search(pa.array(["compile"]), build({"compile": ["one two three four five six seven eight nine"]}))
    began = time.process_time()
    index = build(examples)
    built = time.process_time() - began
    began = time.process_time()
    hits = search(pa.array(texts), index)
    spent = time.process_time() - began
    exact = search(pa.array([texts[place] for place in places]), build(examples, tolerance=0))
    exactly = {place for place, found in zip(places, exact, strict=True) if found}
    false = [place for place, found in enumerate(hits) if found and place not in planted]
    known = sum(map(len, examples.values()))
    print(f"{len(texts):,} documents, {sum(map(len, texts)) / 1e6:.1f} MB")
    print(f"{known:,} examples, {index.too_short:,} too short to be looked for")
    for kind in KINDS:
        rows = [(place, key, piece) for place, (k, key, piece) in planted.items() if k == kind]
        found = sum(any((h.task, h.example) == key for h in hits[place]) for place, key, _ in rows)
        either = sum(bool(hits[place]) for place, _, _ in rows)
        plain = sum(examples[key[0]][key[1]] in texts[place] for place, key, _ in rows)
        without = sum(place in exactly for place, _, _ in rows)
        print(f"{kind}: {either} of {len(rows)} documents hit ({found} by the planted example); "
              f"n-grams alone: {without}; string search: {plain}")  # fmt: skip
    print(f"documents hit that were not planted: {len(false)}")
    for place in false[:10]:
        hit = hits[place][0]
        print(f"  {hit.task} {hit.example}, {hit.words} words: {clean[place][hit.start : hit.end]!r}")
    rest = pa.array([text for place, text in enumerate(texts) if place not in planted])
    for tolerance in (0.2, 0.25, 0.3):
        wider = search(rest, build(examples, tolerance=tolerance))
        print(f"  with a tolerance of {tolerance}: {sum(map(bool, wider))}")
    print(f"index built in {built:.1f} CPU seconds, {len(texts) / spent:,.0f} documents per CPU second")


if __name__ == "__main__":
    main()
