"""Commands killed by SIGKILL at moments spread over their CPU time: the old result stands, or the new one whole.

A small workspace is grown by a file, and each of `filter`, `dedup` and `tokenize` run again in a process of its own,
which is killed after a share of the CPU seconds that the whole re-run takes. Then every commit must be readable and
every file that it names sound, `audit` must tell of unfinished work where there is some, and the same command must
complete to the files of a run that was never killed. Fails at the first that does not.

python -m benchmarks.chaos [--kills 200]
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gristmill.corpus.store.commits import UNFINISHED, commits
from gristmill.corpus.store.shards import filesystem
from gristmill.corpus.store.soundness import demand_sound

KEEP = "name: keep\nrules:\n  - {rule: words, value: gopher@paper.word_count, threshold: 0, keep: value >= threshold}\n"
STAGES = (["filter", "--rules", "keep.yaml"], ["dedup", "--threshold", "0.8"], ["tokenize", "--vocab-size", "300"])
RUN = [sys.executable, "-m", "gristmill.pipelines.cli"]
TICK = os.sysconf("SC_CLK_TCK")


def command(*arguments: str) -> list[str]:
    return [*RUN, *arguments]


def done(*arguments: str) -> str:
    ended = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {ended.stdout}{ended.stderr}")
    return ended.stdout


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def killed_after(arguments: list[str], seconds: float) -> bool:
    """Whether the command was killed after so many CPU seconds, before it had ended."""
    process = subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if cpu_of(process.pid) >= seconds:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.005)
    return False


def files(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*") if path.suffix in (".parquet", ".arrow")}


def words(at: int) -> str:
    """A text of forty words, of which no two share much."""
    return " ".join(f"w{(at * 7919 + n * n * 31) % 9973}" for n in range(40))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    kills = parser.parse_args().kills
    scratch = Path(tempfile.mkdtemp(prefix="chaos-"))
    for name, span in (("a", range(300)), ("b", range(300, 330))):
        rows = "".join(json.dumps({"text": f"{words(n)} the and of to that with be have"}) + "\n" for n in span)
        (scratch / f"{name}.jsonl").write_text(rows)
    (scratch / "keep.yaml").write_text(KEEP)
    os.chdir(scratch)
    base = scratch / "base"
    done("extract", str(scratch / "a.jsonl"), "--language-model", "none", "--workspace", str(base))
    for stage in STAGES:
        done(*stage, "--workspace", str(base))
    done("extract", str(scratch / "b.jsonl"), "--language-model", "none", "--workspace", str(base))
    hit = committing = 0
    for number, stage in enumerate(STAGES):
        right, space = scratch / "right", scratch / "space"
        shutil.copytree(base, right)
        began = os.times()
        done(*stage, "--workspace", str(right))
        ended = os.times()
        whole = ended.children_user + ended.children_system - began.children_user - began.children_system
        own = range(number, kills, len(STAGES))
        for place, kill in enumerate(own):
            shutil.copytree(base, space)
            before = {name: commit.generation for name, commit in commits(str(space)).items()}
            hit += killed_after([*stage, "--workspace", str(space)], whole * (place + 0.5) / len(own))
            now = commits(str(space))  # raises where one is damaged
            for commit in now.values():
                for file in commit.files:
                    demand_sound(*filesystem(f"{space}/{file}"))
            begun = (space / UNFINISHED).exists() and any((space / UNFINISHED).iterdir())
            committing += begun and {name: commit.generation for name, commit in now.items()} != before
            told = subprocess.run(
                command("audit", "--workspace", str(space)), capture_output=True, text=True, check=False
            )
            if begun and "unfinished:" not in told.stdout:
                raise SystemExit(f"kill {kill} of {stage[0]}: audit says nothing of unfinished work: {told.stdout}")
            done(*stage, "--workspace", str(space))
            if files(space) != files(right):
                raise SystemExit(f"kill {kill} of {stage[0]}: other files: {sorted(files(space) ^ files(right))[:5]}")
            shutil.rmtree(space)
        sys.stdout.write(f"{stage[0]}: {len(own)} kills over {whole:.1f} CPU s, all completed to the same files\n")
        sys.stdout.flush()
        shutil.rmtree(base)
        shutil.move(str(right), str(base))
    sys.stdout.write(f"{hit} of {kills} killed before they ended, {committing} of them between puts of a commit\n")
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
