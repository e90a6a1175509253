"""Claim: personal data are found by shape and checksum, traps are left alone, and any sharding gives the same text.

    python benchmarks/filter_pii.py

A corpus of 2,000 sentences is written here from a fixed seed: 1,000 hold an item (e-mail, public IP, phone, IBAN with
a valid checksum, card with a valid checksum, API key), 1,000 hold a trap that looks like one (version numbers, private
addresses, code with @, wrong checksums, ISBNs, dates, digits of hashes). Prints precision and recall by kind beside
those of the trivial patterns that are often used (any dotted quad, any x@y.z, any run of 13 to 19 digits).
The corpus and the finder have the same authors: it shows that the rules do what they say, not how often real text
defeats them.
"""

import random
import re

from gristmill.filters.pii import FINDERS, KINDS, find, iban_is_valid, luhn, replaced

TRIVIAL = {
    "email": re.compile(r"\S+@\S+\.\S+"),
    "ip": re.compile(r"(?:\d{1,3}\.){3}\d{1,3}"),
    "phone": re.compile(r"\+?\d[\d ().-]{7,}\d"),
    "iban": re.compile(r"[A-Z]{2}\d{2}[A-Z0-9 ]{11,30}"),
    "card": re.compile(r"\b(?:\d[ -]?){13,19}\b"),
    "api_key": re.compile(r"\b[A-Za-z0-9_-]{32,}\b"),
}
BEFORE = ("Please note", "We wrote", "It says", "In the log stands", "Contact", "Réponse :", "for", "(see", "value =")
AFTER = ("today.", "and so on.", ", they said", ") in the end", "\nnext line", "; thanks", "é")


def digits(dice: random.Random, count: int) -> str:
    return "".join(dice.choice("0123456789") for _ in range(count))


def item(kind: str, dice: random.Random) -> str:
    def word(size: int, letters: str = "abcdefghijklmnopqrstuvwxyz") -> str:
        return "".join(dice.choice(letters) for _ in range(size))

    if kind == "email":
        ending = dice.choice(["com", "org", "co.uk", "museum"])
        return f"{word(5)}{dice.choice(['.', '_', '+', '-', ''])}{word(4)}@{word(6)}.{ending}"
    if kind == "ip":
        return ".".join(map(str, (dice.choice([8, 17, 52, 93, 151, 185]), *(dice.randrange(1, 255) for _ in range(3)))))
    if kind == "phone":
        three, four = digits(dice, 3), digits(dice, 4)
        country = dice.choice([1, 33, 44, 49, 81])
        return dice.choice(
            [f"+{country} {three} {three} {four}", f"({three}) {three}-{four}", f"{three}-{three}-{four}",
             "+33 6 " + " ".join(digits(dice, 2) for _ in range(4)), f"+49 30 1{digits(dice, 6)}",
             f"+44 (0)20 7{three} {four}", f"020 7{three} {four}", f"0171/2{digits(dice, 6)}",
             f"+4917{digits(dice, 8)}",
             f"+81 3-{four}-{four}", f"+91 9{four} {digits(dice, 5)}", f"+55 11 9{four}-{four}", f"tel: 6{three}{four}"]
        )  # fmt: skip
    if kind == "iban":
        body = digits(dice, 18)
        return next(f"DE{n:02d}{body}" for n in range(2, 99) if iban_is_valid(f"DE{n:02d}{body}"))
    if kind == "card":
        body = (dice.choice(["4", "51", "55"]) + digits(dice, 14))[:15]
        full = next(body + str(n) for n in range(10) if luhn(body + str(n)))
        return dice.choice([full, " ".join(full[n : n + 4] for n in range(0, 16, 4))])
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
    named = f'api_key = "x7{word(22, letters.lower())}"'
    return dice.choice(["AKIA" + word(16, letters), "ghp_" + word(36, letters), "glpat-" + word(20, letters), named])


