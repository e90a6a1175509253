"""Who decides after whom."""

CHAIN = ("filter", "refine", "decontaminate", "dedup", "semantic", "refilter", "tag", "balance", "select")


def chain_before(stage: str) -> tuple[str, ...]:
    """Deciding stages that come before a stage; all of them for one that does not decide."""
    return CHAIN[: CHAIN.index(stage)] if stage in CHAIN else CHAIN
