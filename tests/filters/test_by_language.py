"""Words, stop words and thresholds by the language of a document."""

import sys

import pyarrow as pa
import pytest

from gristmill.corpus.store.catalog import open_catalog
from gristmill.corpus.store.errors import MissingExtra, RequestError
from gristmill.corpus.store.workspace import Workspace
from gristmill.filters.rule_sets import load_rules
from gristmill.filters.signals.by_language import SEGMENTED, STOP_WORDS
from gristmill.filters.signals.families import FAMILIES, known_families, measure
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.filter.stage import FilterSettings, run_filter

SENTENCES = {  # text, words of it as ICU cuts them, punctuation left out
    "zh": ("这条河不是很大。", ["这", "条", "河", "不是", "很大"]),
    "ja": ("この川は広い、と。", ["この", "川", "は", "広い", "と"]),
    "th": ("แม่น้ำสายนี้ไม่กว้าง และ", ["แม่น้ำ", "สาย", "นี้", "ไม่", "กว้าง", "และ"]),
    "lo": ("ຂ້ອຍຢາກໄປໂຮງຮຽນ", ["ຂ້ອຍ", "ຢາກ", "ໄປ", "ໂຮງຮຽນ"]),
    "km": ("ថ្ងៃនេះ\u200bនៅ", ["ថ្ងៃនេះ", "នៅ"]),
    "my": ("ကျောင်းသွားချင်တယ်", ["ကျောင်း", "သွား", "ချင်", "တယ်"]),
}


def signals(texts, languages, family=FAMILIES["gopher@fineweb2"]):
    return measure(pa.array(texts), [family], {"language": pa.array(languages)})[family.name].to_pylist()


@pytest.mark.parametrize("language", SENTENCES)
def test_a_text_without_white_space_has_the_words_of_its_language(language):
    text, words = SENTENCES[language]
    pytest.importorskip("icu4py")
    (row,) = signals([text], [language])
    assert row["word_count"] == len(words)
    assert row["mean_word_length"] == pytest.approx(sum(map(len, words)) / len(words))
    assert row["cut"] == "icu"


def test_texts_of_many_languages_in_one_batch_are_as_each_alone():
    pytest.importorskip("icu4py")
    texts = [text for text, _ in SENTENCES.values()] + ["The river and the valley, as it was.", "", None]
    languages = [*SENTENCES, "en", "ja", "zh"]
    alone = [signals([text], [language])[0] for text, language in zip(texts, languages, strict=True)]
    assert signals(texts, languages) == alone
    assert signals(texts[::-1], languages[::-1]) == alone[::-1]


def test_other_languages_are_cut_as_datatrove_cuts_them():
    text = "Der Fluss ist breit, und die Leute am Ufer haben es gesehen. Der Fluss ist breit."
    (own,) = signals([text], ["de"])
    plain = measure(pa.array([text]), [FAMILIES["gopher@datatrove"]])["gopher@datatrove"][0].as_py()
    assert {name: own[name] for name in plain if name in own and name != "stop_words"} == {
        name: value for name, value in plain.items() if name in own and name != "stop_words"
    }
    assert own["stop_words"] == len({"der", "ist", "und", "die", "am", "es"})
    assert own["cut"] == "space"


def test_stop_words_are_those_of_the_language_and_none_is_known_of_an_unknown_one():
    assert [row["stop_words"] for row in signals(["the river and the valley"] * 3, ["en", "fi", None])] == [2, 0, None]
    assert set(STOP_WORDS) >= SEGMENTED - {"yue", "wuu"}


def test_a_segmenter_that_is_not_there_is_named_before_anything_runs(tmp_path, document_writer, monkeypatch):
    for name in ("icu4py", "icu4py.breakers"):
        monkeypatch.setitem(sys.modules, name, None)
    space = Workspace(str(tmp_path / "w"))
    document_writer(space, [{"id": "0" * 32, "text": SENTENCES["ja"][0], "language": "ja"}])
    with pytest.raises(MissingExtra, match="segmentation") as error:
        run_filter(space, FilterSettings(rules="fineweb-2"), RunnerOptions(), quiet=True)
    assert "'ja'" in error.value.__notes__[0]
    summary = run_filter(space, FilterSettings(rules="fineweb-2", segmenter="none"), RunnerOptions(), quiet=True)
    assert summary["tables"]["decisions/filter"]["dropped"] == 1
    cut = open_catalog(space).execute('select s."gopher@fineweb2".cut, s."gopher@fineweb2".word_count from signals s')
    assert cut.fetchall() == [("unsegmented", None)]


def test_another_segmenter_is_another_measurement():
    assert known_families()["gopher@fineweb2"].recorded != known_families(segmenter="none")["gopher@fineweb2"].recorded


def test_thresholds_are_those_of_the_language(tmp_path, document_writer):
    rules = tmp_path / "short.yaml"
    rules.write_text(
        "name: short\nrules:\n  - {rule: words, value: text.words, threshold: 5, keep: value >= threshold}\n"
        "languages:\n  de: {words: 2}\n"
    )
    space = Workspace(str(tmp_path / "w"))
    rows = [
        {"id": f"{n:032x}", "text": "drei kurze Worte", "language": code} for n, code in enumerate(["de", "en", None])
    ]
    document_writer(space, rows, shards=1)
    run_filter(space, FilterSettings(rules=str(rules)), RunnerOptions(), quiet=True)
    decided = open_catalog(space).execute("select kept, threshold from decisions order by id").fetchall()
    assert decided == [(True, None), (False, 5.0), (False, 5.0)]
    rules.write_text(rules.read_text().replace("{words: 2}", "{word: 2}"))
    with pytest.raises(RequestError, match=r"languages\.de: there is no rule word"):
        load_rules(str(rules))


def test_the_bundled_thresholds_name_every_language_that_needs_a_segmenter():
    stop = {rule.rule: rule for rule in load_rules("fineweb-2").rules}
    limits = stop["long_words"].threshold
    assert isinstance(limits, dict)
    assert {"zh", "ja", "th", "km", "lo", "my", "de", "ar"} <= set(limits)
    assert limits["zh"] < limits["default"] < limits["my"]