def trap(dice: random.Random) -> str:
    n = dice.randrange
    wrong = digits(dice, 15)
    bad_card = "4" + wrong[:14] + next(str(k) for k in range(10) if not luhn("4" + wrong[:14] + str(k)))
    bad_iban = next(f"DE{k:02d}{digits(dice, 18)}" for k in range(2, 99))
    while iban_is_valid(bad_iban):
        bad_iban = f"DE{n(90):02d}{digits(dice, 18)}"
    return dice.choice(
        [
            f"version {n(9)}.{n(99)}.{n(99)}.{n(99)}",
            f"v{n(20)}.{n(20)}.{n(20)}.{n(20)}",
            f"192.168.{n(256)}.{n(256)}",
            f"10.{n(256)}.{n(256)}.{n(256)}",
            f"section {n(9)}.{n(9)}.{n(9)}.{n(9)}.{n(9)}",
            "@app.route('/a')",
            "user@localhost",
            f"icon@{n(4)}x.png",
            "a@b.T(c)",
            bad_card,
            bad_iban,
            f"ISBN 978-3-16-{digits(dice, 6)}-{n(10)}",
            f"20{n(10, 25)}-0{n(1, 9)}-1{n(10)} 12:{n(10, 60)}:{n(10, 60)}",
            f"{n(256, 999)}.{n(256)}.{n(256)}.{n(256)}",
            "".join(dice.choice("0123456789abcdef") for _ in range(40)),
            f"0.{digits(dice, 17)}",
            "127.0.0.1",
            "git@:branch",
            f"203.0.113.{n(256)}",
            f"a gain of +{n(1, 9)}00 000 000 votes",
            f"+{n(1, 9)}.{digits(dice, 8)} in the mean",
            f"00{digits(dice, 2)} {digits(dice, 4)} {digits(dice, 4)} {digits(dice, 4)}",
            f"{n(10, 99)} {digits(dice, 3)} {digits(dice, 3)} inhabitants",
            f"phone: 20{n(10, 25)}-0{n(1, 9)}-1{n(10)}",
            f"ISSN 0{digits(dice, 3)}-{digits(dice, 4)}",
            "access_token: AccessTokenProviderFactoryBean",
            "dead::beef",
        ]
    )


def main() -> None:
    dice = random.Random(0)
    rows: list[tuple[str, str | None, str]] = []
    for number in range(2000):
        kind = KINDS[number // 2 % len(KINDS)] if number % 2 else None
        what = item(kind, dice) if kind else trap(dice)
        rows.append((f"{dice.choice(BEFORE)} {what} {dice.choice(AFTER)}", kind, what))
    print(f"{len(rows):,} sentences, {sum(kind is not None for _, kind, _ in rows):,} with an item")
    for kind in KINDS:
        scores = []
        for finder in (lambda text, kind=kind: [text[s.start : s.end] for s in find(text) if s.kind == kind],
                       lambda text, kind=kind: [match.group() for match in TRIVIAL[kind].finditer(text)]):  # fmt: skip
            right = wrong = missed = 0
            for text, is_kind, what in rows:
                found = finder(text)
                item_itself = re.sub(r'^tel: |^api_key = "|"$', "", what)
                hit = is_kind == kind and any(item_itself in match for match in found)
                right += hit
                missed += is_kind == kind and not hit
                wrong += len(found) - hit
            scores.append((right / max(right + wrong, 1), right / max(right + missed, 1)))
        (precision, recall), (flat, wide) = scores
        print(f"{kind}: precision {precision:.3f}, recall {recall:.3f}; trivial pattern: {flat:.3f}, {wide:.3f}")
    texts = [text for text, _, _ in rows]
    whole = [replaced(text, find(text), b"key") for text in texts]
    for parts in (1, 3, 7):
        dealt = {n: [replaced(t, find(t), b"key") for t in texts[n::parts]] for n in reversed(range(parts))}
        assert [dealt[n % parts][n // parts] for n in range(len(texts))] == whole
    assert set(FINDERS) == set(KINDS)
    print("replaced text: the same for 1, 3 and 7 shards in any order")


if __name__ == "__main__":
    main()
