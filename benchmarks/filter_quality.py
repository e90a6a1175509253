"""Claim: signals judge the quality of web documents; a small classifier on all of them beats the best single one.

    GRISTMILL_DATA=../shared/data python benchmarks/filter_quality.py

ROC-AUC on documents that people labelled good or bad (`quality/` of the shared data): the word count as the trivial
baseline, the best single signal (chosen on the same documents, so it flatters), the best bundled rule set (documents
ordered by how many of its rules they fail; chosen likewise), and classifiers by ten repeats of ten-fold stratified
cross-validation on the signals, mean over repeats and spread.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

from gristmill.filters.cuts import cut_lines
from gristmill.filters.rule_sets import bundled, compiled, load_rules
from gristmill.filters.signals.families import FAMILIES, measure

DATA = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))


def signals(text: pa.Array) -> dict[str, np.ndarray]:
    """Every number of every family that takes the text alone."""
    columns = {}
    for family, rows in measure(text, [family for family in FAMILIES.values() if not family.beside]).items():
        for field in rows.type:
            if not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)):
                continue
            values = rows.field(field.name).cast(pa.float64()).to_numpy(zero_copy_only=False)
            columns[f"{family}.{field.name}"] = values
    return columns


def failing(name: str, text: pa.Array) -> np.ndarray:
    """How many rules of a rule set each document fails."""
    rules = load_rules(name)
    documents, lines = compiled(rules)
    table = {"id": pa.array([f"{n:032x}" for n in range(len(text))])}
    if lines is not None and rules.lines is not None:
        cut = cut_lines(text, rules.lines, lines)
        table |= {"kept": cut.kept, "removed": cut.removed}
    beside = {"language": pa.array(["en"] * len(text))}
    table |= {column: beside[column] for column in documents.columns - {"id"}}
    table |= measure(text, [FAMILIES[family] for family in documents.signals if family in FAMILIES], beside)
    decided = documents.decide(pa.table(table), "filter")
    return np.array([len(rules) for rules in decided["failing"].to_pylist()])


def main() -> None:
    if not (DATA / "quality").exists():
        sys.exit(f"no data in {DATA}: set GRISTMILL_DATA")
    models = {
        "logistic regression": make_pipeline(
            SimpleImputer(),
            QuantileTransformer(n_quantiles=50, random_state=0),
            LogisticRegression(C=0.05, max_iter=2000),
        ),
        "extra trees": make_pipeline(
            SimpleImputer(), ExtraTreesClassifier(400, min_samples_leaf=3, max_features=0.3, random_state=0, n_jobs=2)
        ),
    }
    for file in ("majority_250", "agreement_140"):
        table = pq.read_table(DATA / "quality" / f"{file}.parquet")
        text, label = table["text"].combine_chunks(), table["label"].to_numpy()
        columns = signals(text)
        matrix = np.column_stack(list(columns.values()))
        print(f"{file}: {len(label)} documents, {int(label.sum())} good, {len(columns)} signals")
        print(f"  word count: {roc_auc_score(label, columns['text.words']):.3f}")
        filled = {name: np.nan_to_num(values) for name, values in columns.items()}
        single = {name: roc_auc_score(label, values) for name, values in filled.items()}
        name = max(single, key=lambda name: abs(single[name] - 0.5))
        print(f"  best single signal, {name}: {max(single[name], 1 - single[name]):.3f}")
        sets = {rule_set: roc_auc_score(label, -failing(rule_set, text)) for rule_set in bundled()}
        name = max(sets, key=sets.__getitem__)
        print(f"  best rule set, {name}: {sets[name]:.3f}")
        for kind, model in models.items():
            scores = []
            for seed in range(10 if kind.startswith("log") else 3):
                folds = StratifiedKFold(10, shuffle=True, random_state=seed)
                guessed = np.asarray(cross_val_predict(model, matrix, label, cv=folds, method="predict_proba"))[:, 1]
                scores.append(roc_auc_score(label, guessed))
            print(f"  {kind}, cross-validated: {np.mean(scores):.3f} ± {np.std(scores):.3f}")


if __name__ == "__main__":
    main()
