"""The functions of `pyarrow.compute`, which is imported when the first of them is asked for: it takes as long to import
as a small command takes to answer. `from . import arrow_functions as pc` where a command may do without them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyarrow.compute import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]


def __getattr__(name: str) -> Any:
    import pyarrow.compute

    return globals().setdefault(name, getattr(pyarrow.compute, name))
