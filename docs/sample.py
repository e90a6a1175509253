"""Write sample files with known contents: python sample.py FOLDER [MONTH]. The same files on every machine."""

import json
import random
import sys
from pathlib import Path

NOUNS = {
    "law": "court judge claim contract ruling appeal clause witness statute verdict",
    "cooking": "kitchen recipe oven butter flour onion sauce dinner pepper bread",
    "science": "theory particle energy orbit sample signal cell protein crystal laser",
    "sport": "match player referee season coach league goal stadium record team",
    "travel": "island harbour train ticket mountain village museum bridge river hotel",
}
VERBS = "found carried changed described measured followed reached covered opened kept drew lost joined".split()
ADJECTIVES = "old careful bright quiet useful distant common narrow early simple grey small heavy late".split()
PLACES = "near the city,in the north,behind a wall,over the years,without much noise,on paper".split(",")
SHAPES = (
    "{v1} by the {n1}, a {a1} {n2} {v2} what {n3} meant {p}.",
    "Have you seen how {a1} {n1} and {a2} {n2} {v1} that {n3}?",
    "{p}, one {n1} {v1} with {a2} {n2} to be {v2} again.",
    "The {n1} that {v1} {p} {v2} of {a1} {n3}.",
    "{n2} of {n1}: {a1}, {a2} and {v2}, as {n3} {v1} it {p}.",
)


def sentence(draw: random.Random, nouns: list[str]) -> str:
    words = {
        **dict(zip(("n1", "n2", "n3"), draw.sample(nouns, 3), strict=True)),
        **dict(zip(("v1", "v2"), draw.sample(VERBS, 2), strict=True)),
        **dict(zip(("a1", "a2"), draw.sample(ADJECTIVES, 2), strict=True)),
        "p": draw.choice(PLACES),
    }
    text = draw.choice(SHAPES).format(**words)
    return text[0].upper() + text[1:]


def page(draw: random.Random, domain: str, sentences: int = 12) -> str:
    nouns = NOUNS[domain].split()
    return "\n".join(sentence(draw, nouns) for _ in range(sentences))


folder, month = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
folder.mkdir(parents=True, exist_ok=True)
for number, domain in enumerate(NOUNS):
    draw = random.Random(100 * month + number)
    texts = [page(draw, domain) for _ in range(60)]
    texts += [f"{text}\nRead more here." for text in texts[:10]]  # ten near-duplicates
    texts += ["Click here. Buy now!"] * 5  # five pages that say nothing
    with open(folder / f"{domain}.jsonl", "w", encoding="utf-8") as file:
        for row, text in enumerate(texts):
            url = f"https://{domain}.example/{month}/{row}"
            file.write(json.dumps({"text": text, "url": url, "stars": row % 5, "editor": f"e{row % 3}"}) + "\n")
with open(folder / "benchmark.jsonl", "w", encoding="utf-8") as file:  # questions on law, two choices each
    draw = random.Random(7)
    for _ in range(40):
        right, wrong = sentence(draw, NOUNS["law"].split()), sentence(draw, NOUNS["sport"].split())
        context, choices = "A sentence of the court is:", [right, wrong]
        file.write(json.dumps({"query": context, "choices": choices, "gold": 0}) + "\n")
