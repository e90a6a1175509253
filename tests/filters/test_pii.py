"""Personal data: what is found, what is not, and that replacing depends on nothing but the match."""

import itertools

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.filters.pii import find, iban_is_valid, luhn, replaced
from gristmill.filters.signals.families import FAMILIES, measure

FOUND = [
    ("write to jane.doe+news@example.co.uk today", "email", "jane.doe+news@example.co.uk"),
    ("mail: a_b@sub.example.org.", "email", "a_b@sub.example.org"),
    ("the server is 8.8.4.4, they say", "ip", "8.8.4.4"),
    ("reach 2001:4860:4860:0:0:0:0:8888 there", "ip", "2001:4860:4860:0:0:0:0:8888"),
    ("call +49 30 1234 5678 now", "phone", "+49 30 1234 5678"),
    ("call (415) 555-0134 now", "phone", "(415) 555-0134"),
    ("appelez le +33 1 23 45 67 89.", "phone", "+33 1 23 45 67 89"),
    ("appelez le 01 23 45 67 89.", "phone", "01 23 45 67 89"),
    ("or 0033 1 23 45 67 89, then", "phone", "0033 1 23 45 67 89"),
    ("ring +44 (0)20 7946 0958 or", "phone", "+44 (0)20 7946 0958"),
    ("ring 020 7946 0958 or", "phone", "020 7946 0958"),
    ("ring 07700 900123 or", "phone", "07700 900123"),
    ("rufen Sie 030/1234567 an", "phone", "030/1234567"),
    ("rufen Sie +4915112345678 an", "phone", "+4915112345678"),
    ("dial +81 3-1234-5678 there", "phone", "+81 3-1234-5678"),
    ("dial 090-1234-5678 there", "phone", "090-1234-5678"),
    ("dial +7 495 123-45-67 there", "phone", "+7 495 123-45-67"),
    ("dial +91 98765 43210 there", "phone", "+91 98765 43210"),
    ("dial +55 11 91234-5678 there", "phone", "+55 11 91234-5678"),
    ("dial +48 123 456 789 there", "phone", "+48 123 456 789"),
    ("dial +86 138 1234 5678 there", "phone", "+86 138 1234 5678"),
    ("dial 1-800-555-0199 now", "phone", "1-800-555-0199"),
    ("Tel.: 612 345 678 (Madrid)", "phone", "612 345 678"),
    ("reach 2606:4700::6810:84e5 there", "ip", "2606:4700::6810:84e5"),
    ("card 3530 1113 3330 0000 of JCB", "card", "3530 1113 3330 0000"),
    (
        "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9Pl ends",
        "api_key",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9Pl",
    ),
    ('api_key = "q8Zr2Lw0Xn5Tt7Vb1Kc9Ya4M"', "api_key", "q8Zr2Lw0Xn5Tt7Vb1Kc9Ya4M"),
    ("IBAN DE89 3704 0044 0532 0130 00, thanks", "iban", "DE89 3704 0044 0532 0130 00"),
    ("GB82WEST12345698765432", "iban", "GB82WEST12345698765432"),
    ("iban: de89 3704 0044 0532 0130 00 of us", "iban", "de89 3704 0044 0532 0130 00"),
    ("card 4111 1111 1111 1111 expires", "card", "4111 1111 1111 1111"),
    ("key AKIAIOSFODNN7EXAMPLE in the log", "api_key", "AKIAIOSFODNN7EXAMPLE"),
]
TRAPS = [
    "version 1.2.3.4 of the tool",
    "v10.20.30.40 was released",
    "192.168.1.1 and 127.0.0.1 and 10.0.0.1 are private",
    "203.0.113.9 stands in documentation",
    "300.1.2.3 is no address",
    "section 1.2.3.4.5 of the law",
    "the decorator @property and user@localhost",
    "icon@2x.png and self.items@module.py",
    "matrix = a@b.T(c)",
    "order 4111 1111 1111 1112 has a wrong check digit",
    "ISBN 978-3-16-148410-0",
    "DE00 3704 0044 0532 0130 00 has a wrong checksum",
    "2024-01-02 12:30:45.123456",
    "pi is 3.14159265358979323846",
    "0.123.456.789",
    "commit 1234567890123456789012345678901234567890",
    "12:34:56:78:9a:bc is a MAC address",
    "dead::beef and std::vector",
    "a gain of +100 000 000 votes",
    "+1.23456789 in the mean",
    "the numbers 01 02 03 04 05 won",
    "0010 2030 4050 6070 in the dump",
    "00 12 34 56 78 9a bc",
    "on 2024-01-02, 02.01.2024 and 01-02-2024",
    "from 1990-1995 to 2001-2005",
    "phone: 2024-01-02",
    "mobile 3 of 4",
    "api_key = os.environ.get('SERVICE_API_KEY_NAME_1')",
    "access_token: AccessTokenProviderFactoryBean",
    "12 345 678 inhabitants, 3 000 000 000 euros",
    "RFC 2616-2617, ISSN 0317-8471, DOI 10.1000/182",
    "ISBN 0-306-40615-2",
    "order 4111 1111 1111 1111 2 is no card",
]


