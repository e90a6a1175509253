"""Pages that FineWeb's filters must tell apart: plain ones, and each with one of the faults that a rule looks for."""

import random

WORDS = (
    "the mill of a town stands by that river and its wheel turns with the water to grind wheat have been good for "
    "people who bring their grain in sacks from fields around it every autumn morning when light is still low"
).split()


BARE = ("kneel", "plough", "oats")


def sentence(draw: random.Random, shortest: int = 6, longest: int = 18) -> str:
    words = [draw.choice(WORDS) for _ in range(draw.randint(shortest, longest))]
    return " ".join(words).capitalize() + draw.choice([".", ".", ".", "!", "?", '."'])


def prose(draw: random.Random, lines: int = 8) -> list[str]:
    """Lines of a few sentences in which no sentence comes twice."""
    return [" ".join(sentence(draw) for _ in range(draw.randint(2, 4))) for _ in range(lines)]


def pages(count: int = 6) -> dict[str, str]:
    """Name -> text; `count` of each kind, the same each time."""
    made = {}
    for number in range(count):
        draw = random.Random(number)
        plain = prose(draw)
        line = plain[1]
        kinds = {
            "plain": plain,
            "short": plain[:1],
            "few sentences": [", ".join(part.rstrip('.!?"') for part in plain)],
            "repeated line": plain + [line] * (number + 1),
            "repeated paragraph": [*plain, "", line, "", line, ""],
            "bullets": ["- " + part for part in plain],
            "ellipsis": [part.rstrip('.!?"') + "..." for part in plain],
            "hashes": [part.replace(" ", " # ") for part in plain],
            "javascript": [*plain, "Please turn javascript on to read this page."],
            "mostly javascript": [*plain[: 2 + number], *["You need javascript for this part of the page."] * 2],
            "policy": [*plain, "This site has a cookie policy that you should read."],
            "lorem": [*plain, "Lorem ipsum dolor sit amet and more of it."],
            "curly": [*plain, "function go() { return the wheat to that mill; }"],
            "short lines": [*plain[:2], *[sentence(draw, 2, 3) for _ in range(6 + 3 * number)]],
            "no punctuation": [part.rstrip('.!?"') for part in plain],
            "listed": [word for part in plain[: 1 + number] for word in part.split(" ")],
            "numbers": [" ".join(str(draw.randint(0, 9999)) for _ in range(20)) + "." for _ in range(8)],
            "long words": [part.replace(" ", "-") for part in plain],
            "no stop words": [" ".join(draw.choice(BARE) for _ in range(12)) + "." for _ in range(9)],
            "duplicated run": [*plain, " ".join([line.split(". ")[0]] * (2 + number)) + "."],
            "two-line steps": [*plain, *["Read more", "Go on"] * number],
            "accents": [part.replace("e", "é") for part in plain],
            "code": ["def mill(grain):", "    return grain * 2", "", *plain[:3]],
            "table": [f"{draw.randint(1, 99)} | {draw.choice(WORDS)} | {draw.choice(WORDS)}" for _ in range(20)],
        }  # fmt: skip
        made |= {f"{kind} {number}": "\n".join(text) for kind, text in kinds.items()}
    return made
