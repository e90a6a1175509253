"""A server that plays the engine, as the tests of engines use it, and a finished workspace that tests copy."""

from pathlib import Path

import pytest

from ..proxy_models.conftest import chat_server  # noqa: F401
from .short_road import walk


@pytest.fixture(scope="session")
def short_road(tmp_path_factory) -> Path:
    """The folder of a finished workspace `w` with its inputs beside it; not to be written to."""
    return walk(tmp_path_factory.mktemp("short road"))
