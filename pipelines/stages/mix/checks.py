"""What of `mix` can be refused before anything runs."""

from ....corpus.store.errors import unknown_name
from ...engine.invocation import Checking


def check(asked: Checking) -> None:
    """Target files that cannot be read, and domains that neither the inputs of the file nor the workspace has."""
    from ....mixing.target_files import read_items

    for path in asked.settings.target_files.values():
        read_items(path)
    names = known_domains(asked)
    if names is None:
        return
    settings = asked.settings
    for where in ("target", "floors", "ceilings", "cost", "at_most"):
        files = settings.target_files if where in ("target", "at_most") else {}
        for name in getattr(settings, where):
            if name not in names and name not in files:
                raise unknown_name("domain", name, names, where=where)
    for mixture, shares in settings.compare.items():
        for name in shares:
            if name not in names:
                raise unknown_name("domain", name, names, where=f"compare.{mixture}")


def known_domains(asked: Checking) -> set[str] | None:
    """Mixture units that there will be; None where tags or columns of the rows may make others."""
    from ....corpus.readers.inputs import resolve

    sections = asked.sections
    tagging, rewriting, extracting = (sections.get(name) for name in ("tag", "rewrite", "extract"))
    if rewriting is not None or (tagging is not None and tagging.domain):
        return None
    tokens = {name.removeprefix("tokens/") for name in asked.tables if name.startswith("tokens/")}
    if extracting is None or "tokenize" not in sections:
        return tokens or None
    if "documents" in asked.tables:
        return None  # documents of earlier inputs have domains of their own
    return {source.domain for source in resolve(extracting.inputs)}
