"""How much of a text shouts: lines that end in an exclamation mark. Measures and never decides."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.filters.signals.families import Family


def shouting(text: pa.Array) -> dict[str, pa.Array]:
    """exclamation_lines: lines whose last character is `!`, of all that are not empty; null where there is none.

    text  (D,) string or large_string
    """
    shares: list[float | None] = []
    for one in pc.cast(text, pa.large_string()).to_pylist():
        lines = [line for line in (one or "").split("\n") if line.strip()]
        loud = [line.rstrip().endswith("!") for line in lines]
        shares.append(float(np.mean(loud)) if loud else None)
    return {"exclamation_lines": pa.array(shares, pa.float64())}


SHOUTING = Family("shouting", 1, ("exclamation_lines",), shouting, "text")
