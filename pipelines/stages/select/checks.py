"""What of `select` can be refused before anything runs."""

from ....corpus.store.errors import unknown_name
from ...engine.invocation import Checking


def check(asked: Checking) -> None:
    """Scores that neither a section of the file nor the workspace has."""
    made = {one.table for one in asked.sections.get("score", ())} if "score" in asked.sections else set()
    there = {name.removeprefix("scores/") for name in asked.tables if name.startswith("scores/")}
    for by in (*asked.settings.by, *asked.settings.compare):
        table = by.partition(".")[0]
        if table not in made | there:
            raise unknown_name("score", table, made | there, where="by")
