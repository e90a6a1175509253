"""Variable sequence length (Dataset Decomposition, grow-p2) against concatenate-and-split at the longest length.

python -m benchmarks.training_lengths
"""

from benchmarks._training_pairs import LENGTH, compare, even, pool, run
from gristmill.training.loader import Phase


def main() -> None:
    domains, held = pool()
    shares = even(domains)
    grow = Phase(1.0, shares, LENGTH, "decompose", curriculum="grow-p2", cycles=4, shortest=16)
    compare(
        "variable length: rows of 16 to 128 tokens, grow-p2 in 4 cycles, against rows of 128",
        lambda seed: run(domains, held, [Phase(1.0, shares, LENGTH)], seed),
        lambda seed: run(domains, held, [grow], seed),
    )


if __name__ == "__main__":
    main()
