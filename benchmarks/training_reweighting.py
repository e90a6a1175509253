"""Weights of samples by their loss (LinUpper) against uniform weights.

python -m benchmarks.training_reweighting
"""

from benchmarks._training_pairs import LENGTH, compare, even, pool, run
from gristmill.training.data.loader import Phase
from gristmill.training.objectives.reweighting import Reweighting


def main() -> None:
    domains, held = pool()
    phases = [Phase(1.0, even(domains), LENGTH)]
    linupper = Reweighting(strategy="linupper", temperature=1.0)
    compare(
        "reweighting: LinUpper, temperature 1, after 10 % of the run, against uniform weights",
        lambda seed: run(domains, held, phases, seed),
        lambda seed: run(domains, held, phases, seed, reweighting=linupper),
    )


if __name__ == "__main__":
    main()
