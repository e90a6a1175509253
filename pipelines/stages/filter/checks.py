"""What of `filter` can be refused before anything runs."""

import sys

from ...engine.invocation import Checking


def check(asked: Checking) -> None:
    """Rules that name no signal, and lists of URLs that are not there."""
    from ....filters.rule_sets import compiled, load_rules

    given = asked.settings.rules
    known = asked.settings.known(asked.workspace)
    compiled(load_rules(given), where=given if isinstance(given, str) else "", families=known)
    if asked.settings.urls is not None:
        from ....filters.urls import described

        for line in described(asked.settings.urls):
            sys.stderr.write(f"{line}\n")
