"""`odds(share)`: share / (1 - share), for rules: `value: odds(shouting.exclamation_lines)`."""

import numpy as np
import pyarrow as pa

from gristmill.filters.rule_sets import RuleFunction


def odds_of(share: pa.Array) -> pa.Array:
    """(D,) double to (D,) double: infinite at 1, null where the share is."""
    shares = np.array([np.nan if one is None else one for one in share.to_pylist()], float)
    with np.errstate(divide="ignore"):
        found = shares / (1 - shares)
    return pa.array(found, pa.float64(), mask=np.isnan(found))


ODDS = RuleFunction(odds_of, ("DOUBLE",), "DOUBLE")
