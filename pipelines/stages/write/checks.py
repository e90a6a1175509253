"""What of `write` can be refused before anything runs."""

from ....corpus.store.errors import RequestError, unknown_name
from ...engine.invocation import Checking
from .settings import WriteSettings


def check(asked: Checking) -> None:
    """A place that is a file, holds another's files, or lies in the workspace; columns and domains that nobody has."""
    from ....corpus.columns.views import extra_of
    from ....corpus.store.schema import DOCUMENTS
    from .places import check_place

    settings: WriteSettings = asked.settings
    if settings.push is not None and (settings.format != "hf" or settings.push.count("/") != 1):
        raise RequestError("--push takes OWNER/NAME, with --format hf")
    if settings.push is not None and "://" in settings.output:
        raise RequestError("--push uploads a local folder: name one as OUT")
    if asked.inside(settings.output):
        raise RequestError(f"{settings.output} lies in the workspace; documents are written elsewhere")
    check_place(settings.output)
    if settings.columns and "documents" in asked.tables:
        extra = extra_of(asked.workspace)
        known = {*DOCUMENTS.names, *([field.name for field in extra.type] if extra is not None else [])}
        for name in settings.columns:
            if name not in known:
                raise unknown_name("column", name, known, "--columns")
