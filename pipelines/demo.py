"""The demo: a real corpus from the running environment, the whole road, each result as it lands, and one page.

Reports what was measured. Where the fitted mixture does not win on the target, the last line says so.
"""

import json
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import resources
from itertools import islice
from pathlib import Path
from string import Template
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..corpus.store.catalog import open_catalog
from ..corpus.store.errors import RequestError
from ..corpus.store.shards import replacing
from ..corpus.store.workspace import Workspace
from . import demo_kernels
from .demo_input import collect
from .engine.run import RunFile, load_settings, run
from .engine.runner import RunnerOptions
from .printing import as_table

COLLECTED = "collected.json"

DOCUMENTS = """
select domain, sum(documents) filter (stage = 'extract')::bigint as extracted,
       coalesce(sum(documents) filter (stage = 'filter' and fate = 'kept'), 0)::bigint as filtered,
       coalesce(sum(documents) filter (stage = 'dedup' and fate = 'kept'), 0)::bigint as deduplicated,
       round(sum(bytes) filter (stage = 'dedup' and fate = 'kept') / 1e6, 2) as MB,
       coalesce(arg_max(stage || ' ' || rule, documents) filter (fate = 'dropped'), '') as most_dropped_by
from funnel group by domain order by domain
"""
MIXTURE = """
select domain, round(max(share) filter (mixture = 'natural'), 3) as natural,
       round(max(share) filter (mixture = 'uniform'), 3) as uniform,
       round(max(share) filter (mixture = 'fitted'), 3) as fitted,
       round(max(epochs) filter (mixture = 'fitted'), 2) as fitted_epochs
from mixture group by domain order by domain
"""
PAGE = """
What is left of the corpus
{documents}
What a run should read: shares of its {tokens:,} tokens
{mixture}
Held-out bits per byte, mean ± deviation over seeds (target: {target})
{compared}
{verdict}

In {folder}: report.html, settings.yaml (change it, then: gristmill run {folder}/settings.yaml), export/, and tables:
  gristmill sql "select stage, rule, count(*) n from decisions group by all order by n desc" --workspace {folder}
"""


@dataclass(frozen=True)
class Size:
    """How large the demo is. `total_tokens` of the run that the mixture is for: no text is read twice."""

    megabytes: float
    total_tokens: int
    mixtures: int
    seeds: int
    steps: int
    validation_steps: int
    vocabulary: int
    evaluations: int
    heldout_tokens: int


TOKENS = 30_000  # of the run, for each megabyte collected: what rules and dedup leave holds more than that
WHOLE = Size(40.0, 600_000, 20, 3, 100, 160, 4096, 4, 8192)
LEAST_MEGABYTES = 1.0
IN_PROCESS = 16.0  # megabytes up to which everything but mix runs in one process


def size_of(minutes: float, megabytes: float | None) -> Size:
    """What fits into so many minutes on two idle cores; the text is as much as is asked for, where it is."""
    if not 0 < minutes < float("inf"):
        raise RequestError(f"--minutes {minutes}: the demo takes some time; 3 is a good number")
    if megabytes is not None and not LEAST_MEGABYTES <= megabytes < float("inf"):
        raise RequestError(f"--megabytes {megabytes}: the demo needs at least 1 MB of text to learn anything from")
    share = min(1.0, minutes / 12)
    small = share < 0.5
    text = megabytes if megabytes is not None else max(4.0, min(WHOLE.megabytes, 1.5 * minutes))
    return Size(
        text,
        int(min(WHOLE.total_tokens, TOKENS * text)),
        max(8, 4 * round(WHOLE.mixtures * share / 4)),
        2 if small else 3,
        max(32, int(WHOLE.steps * share)),
        max(48, int(WHOLE.validation_steps * share)),
        2048 if small else WHOLE.vocabulary,
        1 if small else WHOLE.evaluations,
        4096 if small else WHOLE.heldout_tokens,
    )


