"""Personal data in texts of every script, at either end and inside punctuation; and what only looks like it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.filters.cuts import masked
from gristmill.filters.pii import KINDS, find

DATA = {
    "email": "jane.roe@example.org",
    "ip": "91.198.174.192",
    "ip of version 6": "2a02:ec80:300:ed1a::1",
    "phone": "+49 30 901820",
    "iban": "DE89 3704 0044 0532 0130 00",
    "card": "4111 1111 1111 1111",
}
SCRIPTS = {
    "Latin": ("écrivez à ", " merci"),
    "Greek": ("γράψτε στο", "σήμερα"),
    "Cyrillic": ("пишите на", "сегодня"),
    "Armenian": ("գրեք", "այսօր"),
    "Georgian": ("დაწერეთ", "დღეს"),
    "Hebrew": ("כתבו אל", "היום"),
    "Arabic": ("اكتب إلى", "اليوم"),
    "Devanagari": ("यहाँ लिखें", "पर आज"),
    "Bengali": ("লিখুন", "আজ"),
    "Gurmukhi": ("ਲਿਖੋ", "ਅੱਜ"),
    "Gujarati": ("લખો", "આજે"),
    "Tamil": ("எழுதவும்", "இன்று"),
    "Telugu": ("రాయండి", "ఈరోజు"),
    "Thai": ("ติดต่อ", "วันนี้"),
    "Lao": ("ຕິດຕໍ່", "ມື້ນີ້"),
    "Khmer": ("ទាក់ទង", "ថ្ងៃនេះ"),
    "Burmese": ("ဆက်သွယ်ရန်", "ယနေ့"),
    "Han": ("请发送至", "咨询"),
    "Kana": ("連絡先は", "まで"),
    "Hangul": ("연락처는", "입니다"),
}
AROUND = [
    "{}",
    "({})",
    "«{}»",
    "「{}」",
    "<{}>",
    "“{}”",
    "_{}_",
    "**{}**",
    "：{}。",
    "{}.",
    "{}, ",
    "{}!",
    "{}?",
    "[{}]",
    "\n{}\n",
]


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("kind", DATA)
def test_data_are_found_beside_letters_of_every_script_and_inside_all_punctuation(script, kind):
    before, after = SCRIPTS[script]
    for around in AROUND:
        piece, named = around.format(DATA[kind]), kind.partition(" ")[0]
        for text in (f"{before}{piece}{after}", f"{piece}{after}", f"{before}{piece}", piece):
            assert [(span.kind, text[span.start : span.end]) for span in find(text)] == [(named, DATA[kind])], text


FORMS = [
    ("card", "4111 1111 1111 1111", "{} 12/27"),
    ("card", "4111\u00a01111\u00a01111\u00a01111", "Karte {}."),
    ("card", "4111-1111-1111-1111", "card {}. Thanks"),
    ("card", "378282246310005", "{} exp 01/29"),
    ("card", "４１１１１１１１１１１１１１１１", "番号{}です"),
    ("ip", "2606:4700::6810:84e5", "the host is {}."),
    ("ip", "2606:4700::6810:84e5", "IP:{}"),
    ("ip", "2606:4700::6810:84e5", "[{}]:443"),
    ("ip", "2606:4700::6810:84e5", "addressed:{}/64"),
    ("ip", "8.8.8.8", "http://{}/index"),
    ("ip", "91.198.174.192", "from {}:443,"),
    ("email", "info@müller.de", "an {} schreiben"),
    ("email", "info@xn--mller-kva.de", "an {}."),
    ("email", "почта@пример.рф", "пишите {} сегодня"),
    ("email", "info@例子.中国", "请写信至{}。"),
    ("email", "müller@example.de", "an {}, bitte"),
    ("email", "ｊａｎｅ＠ｅｘａｍｐｌｅ．ｏｒｇ", "連絡先：{}"),
    ("phone", "+49 30 12345678", "{} 10115 Berlin"),
    ("phone", "+33 1 42 68 53 00", "{} 75008 Paris"),
    ("phone", "13912345678", "电话{}请拨打"),
    ("phone", "13912345678", "请拨打{}"),
    ("phone", "090-1234-5678", "電話：{}まで"),
    ("phone", "010-1234-5678", "전화 {}로"),
    ("phone", "8 (495) 123-45-67", "тел. {}."),
    ("phone", "+7\u00a0495\u00a0123\u201145\u201167", "звоните {}"),
    ("phone", "٠١٠١٢٣٤٥٦٧٨", "هاتف: {}"),
    ("phone", "081-234-5678", "โทร{}"),
    ("phone", "98765 43210", "फोन: {}"),
    ("iban", "FR14\u00a02004\u00a01010\u00a00505\u00a00001\u00a03M02\u00a0606", "IBAN : {}"),
    ("iban", "GB82WEST12345698765432", "账号{}收款"),
]


@pytest.mark.parametrize(("kind", "data", "around"), FORMS)
def test_every_form_of_a_country_is_found(kind, data, around):
    text = around.format(data)
    assert [(span.kind, text[span.start : span.end]) for span in find(text)] == [(kind, data)]


@pytest.mark.parametrize(
    "text",
    [
        "Mozilla/5.0 Chrome/120.0.0.0 Safari/537.36",
        "Edg/91.0.10.20",
        "OID 1.3.6.1 and 2.5.4.3",
        "版本1.2.3.4发布",
        "версия 10.20.30.40",
        "バージョン 10.20.30.40",
        "see 4.3.2.1 below",
        "git@github.com:user/repo.git",
        "EAN 4006381333931",
        "0.4111111111111111",
        "ISBN 978-3-16-148410-0。",
        "1700000000000 ms",
        "订单号20240102123456",
    ],
)
def test_versions_identifiers_and_codes_are_left_alone(text):
    assert find(text) == []


@given(
    st.lists(st.sampled_from([*DATA.values(), "word", "，", " "]), max_size=30), st.integers(0, 40), st.integers(0, 9)
)
def test_what_is_left_after_masking_is_the_text_without_what_was_recorded(parts, start, size):
    text = "".join(parts)
    cut = [{"start": start, "end": start + size, "rule": "line"}] if size and start + size <= len(text) else []
    left, removed = masked(text, cut, KINDS)
    at, kept = 0, ""
    for one in removed:
        assert one["start"] >= at
        kept += text[at : one["start"]] + ("<" + one["rule"][4:].upper() + ">" if one["rule"] != "line" else "")
        at = one["end"]
    assert kept + text[at:] == left