@pytest.mark.parametrize(("text", "kind", "match"), FOUND)
def test_a_find_has_its_kind_and_its_place(text, kind, match):
    assert [(span.kind, text[span.start : span.end]) for span in find(text)] == [(kind, match)]


@pytest.mark.parametrize("text", TRAPS)
def test_what_only_looks_like_personal_data_is_left_alone(text):
    assert find(text) == []


def test_the_places_of_finds_are_a_signal_and_texts_stay_as_they_are():
    texts = ["ask jane@example.org or 8.8.4.4", "nobody", None]
    found = measure(pa.array(texts), [FAMILIES["pii_spans"]])["pii_spans"].field("found").to_pylist()
    assert [(span["kind"], texts[0][span["start"] : span["end"]]) for span in found[0]] == [
        ("email", "jane@example.org"),
        ("ip", "8.8.4.4"),
    ]
    assert found[1:] == [[], None]


def test_equal_data_get_equal_tokens_and_different_ones_do_not():
    text = "a@example.org b@example.org a@example.org"
    once = replaced(text, find(text), key=b"secret")
    first, second, third = once.split()
    assert first == third != second
    assert replaced(text, find(text)) == "<EMAIL> <EMAIL> <EMAIL>"
    assert once != replaced(text, find(text), key=b"other")


pieces = st.sampled_from([match for _, _, match in FOUND] + ["word", "1.2", ", ", "\n", "é"])


@given(st.lists(pieces, max_size=6))
def test_finds_are_in_order_apart_and_gone_after_replacing(parts):
    text = " ".join(parts)
    spans = find(text)
    assert all(left.end <= right.start for left, right in itertools.pairwise(spans))
    assert find(replaced(text, spans)) == []


def test_checksums_notice_a_single_changed_digit():
    assert luhn("4111111111111111")
    assert not any(luhn("411111111111111" + digit) for digit in "023456789")
    assert iban_is_valid("DE89370400440532013000")
    assert not any(iban_is_valid(f"DE{n:02d}370400440532013000") for n in range(99) if n != 89)


BASE64 = [("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7" * 3)[n : n + 64] for n in range(0, 90, 15)]


@pytest.mark.parametrize("named", ["RSA {}", "OPENSSH {}", "EC {}", "{}", "ENCRYPTED {}", "PGP {} BLOCK"])
@pytest.mark.parametrize("end", ["\n", "\\n", "\r\n", "\\r\\n"])
def test_a_private_key_is_found_whole_however_its_lines_end(named: str, end: str):
    name = named.format("PRIVATE KEY")
    key = end.join([f"-----BEGIN {name}-----", *BASE64, f"-----END {name}-----"])
    text = f'{{"private_key": "{key}{end}", "client": "me"}}'
    assert replaced(text, find(text)) == f'{{"private_key": "<API_KEY>{end}", "client": "me"}}'


def test_of_a_private_key_whose_end_is_lost_the_lines_that_are_there_are_found():
    text = "\n".join(["-----BEGIN PRIVATE KEY-----", *BASE64, "This is what follows, in words."])
    assert replaced(text, find(text)) == "<API_KEY>\nThis is what follows, in words."
