"""Check the spelling of all pages: python docs/spelling.py prints the words that no dictionary has, and exits 1 if any.

Prose alone is looked at: no code, no addresses, no names in capitals. `docs/words.txt` has the words of the field and
British spellings. The lists of changes and decisions are left to codespell.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from spellchecker import SpellChecker

ROOT = Path(__file__).parents[1]
WORDS = Path(__file__).parent / "words.txt"
LEFT_OUT = (r"^```.*?^```$", r"`[^`]*`", r"\]\([^)]*\)", r"<!--.*?-->", r"https?://\S+")
WORD = re.compile(r"(?<![\w/.@-])[a-z]{3,}(?![\w/@]|\.\w|-\d)")


def pages() -> list[Path]:
    """All pages that somebody wrote."""
    found = [path for path in sorted((ROOT / "docs").rglob("*.md")) if "reference" not in path.parts]
    return [*found, *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING"))]


def words(text: str) -> set[str]:
    """Words of the prose of a page."""
    for pattern in LEFT_OUT:
        text = re.sub(pattern, " ", text, flags=re.MULTILINE | re.DOTALL)
    return set(WORD.findall(text))


def findings() -> Iterator[str]:
    """What is wrong, a line each."""
    known = set(WORDS.read_text(encoding="utf-8").split())
    checker = SpellChecker()
    for page in pages():
        unknown = checker.unknown(words(page.read_text(encoding="utf-8"))) - known
        yield from (f"{page.relative_to(ROOT)}: {word}" for word in sorted(unknown))


def main() -> int:
    found = list(findings())
    sys.stdout.write("".join(f"{line}\n" for line in found))
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
