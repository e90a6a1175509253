"""What counts as the same text, by script, and why."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.folding import words

SAME = [  # (text, text, why)
    ("Straße", "STRASSE", "Latin: capitals of ß are SS"),
    ("ﬁnance oﬀers", "finance offers", "Latin: ligatures of type setters"),
    ("don't", "don\u2019t", "Latin: both apostrophes"),
    ("İstanbul", "i\u0307stanbul", "Latin: what lower-casing leaves of a dotted I"),
    ("co\u00adoperate", "cooperate", "Latin: a soft hyphen is not seen"),
    ("_well_ done", "well done", "Latin: marks of emphasis"),
    ("ＡＢＣ　１２", "abc 12", "Latin: full width"),
    ("𝐇𝐞llo", "hello", "Latin: letters of mathematics"),
    ("Việt", unicodedata.normalize("NFD", "việt"), "Latin: composed and decomposed"),
    ("ΟΔΟΣ", "οδος", "Greek: final sigma"),
    ("МОСКВА", "москва", "Cyrillic: case"),
    ("ԵՐԵՒԱՆ", "երևան", "Armenian: the ligature of ech and yiwn"),
    ("მთა", "ᲛᲗᲐ", "Georgian: capitals"),
    ("שלום", "\u200fשלום", "Hebrew: a mark of direction is not seen"),
    ("محـــمد", "محمد", "Arabic: tatweel stretches a line"),
    ("ﻛﺘﺎﺏ", "كتاب", "Arabic: presentation forms"),
    ("می\u200cخواهم", "میخواهم", "Persian: a non-joiner is not seen"),
    ("क़लम", "\u0915\u093cलम", "Devanagari: composed and decomposed"),
    ("ক\u200d্ষ", "ক্ষ", "Bengali: a joiner is not seen"),
    ("น้ำ", "น้ํา", "Thai: am, whole or in parts"),
    ("ｶﾞｷﾞｸﾞ", "ガギグ", "Katakana: half width"),
    ("한국", unicodedata.normalize("NFD", "한국"), "Hangul: syllables and their letters"),
    ("東京\u2060都", "東京都", "Han: a word joiner is not seen"),
    ("Ⅷ", "viii", "Roman numerals"),
]
OTHERS = [
    ("ma", "má", "Vietnamese: tones"),
    ("мой", "мои", "Russian: й is not и"),
    ("sık", "sik", "Turkish: a dotless i"),
    ("5'10", "510", "digits are not joined by an apostrophe"),
    ("snake_case", "snakecase", "an underscore within a word"),
    ("x²", "x2", "a power is not a digit"),
    ("यह दिन", "यह दान", "Devanagari: vowel signs"),
    ("দিন", "দান", "Bengali: vowel signs"),
    ("ਦਿਨ", "ਦਾਨ", "Gurmukhi: vowel signs"),
    ("દિન", "દાન", "Gujarati: vowel signs"),
    ("ଦିନ", "ଦାନ", "Oriya: vowel signs"),
    ("பல்", "பலி", "Tamil: pulli and a vowel sign"),
    ("పలి", "పలా", "Telugu: vowel signs"),
    ("ಹಾಲು", "ಹೀಲು", "Kannada: vowel signs"),
    ("പാല്", "പാലി", "Malayalam: vowel signs"),
    ("කල", "කලා", "Sinhala: vowel signs"),
    ("ปิด", "ปัด", "Thai: vowel signs"),
    ("ไม่", "ไม้", "Thai: tones"),
    ("ປິດ", "ປັດ", "Lao: vowel signs"),
    ("ကို", "ကာ", "Burmese: vowel signs"),
    ("គិត", "គាត", "Khmer: vowel signs"),
    ("བོད", "བད", "Tibetan: vowel signs"),
    ("שָׁלוֹם", "שלום", "Hebrew: points"),
    ("كَتَبَ", "كُتِبَ", "Arabic: vowels that are written"),
    ("かき", "がき", "Hiragana: voiced sounds"),
    ("ハハ", "パパ", "Katakana: voiced sounds"),
    ("가나", "거나", "Hangul: vowels"),
    ("大人", "犬人", "Han: other ideographs"),
]
UNSEEN = "\u00ad\u200b\u200c\u200d\u2060\ufeff\u200e\u200f\ufe0f\u061c\u034f"


def folded(text: str) -> list[int]:
    return words(pa.array([text])).hash.tolist()


@pytest.mark.parametrize(("left", "right", "why"), SAME)
def test_texts_that_mean_the_same_fold_alike(left, right, why):
    assert folded(left) == folded(right), why


@pytest.mark.parametrize(("left", "right", "why"), OTHERS)
def test_texts_that_mean_something_else_stay_apart(left, right, why):
    assert folded(left) != folded(right), why


scripts = st.sampled_from([text for left, right, _ in SAME + OTHERS for text in (left, right)])


@given(st.lists(scripts, min_size=1, max_size=5).map(" ".join), st.data())
def test_a_character_that_cannot_be_seen_changes_nothing_wherever_it_stands(text, data):
    place = data.draw(st.integers(0, len(text)))
    hidden = data.draw(st.sampled_from(UNSEEN))
    assert folded(text[:place] + hidden + text[place:]) == folded(text)


@given(st.lists(scripts | st.text(max_size=6), max_size=6).map(" ".join))
def test_composed_and_decomposed_texts_have_the_same_words_at_places_of_their_own(text):
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    apart = unicodedata.normalize("NFD", text)
    left, right = words(pa.array([text])), words(pa.array([apart]))
    assert left.hash.tolist() == right.hash.tolist()
    pieces = [apart.encode()[a:b].decode() for a, b in zip(right.start, right.end, strict=True)]
    wholes = [text.encode()[a:b].decode() for a, b in zip(left.start, left.end, strict=True)]
    assert [unicodedata.normalize("NFC", piece) for piece in pieces] == [
        unicodedata.normalize("NFC", whole) for whole in wholes
    ]


@given(st.lists(st.none() | scripts | st.text(max_size=8), max_size=5), st.integers(0, 5))
def test_cutting_a_batch_never_changes_its_words(texts, at):
    texts = [text and text.encode("utf-8", "replace").decode() for text in texts]
    whole = words(pa.array(texts, pa.string()))
    parts = [words(pa.array(texts, pa.string())[:at]), words(pa.array(texts, pa.string())[at:])]
    assert whole.hash.tolist() == [h for part in parts for h in part.hash.tolist()]


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("小明的 A1", "小|明|的|A1"),
        ("りんごを3つ", "り|ん|ご|を|3|つ"),
        ("เขาไม่ใช่", "เ|ข|า|ไ|ม่|ใ|ช่"),
        ("ភាសាខ្មែរ", "ភា|សា|ខ្|មែ|រ"),
        ("မြန်မာ", "မြ|န်|မာ"),
        ("한국어 문장", "한국어|문장"),
        ("L'homme don’t _x_ a_b 3.14", "L'homme|don’t|x|a_b|3|14"),
    ],
)
def test_words_are_cut_at_the_same_places_everywhere(text, cut):
    found = words(pa.array([text]))
    octets = text.encode()
    assert "|".join(octets[a:b].decode() for a, b in zip(found.start, found.end, strict=True)) == cut
