"""Metadata conditioning then cooldown (MeCo): `URL: host` before 90 % of the run, masked from the loss, then plain.

The host is the owner of the repository that a page came from. Held-out text is measured without any prefix.

    python -m benchmarks.training_meco
"""

from benchmarks._training_pairs import LENGTH, compare, even, pool, run
from gristmill.training.data.loader import Phase


def main() -> None:
    domains, held = pool(lambda row: f"URL: {row['url'].split('/')[0]}\n\n")
    shares = even(domains)
    compare(
        "MeCo: 90 % with prefix, 10 % without, against no prefix at all",
        lambda seed: run(domains, held, [Phase(1.0, shares, LENGTH)], seed),
        lambda seed: run(domains, held, [Phase(0.9, shares, LENGTH, metadata=True), Phase(1.0, shares, LENGTH)], seed),
    )


if __name__ == "__main__":
    main()
