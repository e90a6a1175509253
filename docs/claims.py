"""The figures of README.md, from what the benchmarks printed: the table of measured claims, the demo's time and page;
those of a GPU (`gpu_table.py`), which stand in docs/gpu.md too; what an installation takes, in docs/install.md.

python docs/claims.py writes them; with --check it only compares, and exits 1 where they differ.

A figure is found in `benchmarks/results/<script>.txt` by a pattern; one that is not found is an error.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import gpu_table

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


def table(parts: list[gpu_table.Row]) -> str:
    rows = "".join(claim.row() for claim in CLAIMS) + gpu_table.short_rows(parts)
    return "| claim | measured | script |\n| --- | --- | --- |\n" + rows


DEMO = re.compile(r"(?<=The demo, on two CPU cores, nothing compiled beforehand: ).*?```\n.*?```\n", re.DOTALL)


def demo() -> str:
    """The time that the demo took, and its last page."""
    seconds, _, shown = (RESULTS / "demo.txt").read_text(encoding="utf-8").partition("\n\n")
    return f"{seconds}. It ends with this page:\n\n```\n{shown}```\n"


GPU = re.compile(r"(?<=<!-- gpu -->).*?(?=<!-- end of gpu -->)", re.DOTALL)


def once(pattern: re.Pattern[str], told: str, text: str, what: str) -> str:
    """The text with what stands at one place of it."""
    text, found = pattern.subn(lambda _: told, text)
    if found != 1:
        raise SystemExit(f"{what} does not stand there once")
    return text


def page(results: Path = gpu_table.RESULTS) -> str:
    """README.md as it should be. `results`: the figures of a GPU."""
    parts = gpu_table.parts_of(results)
    text = once(DEMO, demo(), README.read_text(encoding="utf-8"), "the demo of README.md")
    text = once(GPU, gpu_table.sentence(parts), text, "the sentence of README.md about a GPU")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table(parts) + END + after


INSTALL = ROOT / "docs" / "install.md"
TAKES = re.compile(r"(?<=<!-- takes: written by docs/claims.py -->\n).*?(?=<!-- end of takes -->)", re.DOTALL)


def installing() -> str:
    """docs/install.md as it should be: distributions and bytes of each installation. Seconds hold for one machine."""
    core = (RESULTS / "wheel_without_extras.txt").read_text(encoding="utf-8")
    rest = (RESULTS / "first_minutes.txt").read_text(encoding="utf-8")
    shape = r"([\d,]+) distributions, ([\d,]+) MB"
    rows = []
    for name, text, pattern in (
        ("the wheel without extras", core, rf"^install: {shape}"),
        ("`make demo`", rest, rf"^make demo installs: {shape}"),
        ("`make test`, with the demo's", rest, rf"^make test installs: {shape}"),
    ):
        found = re.search(pattern, text, re.MULTILINE)
        if found is None:
            raise SystemExit(f"no result has anything like {pattern!r}")
        rows.append(f"| {name} | {found[1]} | {found[2]} |\n")
    build = " with torch's build for CPUs" if "+cpu" in rest else ""
    told = f"\n| installs{build} | distributions | MB on disk |\n| --- | --- | --- |\n" + "".join(rows) + "\n"
    return once(TAKES, told, INSTALL.read_text(encoding="utf-8"), "the table of docs/install.md")


def main() -> int:
    made = {
        README: page(),
        gpu_table.PAGE: gpu_table.page(gpu_table.parts_of()),
        INSTALL: installing(),
    }
    if "--check" in sys.argv[1:]:
        return int(any(text != path.read_text(encoding="utf-8") for path, text in made.items()))
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
