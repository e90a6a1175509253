"""Variable sequence length (Dataset Decomposition), every published curriculum, against concatenate-and-split.

python -m benchmarks.training_lengths
"""

from functools import partial

from benchmarks._training_pairs import LENGTH, compare_all, even, pool, run
from gristmill.training.data.lengths import CURRICULA
from gristmill.training.data.loader import Phase


def main() -> None:
    domains, held = pool()
    shares = even(domains)

    def trained(curriculum: str, seed: int) -> dict[str, float]:
        phase = Phase(1.0, shares, LENGTH, "decompose", curriculum=curriculum, cycles=4, shortest=16)
        return run(domains, held, [phase], seed)

    compare_all(
        f"variable length: rows of 16 to {LENGTH} tokens in 4 cycles, against rows of {LENGTH}",
        lambda seed: run(domains, held, [Phase(1.0, shares, LENGTH)], seed),
        {curriculum: partial(trained, curriculum) for curriculum in CURRICULA},
    )


if __name__ == "__main__":
    main()
