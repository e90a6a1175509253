"""A server that plays the engine, as the tests of engines use it."""

from ..proxy_models.conftest import chat_server  # noqa: F401
