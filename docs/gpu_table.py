"""Figures of a GPU for README.md and docs/gpu.md, from `benchmarks/results/gpu.json`, beside the goals that were set.

Without that file, or where it holds no line of a GPU, both say so in one sentence. Of several devices the one that was
measured last is told; of parts that ran twice the later. A line that a limit ended is told as far as it came.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results" / "gpu.json", ROOT / "docs" / "gpu.md"
BEGIN, END = "<!-- figures: written by docs/claims.py -->\n", "<!-- end of figures -->\n"
NONE = "No figure of a GPU has been measured yet."
D12 = "12x768x6"
Row = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """What was measured, beside its goal; `met` is None where none was set. `short`: it stands in README.md too."""

    about: str
    says: str
    goal: str
    met: bool | None
    script: str
    short: bool = False


def parts_of(path: Path = RESULTS) -> list[Row]:
    """The parts that ran on the GPU that was measured last, the latest of each name."""
    told = json.loads(path.read_text(encoding="utf-8"))["parts"] if path.exists() else []
    found = [part for part in told if part["machine"]["device"] != "a CPU" and part["rows"]]
    last = found[-1]["machine"]["device"] if found else None
    return [*{part["name"]: part for part in found if part["machine"]["device"] == last}.values()]


def millions(rate: float) -> str:
    return f"{rate / 1e6:.2f} M tokens/s"


def twins(rows: list[Row]) -> Iterator[Figure]:
    every = [row for row in rows if "equal" in row]
    if every:
        agree = sum(row["equal"] for row in every)
        yield Figure("paths beside their twins on the CPU", f"{agree} of {len(every)} agree", "all",
                     agree == len(every), "gpu_twins")  # fmt: skip


FLEETS = {"regmix": ("RegMix's trunk", 10e6, 8.0), "15m": ("15M", 0.0, 3.0), "30m": ("30M", 0.0, 1.5)}


def fleets(rows: list[Row]) -> Iterator[Figure]:
    for size, (name, rate, times) in FLEETS.items():
        stacked = [row for row in rows if row.get("fleet") == size and row["how"].startswith("stacked")]
        if not stacked:
            continue
        best = max(stacked, key=lambda row: row["tokens_per_second"])
        said = f"{millions(best['tokens_per_second'])}, {best['times_one_after_another']:.1f} times one after another"
        goal = f"{f'{rate / 1e6:.0f} M tokens/s, ' if rate else ''}{times:g} times"
        met = best["tokens_per_second"] >= rate and best["times_one_after_another"] >= times
        about = f"fleet of {best['models']} models, {name}, {best['how']}"
        yield Figure(about, said, goal, met, "fleet_gpu", size == "regmix")


def loops(rows: list[Row]) -> Iterator[Figure]:
    product = next((row["product_tflops"] for row in rows if "product_tflops" in row), None)
    measured = {(row["model"], row["T"], row["compiled"], row["who"]): row for row in rows if "mfu" in row}
    for (model, length, compiled, who), own in measured.items():
        if who != "gristmill" or not compiled:
            continue
        said = f"{millions(own['tokens_per_second'])}, {own['peak_gib']:.1f} GiB"
        if own["mfu"] is not None:
            said += f", {own['mfu']:.1%} MFU"
        if product:
            said += f", {own['tflops'] / product:.1%} of a large product"
        ratios = {}
        for peer in ("minimal", "nanochat's habits"):
            other = measured.get((model, length, compiled, peer))
            if other is not None:
                ratios[peer] = own["tokens_per_second"] / other["tokens_per_second"]
                said += f", {ratios[peer]:.2f} times {'a minimal loop' if peer == 'minimal' else peer}"
        goal, met = "", None
        if (model, length) == ("150m", 2048):
            goal, met = "45 % MFU", own["mfu"] is not None and own["mfu"] >= 0.45
        elif model == D12 and "nanochat's habits" in ratios:
            goal, met = "1.1 times nanochat's habits", ratios["nanochat's habits"] >= 1.1
        name = "d12" if model == D12 else model
        short = model == "150m" and bool(goal)
        yield Figure(f"training loop, {name} at {length:,}", said, goal, met, "training_gpu", short)


def scoring(rows: list[Row]) -> Iterator[Figure]:
    rates = {row["who"]: row["tokens_per_second"] for row in rows if "largest difference" in row}
    own = max((rate for who, rate in rates.items() if who.startswith("gristmill")), default=None)
    if own is not None:
        said = millions(own)
        if "plain loop" in rates:
            said += f", {own / rates['plain loop']:.1f} times a padded loop"
        yield Figure("scoring by a pair of 150M models", said, "2 M tokens/s", own >= 2e6, "scoring_gpu", True)


def searches(rows: list[Row]) -> Iterator[Figure]:
    for row in rows:
        if "spearman of unseen mixtures" in row:
            said = f"{row['seconds']:.0f} s, {millions(row['tokens_per_second'])}, {row['alive']} alive"
            about = f"a demonstration, no evidence: {row['models']} proxies of 4M"
            yield Figure(about, said, "", None, "search_gpu")


KINDS: tuple[Callable[[list[Row]], Iterator[Figure]], ...] = (twins, fleets, loops, scoring, searches)


def figures(parts: list[Row]) -> list[Figure]:
    """Everything that the parts measured. Loops of several parts each have their own card's product beside them."""
    return [figure for kind in KINDS for part in parts for figure in kind(part["rows"])]


def device(parts: list[Row]) -> str:
    own = parts[-1]["machine"]
    words = [own["device"], *(f"{name} {own[key]}" for name, key in (("driver", "driver_version"), ("torch", "torch"))
                              if key in own)]  # fmt: skip
    return ", ".join(words)


def row(figure: Figure, with_goal: bool) -> str:
    goal = figure.goal + ("" if figure.met is None else ", met" if figure.met else ", missed")
    if with_goal:
        return f"| {figure.about} | {figure.says} | {goal} | `{figure.script}` |\n"
    return f"| GPU: {figure.about} | {figure.says}{f' (goal: {goal})' if goal else ''} | `{figure.script}` |\n"


def sentence(parts: list[Row]) -> str:
    """What README.md says of a device, in a sentence."""
    return f"On a GPU: {device(parts)}; see [its page](docs/gpu.md)." if figures(parts) else NONE


def short_rows(parts: list[Row]) -> str:
    """At most three rows for the table of README.md."""
    return "".join(row(figure, False) for figure in figures(parts) if figure.short)


def table(parts: list[Row]) -> str:
    """The table of docs/gpu.md, or the sentence that there is none."""
    found = figures(parts)
    if not found:
        return f"{NONE} `make gpu` measures.\n"
    cut = [part["name"] for part in parts if part["end"] != "done"]
    said = f"On {device(parts)}." + (f" Ended before all was measured: {', '.join(cut)}." if cut else "") + "\n\n"
    said += "| claim | measured | goal | script |\n| --- | --- | --- | --- |\n"
    return said + "".join(row(figure, True) for figure in found)


def page(parts: list[Row]) -> str:
    """docs/gpu.md as it should be."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return f"{before}{BEGIN}\n{table(parts)}\n{END}{rest.split(END)[1]}"
