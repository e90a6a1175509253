"""The figures of README.md, from what the benchmarks printed: the table of measured claims, the demo's time and page.

python docs/claims.py writes them; with --check it only compares, and exits 1 where they differ.

A figure is found in `benchmarks/results/<script>.txt` by a pattern; one that is not found is an error.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
README, RESULTS = ROOT / "README.md", ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- claims: written by docs/claims.py -->\n", "<!-- end of claims -->\n"


@dataclass(frozen=True)
class Claim:
    """One row: what is claimed, with `{}` where figures stand, the script that printed them, and their patterns."""

    about: str
    says: str
    script: str
    patterns: tuple[str, ...]
    largest: bool = False  # of all that the pattern finds; else the first

    def row(self) -> str:
        text = (RESULTS / f"{self.script}.txt").read_text(encoding="utf-8")
        figures = []
        for pattern in self.patterns:
            found = re.findall(pattern, text)
            if not found:
                raise SystemExit(f"benchmarks/results/{self.script}.txt has nothing like {pattern!r}")
            figures.append(max(found, key=float) if self.largest else found[0])
        return f"| {self.about} | {self.says.format(*figures)} | `{self.script}` |\n"


CLAIMS = (
    Claim("Page to text, 1,497 pages of seven types, each by a model that saw no page of its host",
          "word F1 {}, articles {}", "extraction_wcxb", (r"F1 all ([\d.]+)", r"article ([\d.]+)")),
    Claim("Language of 15,000 sentences in 75 languages", "macro accuracy {}; lingua {}, CLD2 {}, lid.176 {}",
          "language_id", (r"gristmill +([\d.]+)", r"lingua +([\d.]+)", r"cld2 +([\d.]+)", r"lid.176 +([\d.]+)")),
    Claim("Damaged and odd WARC and ARC files", "of {} pages {} lost without a row; warcio {}, FastWARC {}",
          "hostile_crawl", (r"ARC, ours: pages ([\d,]*\d)", r"ARC, ours:.*?without a row ([\d,]*\d)",
                            r"ARC, warcio:.*?without a row ([\d,]*\d)", r"ARC, FastWARC:.*?without a row ([\d,]*\d)")),
    Claim("FineWeb's filters", "{} documents per CPU second, {} times datatrove", "filter_throughput",
          (r"fineweb: ([\d,]+) documents", r"ratio: (\d+)")),
    Claim("Copies of evaluation items with a tenth of the words changed", "{} of 50 found, {} false in 29 MB",
          "filter_decontamination", (r"words changed: (\d+) of 50", r"not planted: (\d+)")),
    Claim("Near-duplicates, each pair verified", "precision {}; {} times datatrove, {} times rensa", "dedup_speed",
          (r"verification ([\d.]+) over", r"datatrove +[\d,]+ +gristmill is ([\d.]+)",
           r"rensa +[\d,]+ +gristmill is ([\d.]+)")),
    Claim("RegMix's tables, 256 unseen mixtures, mean Spearman of 13 targets", "{}; LightGBM {}, linear {}",
          "mixing_regmix", (r"unseen mixtures.*\n  default +([\d.]+)", r"unseen mixtures.*\n.*\n  lightgbm +([\d.]+)",
                            r"\n  linear +([\d.]+)")),
    Claim("A mixture fitted for four tasks on six domains, bits per byte",
          "{}; uniform {}, natural {}, best of the swarm {}: the fit did not beat the last", "mixing_end_to_end",
          (r"fitted +([\d.]+)", r"uniform +([\d.]+)", r"natural +([\d.]+)", r"best_of_swarm +([\d.]+)")),
    Claim("Shares that fourteen trainers draw by an exported recipe", "worst error {}", "mixing_exporters",
          (r"worst ([\d.]+)",), largest=True),
    Claim("The training loop beside a bare one, CPU time", "{} times at most on one thread", "training_overhead",
          (r"worst ratio of CPU seconds: ([\d.]+)",)),
)  # fmt: skip


def table() -> str:
    return "| claim | measured | script |\n| --- | --- | --- |\n" + "".join(claim.row() for claim in CLAIMS)


DEMO = re.compile(r"(?<=The demo, on two CPU cores, nothing compiled beforehand: ).*?```\n.*?```\n", re.DOTALL)


def demo() -> str:
    """The time that the demo took, and its last page."""
    seconds, _, shown = (RESULTS / "demo.txt").read_text(encoding="utf-8").partition("\n\n")
    return f"{seconds}. It ends with this page:\n\n```\n{shown}```\n"


def page() -> str:
    """README.md as it should be."""
    text, found = DEMO.subn(lambda _: demo(), README.read_text(encoding="utf-8"))
    if found != 1:
        raise SystemExit("README.md does not show the demo once")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table() + END + after


def main() -> int:
    made = page()
    if "--check" in sys.argv[1:]:
        return int(made != README.read_text(encoding="utf-8"))
    README.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
