"""Domain upsampling at the end: the last 20 % of the run gives one domain half of the tokens, at equal total tokens.

python -m benchmarks.training_upsampling
"""

from benchmarks._training_pairs import LENGTH, compare, even, pool, run
from gristmill.training.data.loader import Phase

UPSAMPLED = "how_to"


def main() -> None:
    domains, held = pool()
    shares = even(domains)
    late = {name: 0.5 if name == UPSAMPLED else 0.5 / (len(domains) - 1) for name in domains}
    compare(
        f"upsampling: {UPSAMPLED} has half of the last 20 % of the tokens, against an even mixture throughout",
        lambda seed: run(domains, held, [Phase(1.0, shares, LENGTH)], seed),
        lambda seed: run(domains, held, [Phase(0.8, shares, LENGTH), Phase(1.0, late, LENGTH)], seed),
    )


if __name__ == "__main__":
    main()
