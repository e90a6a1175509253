"""What `gristmill estimate` says beside what the run took, on skewed inputs: one large file beside many small ones.

The sample is a tenth of the inputs. Baseline: the CPU seconds of the sample times ten, without telling what is spent
once from what each byte costs. Prints, for each stage and the whole, estimated and measured CPU seconds.

    python -m benchmarks.estimate [--megabytes 20]
"""

import argparse
import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from gristmill.pipelines.clusters.estimate import RUN, cpu_seconds, estimate
from gristmill.pipelines.engine.run import load_settings, run


def text(draw: random.Random, words: list[str]) -> str:
    return " ".join(draw.choice(words) for _ in range(draw.randint(60, 900)))


def documents(draw: random.Random, words: list[str], size: int) -> Iterator[str]:
    written = 0
    while written < size:
        line = json.dumps({"text": text(draw, words), "url": f"https://h{draw.randrange(10**6)}.example.org/"}) + "\n"
        written += len(line)
        yield line


def write(folder: Path, megabytes: int) -> None:
    """Three quarters of the bytes in one file of long documents, a quarter in files of 20 KB of other words."""
    draw = random.Random(1)
    common = "the of and to a in that is was he for it with as his on be at by I".split() * 30
    (folder / "small").mkdir()
    with open(folder / "large.jsonl", "w") as file:
        file.writelines(documents(draw, common + [f"w{n}" for n in range(5000)], megabytes * 750_000))
    for number in range(megabytes * 250_000 // 20_000):
        with open(folder / "small" / f"{number}.jsonl", "w") as file:
            file.writelines(documents(draw, common + [f"v{n}" for n in range(300)], 20_000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, asked.megabytes)
        told = {
            "workspace": str(folder / "w"),
            "extract": {"inputs": [{"paths": [str(folder / "large.jsonl"), str(folder / "small")], "domain": "pages"}]},
            "filter": {"rules": "gopher"},
            "dedup": {"threshold": 0.8},
        }
        (folder / "s.yaml").write_text(yaml.safe_dump(told))
        settings = load_settings(folder / "s.yaml")
        found = estimate(settings, minutes=10, portion=0.1)
        measured: dict[str, float] = {}
        before = cpu_seconds()
        for summary in run(settings, quiet=True):
            measured[summary["stage"]] = measured.get(summary["stage"], 0.0) + cpu_seconds() - before
            before = cpu_seconds()
    said = {row["stage"]: row["cpu_hours"] * 3600 for row in found["stages"] if row["stage"] in ("extract", *RUN)}
    print(f"{found['bytes'] / 1e6:.1f} MB, sample {found['sample'] / 1e6:.1f} MB, {found['seconds']} s")
    for stage, seconds in measured.items():
        ratio = said[stage] / seconds
        print(f"{stage:<10} estimated {said[stage]:8.2f} CPU s, measured {seconds:8.2f}, ratio {ratio:.2f}")
    whole, all_of = sum(said.values()), sum(measured.values())
    print(f"all        estimated {whole:8.2f} CPU s, measured {all_of:8.2f}, ratio {whole / all_of:.2f}")


if __name__ == "__main__":
    main()