def demo(
    folder: Path, minutes: float, options: RunnerOptions, megabytes: float | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Collect the input, run every stage, print what came of it.

    Returns {stages, timings, validation, verdict, seconds, cpu_seconds}; `timings` has the wall and CPU seconds of each
    step, the latter of all processes that ended by then.
    """
    size = size_of(minutes, megabytes)
    Workspace(str(folder)).create()
    clock = Clock(quiet)
    settings = write_settings(folder, options.workers, size)
    compiling = None if (folder / "decisions" / "dedup").exists() else demo_kernels.begin(folder / "rules.yaml")
    try:
        collected = collect_once(folder / "input", size.megabytes)
        clock.told("input", ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in collected.items()))
        stages = []
        for summary in by_parts(settings, options, size):
            stages.append(summary)
            clock.told(*told(summary, folder))
            if compiling is not None and summary.get("stage") == "dedup":
                compiling.wait()
                compiling = None
    finally:
        if compiling is not None:
            compiling.kill()
            compiling.wait()
    fit = json.loads((folder / "mixture" / "fit.json").read_text(encoding="utf-8"))
    clock.say(page(folder, size, fit))
    return {
        "stages": stages,
        "timings": clock.timings,
        "validation": fit["validation"],
        "verdict": fit["validation"]["verdict"],
        "seconds": round(clock.seconds(), 1),
        "cpu_seconds": round(cpu_seconds(), 1),
    }


def by_parts(settings: RunFile, options: RunnerOptions, size: Size) -> Iterator[dict[str, Any]]:
    """Every stage's summary. What Beam spreads of so little text runs in this process: to start worker processes for
    each of its graphs would take longer than their work. The models of mix are worth them."""
    curated = settings.model_copy(update=dict.fromkeys(("mix", "train", "report")) | {"export": ()})
    if size.megabytes <= IN_PROCESS:
        yield from run(curated, replace(options, workers=1), quiet=True)
        done = len(curated.sections())
        yield from islice(run(settings, options, quiet=True), done, None)
    else:
        yield from run(settings, options, quiet=True)


def cpu_seconds() -> float:
    """Of this process and of all its children that have ended."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


class Clock:
    """Says what happened, and when."""

    def __init__(self, quiet: bool) -> None:
        self.began, self.quiet = time.monotonic(), quiet
        self.timings: list[dict[str, Any]] = []

    def seconds(self) -> float:
        return time.monotonic() - self.began

    def told(self, name: str, result: str) -> None:
        at = {"seconds": round(self.seconds(), 1), "cpu_seconds": round(cpu_seconds(), 1)}
        self.timings.append({"step": name, **at})
        self.say(f"{at['seconds']:4.0f} s  {name}: {result}")

    def say(self, text: str) -> None:
        if not self.quiet:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()


def page(folder: Path, size: Size, fit: dict[str, Any]) -> str:
    """What the demo ends with: the corpus, the mixture, what models reach on each, and where to look."""
    compared = comparison(pq.read_table(folder / "mixture" / "validation.parquet"), fit["target"])
    with open_catalog(Workspace(str(folder))) as connection:
        documents, mixture = (as_table(connection.sql(query).to_arrow_table()) for query in (DOCUMENTS, MIXTURE))
    return PAGE.format(
        documents=uncounted(documents),
        mixture=uncounted(mixture),
        compared=uncounted(as_table(compared)),
        verdict=fit["validation"]["verdict"],
        target=" + ".join(f"{share:g} {name}" for name, share in fit["target"].items() if share),
        tokens=size.total_tokens,
        folder=folder,
    ).rstrip("\n")


def uncounted(table: str) -> str:
    """A printed table without the line that counts its rows."""
    return table[: table.rindex("(")]


def collect_once(folder: Path, megabytes: float) -> dict[str, int]:
    """The input's bytes per domain; collected only where it is not there already, at this size."""
    marker = folder / COLLECTED
    if marker.exists():
        told = json.loads(marker.read_text(encoding="utf-8"))
        if told["megabytes"] == megabytes:
            return told["bytes"]
    sizes = collect(folder, megabytes)
    with replacing(str(marker)) as scratch, open(scratch, "w", encoding="utf-8") as file:
        json.dump({"megabytes": megabytes, "bytes": sizes}, file)
    return sizes


def told(summary: dict[str, Any], folder: Path) -> tuple[str, str]:
    """(the name of a stage, its result in a line)."""
    if "bits_per_byte" in summary:  # the card of a run
        reached = ", ".join(f"{domain} {value:.3f}" for domain, value in summary["bits_per_byte"].items())
        steps = f"{summary['steps']} steps, {summary['tokens']:,} tokens"
        return "train", f"{steps} on the mixture handed over; held-out bits per byte {reached}"
    name = summary.get("stage", "report")
    if name == "mix":
        fit = json.loads((folder / "mixture" / "fit.json").read_text(encoding="utf-8"))
        return name, f"{fit['runs']} proxies; handed over: {fit['chosen']}"
    if name == "report":
        return name, f"{folder}/report.html"
    counts: dict[str, int] = {}
    for table in summary.get("tables", {}).values():
        for key in ("in", "kept", "dropped", "failed", "train_tokens", "heldout_tokens"):
            if key in table:
                counts[key] = counts.get(key, 0) + table[key] if key.endswith("tokens") else table[key]
    said = ", ".join(f"{value:,} {key.replace('_', ' ')}" for key, value in counts.items() if value or key != "failed")
    return name, (said or "done") + (" (up to date)" if summary.get("skipped") else "")


def write_settings(folder: Path, workers: int, size: Size = WHOLE) -> RunFile:
    """Write `settings.yaml` into the workspace, for a reader to change, and load it as any settings file is loaded."""
    data = resources.files(__package__ or "")
    (folder / "rules.yaml").write_text(data.joinpath("demo_rules.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    path = folder / "settings.yaml"
    template = Template(data.joinpath("demo.yaml").read_text(encoding="utf-8"))
    numbers = {name: value for name, value in asdict(size).items() if name != "megabytes"}
    path.write_text(template.substitute(workspace=folder, workers=workers, **numbers), encoding="utf-8")
    return load_settings(path)


def comparison(rows: pa.Table, target: dict[str, float]) -> pa.Table:
    """One row per mixture: bits per byte on the target and on every domain, as mean ± deviation over seeds."""
    last = max(rows["step"].to_pylist())
    runs = [row for row in rows.to_pylist() if row["step"] == last]
    table = []
    for mixture in dict.fromkeys(row["mixture"] for row in runs):
        losses = [row["losses"] for row in runs if row["mixture"] == mixture]
        on_target = [sum(weight * found[name] for name, weight in target.items()) for found in losses]
        cells = {"target": spread(on_target)} | {n: spread([found[n] for found in losses]) for n in sorted(losses[0])}
        table.append({"mixture": mixture, "seeds": len(losses), **cells})
    return pa.Table.from_pylist(table)


def spread(values: Sequence[float]) -> str:
    """`1.234 ± 0.007`: mean and sample standard deviation."""
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"
