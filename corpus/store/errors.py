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


NO_KEYS = ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError",
           "UnauthorizedSSOTokenError", "SSOTokenLoadError", "RefreshError", "DefaultCredentialsError")  # fmt: skip
UNREACHED = ("EndpointConnectionError", "ConnectTimeoutError", "ClientConnectorError")
OF_STORES = ("PermissionError", *NO_KEYS, *UNREACHED)


def of_a_store(error: BaseException) -> WorkspaceError | None:
    """The sentence for what an object store answered that lets nobody in, or nobody for now; None for anything else.

    A file of a disk that may not be read bears its name; what a store refuses bears none.
    """
    name, code = type(error).__name__, getattr(error, "code", None)
    nameless = isinstance(error, OSError) and error.filename is None
    if (
        (nameless and isinstance(error, PermissionError))
        or name in NO_KEYS
        or (name == "HttpError" and code in (401, 403))
    ):
        return refused_by_store(str(error))
    if (nameless and getattr(error, "errno", None) == errno.EBUSY) or (name == "HttpError" and code in (429, 503)):
        return busy_store(str(error))
    if name in UNREACHED:
        return WorkspaceError(
            f"the store cannot be reached ({_short(error)}); what was finished stays, and the same command goes on"
        )
    return None


def refused_by_store(said: str) -> WorkspaceError:
    """The sentence for credentials that a store does not take, or not any more."""
    return WorkspaceError(
        f"the store refuses these credentials ({_short(said)}); renew them, here and on the workers; what was finished "
        "stays, and the same command goes on"
    )


def busy_store(said: str) -> WorkspaceError:
    """The sentence for a store that asks for fewer requests."""
    return WorkspaceError(
        f"the store is too busy ({_short(said)}); with fewer workers it has less to do; what was finished stays, and "
        "the same command goes on"
    )


def _short(said: object) -> str:
    told = str(said).split(" [while running '")[0]  # what a graph adds
    return " ".join(told.split())[:200] or "it did not say why"
