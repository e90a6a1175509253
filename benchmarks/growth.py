"""Claim: what a workspace costs to grow is what is new, and a shard costs the same among ten thousand as among few.

    python -m benchmarks.growth [--shards 400 4000] [--slope 100 1000 10000] [--folder SCRATCH]

Files of five documents each, a shard a file, through extract, filter, decontaminate, dedup, score dsir and tokenize.
Growth: one file more is taken in and every stage runs again, each in a process of its own on one worker; its CPU
seconds are held against those of the same file alone in a workspace (at most 1.2 times, plus 3 s), and the files of old
shards that it opens are counted (none may be, but by dedup, which compares the whole set). Slope: CPU seconds of making
everything at each size; the seconds that a shard more costs (at most 10 ms a stage plus 1.5 ms for every file that it
writes), and the exponent of the time above start-up (1 is linear).
"""

import argparse
import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
WORDS = ("harbour lamp ferry night water stone garden winter river letter machine paper window answer market school "
         "teacher morning village forest engine captain doctor kitchen mountain summer".split())  # fmt: skip
RULES = """name: few
rules:
  - {rule: short, value: gopher@datatrove.word_count, threshold: 5, keep: value >= threshold}
  - {rule: long_words, value: gopher@datatrove.mean_word_length, threshold: 12, keep: value <= threshold}
"""
MAPPING = {  # stage -> arguments; `{}` stands for the folder of the inputs
    "extract": ["extract", "{}/files", "--shard-bytes", "2000", "--source", "web", "--language-model", "none"],
    "filter": ["filter", "--rules", "{}/rules.yaml"],
    "decontaminate": ["decontaminate", "exam={}/exam.jsonl"],
    "dedup": ["dedup"],
    "score": ["score", "dsir", "--target", "{}/wanted.jsonl"],
    "tokenize": ["tokenize", "--vocab-size", "400"],
}
WHOLE_SET = ("dedup",)  # looks at every document again, from stored columns
MOST_TIMES, MOST_MORE, MOST_STAGE, MOST_FILE = 1.2, 3.0, 0.010, 0.0015


def document(number: int) -> str:
    rng = random.Random(number)
    return " ".join("".join(rng.choices("abcdefghij", k=3)) + " " + rng.choice(WORDS) for _ in range(60)) + "."


