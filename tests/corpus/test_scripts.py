"""Texts that say too little for a language, letters that a language never has, and three near languages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.languages.identification import OWN, identify
from gristmill.corpus.languages.model import shipped
from gristmill.corpus.languages.scripts import LEAST, UNDETERMINED, written_in
from gristmill.corpus.languages.serbo_croatian import reflexes, told_apart
from gristmill.corpus.languages.tags import COVERED


@pytest.mark.parametrize(
    "text", ["www", "Hello", "A", '"--warc-file=x" "http://x.example/"', "x" * 3000, "hahahaha", "aaaa bbbb", "я", "क"]
)
def test_what_says_too_little_is_undetermined_with_a_low_score(text: str):
    ((label, score),) = identify([text], OWN)[0]
    assert label == UNDETERMINED
    assert score <= LEAST


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Γεια", "el"),
        ("สวัสดี", "th"),
        ("こんにちは", "ja"),
        ("你好世界", "zh"),
        ("שלום עולם", "he"),
        ("I like it.", "en"),
    ],
)
def test_letters_of_one_language_tell_it_however_short_the_text(text: str, label: str):
    assert identify([text], OWN)[0][0][0] == label


@given(st.text("abcxyzäøé .,-/:", max_size=40), st.text("абвгдежз ", max_size=40))
def test_no_label_is_of_a_script_that_the_text_does_not_have(latin: str, cyrillic: str):
    for text, script in ((latin, "Latin"), (cyrillic, "Cyrillic")):
        able = written_in(shipped().labels, (script,))
        for label, _ in identify([text], OWN)[0]:
            assert label == UNDETERMINED or able[shipped().labels.index(label)]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Policija je saopštila da je vozač belog automobila pobegao sa mesta nesreće posle sudara.", "sr"),
        ("Kompanija je preporučila svima da promene lozinke pre kraja meseca.", "sr"),
        ("Predsednik je u sredu rekao da će reka porasti za nekoliko nedelja.", "sr"),
    ],
)
def test_serbian_in_latin_letters_is_not_called_bosnian(text: str, label: str):
    assert identify([text], OWN)[0][0][0] == label


def test_ijekavian_words_speak_against_serbian_and_a_text_with_neither_stays_as_it_was():
    ranked = [("sr", 0.6), ("bs", 0.3), ("hr", 0.1)]
    assert reflexes("poslije rijeka vrijeme") == (0, 3)
    assert told_apart("poslije rijeka vrijeme", ranked)[0][0] == "bs"
    assert told_apart("kuća i grad", ranked) == ranked


def test_the_help_names_the_languages_of_the_model():
    assert sorted(shipped().labels) == COVERED.split()
