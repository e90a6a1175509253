"""Errors that a user can act on: where, what is wrong, what would be right.

A `RequestError` means that the request itself cannot be honoured (exit 2); a `WorkspaceError` means that the work
was asked for correctly but what lies on disk forbids it (exit 1). Everything else is a defect and keeps its traceback.
"""

import difflib
import errno
from collections.abc import Iterable

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # on the disk, under the quota, in a file, at all


class RequestError(ValueError):
    """The request cannot be honoured. Says where, what is wrong, and what would be right."""


class WorkspaceError(RuntimeError):
    """The tables on disk are damaged, incomplete or stale. Says which, and the command that mends it."""


class MissingExtra(RequestError):
    """An optional dependency is not installed. Names the extra of gristmill that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; it comes with: pip install 'gristmill[{extra}]'")


WITH_MODELS = ("torch", "tokenizers", "safetensors", "lightgbm", "sklearn", "joblib", "threadpoolctl")


def of_an_extra(error: ImportError) -> "MissingExtra | None":
    """What to install, where a module could not be imported because the extra `train` is not there."""
    package = (error.name or "").split(".")[0]
    return MissingExtra(package, "train") if package in WITH_MODELS else None


def unknown_name(kind: str, name: str, known: Iterable[str], where: str = "") -> RequestError:
    """An unknown name lists what exists, the nearest first: most such errors are typing slips."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known) or 'none'}"
    return RequestError(f"{where + ': ' if where else ''}no {kind} {name!r}; {hint}")