def write_file(folder: Path, number: int) -> None:
    """Five documents, about 2.5 KB."""
    rows = [{"text": document(5 * number + n), "url": f"https://h{number}.example/{n}"} for n in range(5)]
    (folder / f"{number:06d}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def inputs(folder: Path, numbers: range) -> Path:
    (folder / "files").mkdir(parents=True)
    for number in numbers:
        write_file(folder / "files", number)
    (folder / "rules.yaml").write_text(RULES)
    lines = [json.dumps({"text": document(10**7 + n)}) + "\n" for n in range(20)]
    (folder / "exam.jsonl").write_text("".join(lines[:5]))
    (folder / "wanted.jsonl").write_text("".join(lines[5:]))
    return folder


def child(arguments: list[str]) -> None:
    """Run a command of gristmill; print which files of the workspace's tables it opened."""
    opened: set[str] = set()
    home = os.path.abspath(arguments[arguments.index("--workspace") + 1])

    def noticed(event: str, details: tuple) -> None:
        if event == "open" and isinstance(details[0], str) and details[0].startswith(home) and details[1] == "rb":
            opened.add(details[0])

    sys.addaudithook(noticed)
    from gristmill.pipelines.cli import main as gristmill

    stdout, sys.stdout = sys.stdout, sys.stderr
    try:
        gristmill(arguments)
    except SystemExit as end:
        if end.code:
            raise
    sys.stdout = stdout
    print(json.dumps(sorted(opened)))


def run(stage: str, folder: Path, workspace: Path) -> tuple[float, list[str]]:
    """CPU seconds of a stage, and the files of the workspace that it opened."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    arguments = [part.replace("{}", str(folder)) for part in MAPPING[stage]]
    command = [sys.executable, "-m", "benchmarks.growth", "--child", *arguments, "--workspace", str(workspace)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, json.loads(done.stdout.strip().splitlines()[-1])


def files_of(workspace: Path) -> dict[str, set[str]]:
    """result -> files of its tables."""
    from gristmill.corpus.store.workspace import Workspace

    return {name: commit.files for name, commit in Workspace(str(workspace)).commits().items()}


def made(scratch: Path, count: int) -> tuple[dict[str, float], dict[str, int]]:
    """(CPU seconds, files written) of each stage over so many shards, in scratch/COUNT."""
    folder = inputs(scratch / str(count), range(count))
    seconds: dict[str, float] = {}
    written: dict[str, int] = {}
    held = 0
    for stage in MAPPING:
        seconds[stage] = run(stage, folder, folder / "w")[0]
        now = sum(map(len, files_of(folder / "w").values()))
        written[stage], held = now - held, now
        sys.stderr.write(f"{count:,} shards: {stage} {seconds[stage]:.2f} CPU s, {written[stage]:,} files\n")
    return seconds, written


def grown(scratch: Path, count: int, alone: dict[str, float]) -> tuple[list[str], bool]:
    """Lines on growing scratch/COUNT by one file, and whether all of it is within the bars."""
    folder = scratch / str(count)
    write_file(folder / "files", count)
    lines, good = [], True
    for stage in MAPPING:
        before = {str(folder / "w" / file) for name, own in files_of(folder / "w").items() for file in own
                  if "/" in file and file.endswith((".parquet", ".arrow")) and "000" not in name}  # fmt: skip
        seconds, opened = run(stage, folder, folder / "w")
        old = sorted(set(opened) & before)
        most = MOST_TIMES * alone[stage] + MOST_MORE
        within = seconds <= most and (stage in WHOLE_SET or len(old) <= 8)
        good &= within
        tables: dict[str, int] = {}
        for file in old:
            table = str(Path(file).parent.relative_to(folder / "w"))
            tables[table] = tables.get(table, 0) + 1
        told = ", ".join(f"{number} of {table}" for table, number in sorted(tables.items())) or "none"
        lines.append(
            f"{count:,} shards + 1: {stage}: {seconds:.2f} CPU s, alone {alone[stage]:.2f}, at most {most:.2f}; "
            f"old files opened: {told}{'' if within else '  OVER'}"
        )
        sys.stderr.write(lines[-1] + "\n")
    return lines, good


def main() -> int:
    if "--child" in sys.argv:
        child(sys.argv[sys.argv.index("--child") + 1 :])
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, nargs="*", default=[400, 4000])
    parser.add_argument("--slope", type=int, nargs="*", default=[100, 1000, 10_000])
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    lines, good = [], True
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        scratch = Path(name)
        made(scratch / "warm", 1)  # compiled code is cached
        alone, files_alone = made(scratch, 1)
        sizes = {count: made(scratch, count) for count in sorted({*asked.shards, *asked.slope})}
        for count in sorted(asked.shards):
            told, within = grown(scratch, count, alone)
            lines += told
            good &= within
        ordered = sorted(asked.slope)
        for stage in MAPPING:
            slopes = []
            for few, many in zip([1, *ordered], ordered, strict=False):
                seconds = sizes[many][0][stage] - (sizes[few][0] if few > 1 else alone)[stage]
                files = sizes[many][1][stage] - (sizes[few][1] if few > 1 else files_alone)[stage]
                slopes.append((seconds / (many - few), files / (many - few)))
            most = MOST_STAGE + MOST_FILE * max(files for _, files in slopes)
            within = all(slope <= most for slope, _ in slopes)
            good &= within
            first, last = (max(sizes[count][0][stage] - alone[stage], 1e-3) for count in (ordered[0], ordered[-1]))
            exponent = math.log(last / first) / math.log(ordered[-1] / ordered[0]) if len(ordered) > 1 else 1.0
            told = ", ".join(f"{1000 * s:.1f} to {n:,}" for (s, _), n in zip(slopes, ordered, strict=True))
            lines.append(
                f"{stage}: ms a shard: {told}; at most {1000 * most:.1f} ({slopes[-1][1]:.1f} files a shard); "
                f"exponent {exponent:.2f}{'' if within else '  OVER'}"
            )
    text = "\n".join([*lines, "ok" if good else "FAILED"]) + "\n"
    sys.stdout.write(text)
    (RESULTS / "growth.txt").write_text(text)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
