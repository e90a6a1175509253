"""Published laws, reproduced: Chinchilla's corrected fit from its digitised runs, and the data-constrained law's value.

Asserted: every constant of our fit of the 240 runs (the 5 with the fewest tokens a parameter are left out, as in the
publication) lies within one bootstrap standard error of the published one; the data-constrained law gives its check
value to 1e-9. Needs GRISTMILL_DATA (default ../shared/data).
"""

import csv
import os
import sys
import time
from pathlib import Path

import numpy as np

from gristmill.mixing.laws.chinchilla import constants, fit_chinchilla
from gristmill.mixing.laws.repetition import DataConstrained

ROOT = Path(os.environ.get("GRISTMILL_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")) / "mixtures"
PUBLISHED = {"E": 1.817, "A": 482.0, "B": 2085.4, "alpha": 0.348, "beta": 0.366}
BOOTSTRAP = 40


def main() -> None:
    value = DataConstrained.published().loss(6.34e9, 242e9, 25e9)
    print(f"data-constrained law at 6.34e9 parameters, 242e9 of 25e9 tokens: {value!r}")
    assert abs(value - 2.2256440889984477) < 1e-9
    if not ROOT.exists():
        sys.exit(f"no data at {ROOT}; set GRISTMILL_DATA to the folder that holds mixtures/")
    with open(ROOT / "svg_extracted_data.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    size, flop, loss = (np.array([float(row[key]) for row in rows]) for key in ("Model Size", "Training FLOP", "loss"))
    tokens = flop / 6 / size
    kept = np.argsort(tokens / size)[5:]
    assert len(kept) == 240
    began = time.process_time()
    fit = fit_chinchilla(size[kept], tokens[kept], loss[kept], bootstrap=BOOTSTRAP)
    logs = fit.standard_errors()
    found = constants(fit)
    errors = {
        "E": found["E"] * logs["log_E"],
        "A": found["A"] * logs["log_A"],
        "B": found["B"] * logs["log_B"],
        "alpha": logs["alpha"],
        "beta": logs["beta"],
    }
    for name, published in PUBLISHED.items():
        away = abs(found[name] - published) / errors[name]
        print(f"{name:<6} ours {found[name]:.5g} ± {errors[name]:.2g}, published {published}; {away:.2f} errors away")
        assert away < 1
    print(f"{fit.agreed:.0%} of the starts agree; {BOOTSTRAP} bootstrap fits; {time.process_time() - began:.0f} CPU s")


if __name__ == "__main__":
    main()
