"""Rule sets that split documents by the class of their licence."""

import pyarrow as pa
import pytest

from gristmill.corpus.metadata.licences import class_of
from gristmill.filters.rule_sets import compiled, load_rules

LICENCES = {
    "CC0-1.0": "low",
    "MIT": "low",
    "CC-BY-4.0": "low",
    "CC-BY-SA-3.0": "low",
    "CC-BY-NC-4.0": "high",
    "GPL-3.0": "high",
    None: "high",
}


@pytest.mark.parametrize("risk", ["low", "high"])
def test_silo_keeps_what_states_an_open_licence_on_one_side_and_everything_else_on_the_other(risk):
    rules = compiled(load_rules(f"silo-{risk}-risk"))[0]
    names = list(LICENCES)
    batch = pa.table(
        {
            "id": [f"{n:032x}" for n in range(len(names))],
            "license_class": pa.array([class_of(name) for name in names], pa.string()),
        }
    )
    kept = rules.decide(batch, "filter")["kept"].to_pylist()
    assert dict(zip(names, kept, strict=True)) == {name: side == risk for name, side in LICENCES.items()}
