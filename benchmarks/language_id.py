"""Claim: the language model that comes along beats lid.176 on sentences, at >= 8,000 documents of 4 KB per CPU second.

Macro accuracy over the 75 languages of the sentence file, and by language, beside lid.176 (GRISTMILL_LANGUAGE_MODEL,
see `gristmill language-model`) and beside the identifiers of the interpreter that GRISTMILL_PEER_PYTHON names:
pip install lingua-language-detector==2.1.1 py3langid==0.4.0 pycld2==0.42 pyarrow. `no` counts as Bokmål, for others
than ours also as Nynorsk. Documents of 4 KB are sentences of one language joined; each goes through `identify` alone,
as in `extract`.
"""

import collections
import json
import os
import statistics
import subprocess
import time

import pyarrow.parquet as pq

from gristmill.corpus.languages.identification import OWN, SAMPLE, identify
from gristmill.corpus.languages.model import SLICE, SLICES

from ._extraction_pages import Report, need

RATE, ROUNDS = 8000, 5
PEERS = {
    "lingua": """
from lingua import LanguageDetectorBuilder
detector = LanguageDetectorBuilder.from_all_languages().with_preloaded_language_models().build()
def label(text):
    found = detector.detect_language_of(text)
    return found.iso_code_639_1.name.lower() if found else ""
""",
    "langid": """
import py3langid
def label(text):
    return py3langid.classify(text)[0]
""",
    "cld2": """
import pycld2
def label(text):
    text = "".join(c for c in text if c.isprintable())
    return pycld2.detect(text)[2][0][1]
""",
}
ASK = """
import json, sys, time
import pyarrow.parquet as pq
texts = pq.read_table(sys.argv[1])["text"].to_pylist()
label(texts[0])
began = time.process_time()
found = [label(text) for text in texts]
print(json.dumps([time.process_time() - began, found]))
"""
RENAMED = {"iw": "he", "zh-Hant": "zh", "in": "id", "fil": "tl"}


def accuracy(languages: list[str], found: list[str], merge_norwegian: bool) -> dict[str, float]:
    """Share of a language's sentences that are told right."""
    right, total = collections.Counter(), collections.Counter()
    for language, label in zip(languages, found, strict=True):
        label = RENAMED.get(label, label)
        total[language] += 1
        right[language] += label == language or (label == "no" and language in ("nb", "nn")[: 1 + merge_norwegian])
    return {language: right[language] / total[language] for language in total}


def rate(documents: list[str], model: str) -> float:
    """Documents per CPU second, the median of some rounds."""
    rates = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for document in documents:
            identify([document], model)
        rates.append(len(documents) / (time.process_time() - began))
    return statistics.median(rates)


def main() -> int:
    report = Report("language_id")
    path = need("language_id", "sentences.parquet")
    table = pq.read_table(path).to_pydict()
    languages, texts = table["lang"], table["text"]
    models = {"gristmill": OWN}
    if os.environ.get("GRISTMILL_LANGUAGE_MODEL"):
        models["lid.176"] = os.environ["GRISTMILL_LANGUAGE_MODEL"]
    else:
        report("lid.176: not run; set GRISTMILL_LANGUAGE_MODEL to it")
    by: dict[str, dict[str, float]] = {}
    seconds: dict[str, float] = {}
    for name, model in models.items():
        began = time.process_time()
        found = [answer[0][0] if answer else "" for answer in identify(texts, model)]
        seconds[name] = time.process_time() - began
        by[name] = accuracy(languages, found, name != "gristmill")
    peer = os.environ.get("GRISTMILL_PEER_PYTHON")
    for name, program in PEERS.items() if peer else ():
        told = subprocess.run(
            [str(peer), "-c", program + ASK, str(path)], stdout=subprocess.PIPE, text=True, check=True
        )
        seconds[name], found = json.loads(told.stdout)
        by[name] = accuracy(languages, found, True)
    if not peer:
        report(f"{', '.join(PEERS)}: not run; set GRISTMILL_PEER_PYTHON to an interpreter that has them")
    report(f"{len(texts)} sentences, {len(by['gristmill'])} languages; macro accuracy and CPU seconds:")
    for name, shares in by.items():
        report(f"  {name:<10} {statistics.mean(shares.values()):.4f}  {seconds[name]:8.1f} s")
    report(f"by language: {' '.join(by)}")
    for language in sorted(by["gristmill"], key=lambda key: by["gristmill"][key]):
        report(f"  {language}  " + "  ".join(f"{shares[language]:.3f}" for shares in by.values()))
    starts = [n for n in range(0, len(texts) - 60, 6) if languages[n] == languages[n + 59]]
    documents = [" ".join(texts[n : n + 60])[:4096] for n in starts]
    labels = [answer[0][0] for answer in identify(documents, OWN)]
    hits = statistics.mean(label == languages[n] for label, n in zip(labels, starts, strict=True))
    size = statistics.mean(len(document.encode()) for document in documents)
    report(f"accuracy {hits:.4f} on {len(documents)} documents of {size:,.0f} bytes")
    own = rate(documents, OWN)
    report(f"{own:,.0f} documents per CPU second ({SLICES} slices of {SLICE} characters)")
    if "lid.176" in models:
        other = rate(documents, models["lid.176"])
        report(f"lid.176: {other:,.0f} (first {SAMPLE} characters); ratio {own / other:.2f}")
    report.save()
    assert own >= RATE, f"{own:.0f} documents per CPU second"
    if "lid.176" in by:
        assert statistics.mean(by["gristmill"].values()) > statistics.mean(by["lid.176"].values())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
