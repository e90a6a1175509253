"""Who decides after whom, by the records of the stages."""

from .registry import records


def chain_before(stage: str) -> tuple[str, ...]:
    """Deciding stages that come before a stage; all of them for one that does not decide."""
    chain = [name for name, record in records().items() if record.decides]
    return tuple(chain[: chain.index(stage)] if stage in chain else chain)
