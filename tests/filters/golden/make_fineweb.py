"""Made fineweb.json: run with datatrove 0.10.1, spaCy 3.8 and this folder as the current one.

    pip install 'datatrove[io,processing]==0.10.1' spacy lxml_html_clean && python make_fineweb.py

The filters of datatrove's examples/fineweb.py in its order, with its settings: name -> null where a page is kept, else
the filter and its reason. `changed` names the pages whose text C4's filter had changed by then.
"""

import json

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from pages import pages


def steps():
    return [
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ]


def fate(chain, text):
    """(None or [filter, reason], whether the text was changed)"""
    document = Document(text=text, id="0")
    for step in chain:
        result = step.filter(document)
        if result is not True:
            return [type(step).__name__, result[1] if isinstance(result, tuple) else ""], document.text != text
    return None, document.text != text


if __name__ == "__main__":
    chain = steps()
    fates = {name: fate(chain, text) for name, text in pages().items()}
    told = {"fates": {name: found for name, (found, _) in fates.items()}}
    told["changed"] = [name for name, (_, changed) in fates.items() if changed]
    with open("fineweb.json", "w", encoding="utf-8") as file:
        json.dump(told, file, indent=1, sort_keys=True)
