"""The record of the stage `filter`."""

from ...engine.record import StageRecord

RECORDS = (
    StageRecord(
        name="filter",
        about="""Measure signals of every document and decide its fate by a rule set.

Reads documents/, writes signals/ and decisions/filter/. Signals are measured once: other rules decide from what
is stored, without touching text. The first failing rule, its value and its threshold go on record. Line rules
(c4, refinedweb) cut lines out of texts and record them in edits/filter/.

URL lists are files with one entry a line, or CATEGORY=FILE. A domain covers its sub-domains, a host itself alone;
block words count anywhere in host and path, soft words as whole words. What is listed falls to the rule
listed_url, unless the rule set reads url.listed itself; what is allowed never does.

A classifier is a fastText model, or a scikit-learn one that takes texts, stored by skops or joblib. Opening a
joblib file runs the code in it: give only files that you made.""",
        example="gristmill filter --workspace W --rules fineweb",
        settings=".settings:FilterSettings",
        run=".stage:run_filter",
        after=("extract",),
        reads=("documents",),
        writes=("signals/", "decisions/filter", "edits/filter"),
        decides=True,
        check=".checks:check",
        more=(("train-classifier", "...commands.train_classifier:train_classifier"),),
        replay=(
            ("signals/", ".again:measure"),
            ("decisions/filter", ".again:decide"),
        ),
    ),
)
