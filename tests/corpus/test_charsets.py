"""Text in the charset that was declared, by its mark, or by its looks; and what no file can hold."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.text.charsets import codec_of, decode_text, mend
from gristmill.corpus.text.extraction import page_bytes

TEXTS = {
    "Der Straßenbahnfahrer grüßte müde, während es über Köln dämmerte; das kostete Überwindung.": """latin-1 iso-8859-1
        windows-1252 cp1252 iso-8859-15 cp850 cp858 cp437 mac-roman iso-8859-9 iso-8859-16 macintosh cp1140 cp500
        hp-roman8 iso-8859-14""",
    "Їжак біжить лісом, а птах сидить на гілці біля річки й чекає на вечір.": """koi8-u windows-1251 cp1125
        mac-cyrillic cp855""",
    "Ёжик бежит лесом, а птица сидит на ветке у реки и ждёт вечера.": "koi8-r windows-1251 iso-8859-5 cp866 ptcp154",
    "Łódź i Kraków leżą daleko od morza, a żółw idzie powoli przez trawę.": "iso-8859-2 windows-1250 cp852 mac-latin2",
    "Η γάτα κοιμάται κάτω από το τραπέζι και περιμένει τον ψαρά.": "iso-8859-7 windows-1253 cp869 mac-greek cp737",
    "어제는 맑았지만 오늘은 눈이 내리고 찬 바람이 분다.": "euc-kr cp949 ks_c_5601-1987 iso-2022-kr johab",
    "昨日は晴れでしたが、今日は雪が降って風が冷たいです。": "shift_jis euc-jp iso-2022-jp cp932 euc_jis_2004",
    "昨天天气晴朗，今天下雪，风很冷，大家都在家里喝茶。": "gb2312 gbk gb18030 hz",
    "昨天天氣晴朗，今天下雪，風很冷，大家都在家裡喝茶。": "big5 big5-hkscs cp950",
    "เมื่อวานอากาศดี แต่วันนี้หิมะตกและลมหนาว": "tis-620 iso-8859-11 cp874",
    "Kedi masanın altında uyuyor ve balıkçıyı bekliyor; ışık söndü.": "iso-8859-9 windows-1254 cp857 mac-turkish",
    "החתול ישן מתחת לשולחן ומחכה לדייג.": "iso-8859-8 windows-1255 cp862",
    "القط ينام تحت الطاولة وينتظر الصياد.": "iso-8859-6 windows-1256 cp864",
    "Rīgā vakar snigais, bet šodien spīd saule un pūš vējš; ķirši ēd.": "iso-8859-13 windows-1257 cp775 iso-8859-4",
    "Tiếng mèo kêu": "",
    "The ferry left the harbour before the lamps were lit.": "ascii us-ascii utf-8 cp037 utf-7",
    "Wczoraj świeciło słońce, a dziś pada śnieg.": "utf-16 utf-16le utf-16-be utf-16be utf-32 utf-32le utf-32be utf-7",
    "Привет всем": "utf-16le utf-16be utf-32le utf-32be utf-16 utf-32",
}
DRAWN = [(label, text) for text, labels in TEXTS.items() for label in labels.split()]


@pytest.mark.parametrize(("label", "text"), DRAWN, ids=[label for label, _ in DRAWN])
def test_a_text_is_read_in_the_charset_that_is_declared(label: str, text: str):
    try:
        body = text.encode(label)
    except UnicodeEncodeError:
        text = text.encode(label, "replace").decode(label)
        body = text.encode(label)
    assert codec_of(label) is not None
    assert decode_text(body, label) == text
    assert decode_text(body, f' "{label.upper()}" ') == text


@pytest.mark.parametrize(("label", "text"), DRAWN, ids=[label for label, _ in DRAWN])
def test_a_page_is_read_in_the_charset_that_is_declared(label: str, text: str):
    body = f"<p>{text}</p>".encode(label, "replace")
    assert page_bytes(body, label).decode() == body.decode(label)


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
    st.sampled_from(["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]),
)
@settings(max_examples=150, deadline=None)
def test_a_mark_says_what_a_text_is_whatever_is_declared(text: str, codec: str):
    text = text.lstrip("\ufeff") or "x"
    body = ("\ufeff" + text).encode(codec)
    assert decode_text(body, "iso-8859-2") == decode_text(body) == text
    assert page_bytes(body, "koi8-r") == text.encode()


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", ["A text of Latin letters.", "Текст, in two scripts.\n", "<p>長い 文章</p>\n"])
def test_wide_text_without_a_mark_is_known_by_its_noughts(codec: str, text: str):
    assert decode_text(text.encode(codec)) == text


def test_a_wrong_declaration_does_not_garble_utf8_and_binary_is_no_text():
    assert decode_text("Grüße aus Łódź".encode(), "iso-8859-1") == "Grüße aus Łódź"
    assert decode_text("<p>Grüße aus Łódź</p>".encode(), "utf-16") == "<p>Grüße aus Łódź</p>"
    assert decode_text(bytes(range(256)) * 20) is None
    assert decode_text("Ein Satz mit genau einem Fehler: ü und ö.".encode() + b" \xff " + "ä".encode() * 60) is not None
    assert codec_of("no-such-charset") is codec_of("unicode_escape") is codec_of("base64") is codec_of("idna") is None


@given(st.text(st.characters()))
@settings(max_examples=200, deadline=None)
def test_mended_text_can_be_written_and_changes_nothing_but_surrogates(text: str):
    mended = mend(text)
    mended.encode()
    alone = "".join(c for c in text if not 0xD800 <= ord(c) < 0xE000)
    assert "".join(c for c in mended if c != "\ufffd" and ord(c) < 0x10000) == "".join(
        c for c in alone if c != "\ufffd" and ord(c) < 0x10000
    )


def test_a_lone_surrogate_becomes_one_replacement_and_a_pair_its_character():
    assert mend("a\ud83db\udc00c\ud83d\ude00d\ud83d") == "a\ufffdb\ufffdc\U0001f600d\ufffd"


LOOKS = "koi8-r windows-1251 iso-8859-7 euc-kr shift_jis euc-jp gbk big5 windows-1255 windows-1256 iso-8859-2".split()


@pytest.mark.parametrize("label", LOOKS)
@pytest.mark.parametrize("declared", ["utf-8", None])
def test_what_cannot_be_in_the_declared_charset_is_read_in_the_one_that_it_looks_like(label, declared):
    text = next(text for other, text in reversed(DRAWN) if other == label) * 8
    body = text.encode(label, "ignore")
    text = body.decode(label)
    assert decode_text(body, declared) == text
    assert page_bytes(b"<p>" + body, declared).decode() == "<p>" + text
    stated = b'<meta charset="' + label.encode() + b'"><p>'
    assert page_bytes(stated + body, declared).decode().endswith("<p>" + text)


@pytest.mark.parametrize("language", ["è una città più bella", "naïve café façade", "süß und größer"])
def test_a_few_letters_of_latin_1_under_utf8_are_letters(language):
    text = "A long line of words that are the same in every charset there is. " * 5 + language
    assert decode_text(text.encode("latin-1"), "utf-8") == text
    assert page_bytes(f"<p>{text}".encode("latin-1"), "utf-8").decode() == "<p>" + text


@given(
    st.integers(0, 3000), st.sampled_from([b"\xff", b"\xa0", b"\xd0", b""]), st.sampled_from([*LOOKS, "utf-8", None])
)
@settings(max_examples=100, deadline=None)
def test_a_few_damaged_letters_make_no_other_charset_of_utf8(at, put, declared):
    text = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 30
    body = text.encode()
    body = body[:at] + put + body[at + 1 :]
    for got in (decode_text(body, declared), page_bytes(b"<p>" + body, declared).decode()[3:]):
        assert got is not None
        assert (
            sum(a == b for a, b in zip(got, text, strict=False))
            + sum(a == b for a, b in zip(reversed(got), reversed(text), strict=False))
            >= len(text) - 4
        )
