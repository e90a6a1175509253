"""The demo: a real corpus from the running environment, the whole road, and what came of it in three tables.

Reports what was measured. Where the fitted mixture does not win on the target, the last line says so.
"""

import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..corpus.store.catalog import open_catalog
from ..corpus.store.errors import RequestError
from ..corpus.store.shards import replacing
from ..corpus.store.workspace import Workspace
from .demo_input import collect
from .engine.run import RunFile, load_settings, run
from .engine.runner import RunnerOptions
from .printing import as_table

COLLECTED = "collected.json"

FUNNEL = """
select stage, domain, sum(documents) filter (fate = 'kept')::bigint as kept,
       coalesce(sum(documents) filter (fate = 'dropped'), 0)::bigint as dropped,
       round(sum(bytes) filter (fate = 'kept') / 1e6, 2) as kept_MB,
       coalesce(arg_max(rule, documents) filter (fate = 'dropped'), '') as main_reason
from funnel group by step, stage, domain order by step, domain
"""
MIXTURE = """
select domain, mixture, round(share, 4) as share, tokens, round(epochs, 3) as epochs
from mixture where mixture in ('natural', 'uniform', 'fitted')
order by domain, case mixture when 'natural' then 0 when 'uniform' then 1 else 2 end
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


TOKENS = 30_000  # of the run, for each megabyte collected: what rules and dedup leave holds more than that
WHOLE = Size(40.0, 600_000, 20, 3, 100, 160)


def size_of(minutes: float, megabytes: float | None) -> Size:
    """What fits into so many minutes on two idle cores; the text is as much as is asked for, where it is."""
    if minutes <= 0:
        raise RequestError(f"--minutes {minutes}: the demo takes some time; 3 is a good number")
    share = min(1.0, minutes / 12)
    text = megabytes if megabytes is not None else max(4.0, min(WHOLE.megabytes, 1.5 * minutes))
    return Size(
        text,
        int(min(WHOLE.total_tokens, TOKENS * text)),
        max(8, 4 * round(WHOLE.mixtures * share / 4)),
        3 if share >= 0.5 else 2,
        max(40, int(WHOLE.steps * share)),
        max(60, int(WHOLE.validation_steps * share)),
    )


def demo(
    folder: Path, minutes: float, options: RunnerOptions, megabytes: float | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Collect the input, run every stage, print the tables. Returns {stages, validation, verdict, seconds}."""
    size = size_of(minutes, megabytes)
    megabytes = size.megabytes
    if megabytes < 1:
        raise RequestError(f"--megabytes {megabytes}: the demo needs at least 1 MB of text to learn anything from")
    began = time.monotonic()
    Workspace(str(folder)).create()
    collected = collect_once(folder / "input", megabytes)
    say(quiet, f"input: {', '.join(f'{name} {size / 1e6:.1f} MB' for name, size in collected.items())}")
    settings = write_settings(folder, options.workers, size)
    stages = []
    for summary in run(settings, options, quiet=True):
        stages.append(summary)
        say(quiet, f"{time.monotonic() - began:4.0f} s  {told(summary)}")
    workspace = Workspace(settings.workspace)
    fit = json.loads((folder / "mixture" / "fit.json").read_text(encoding="utf-8"))
    validation = fit["validation"]
    compared = comparison(pq.read_table(folder / "mixture" / "validation.parquet"), fit["target"])
    with open_catalog(workspace) as connection:
        for title, query in (("Funnel", FUNNEL), ("Mixture", MIXTURE)):
            say(quiet, f"\n{title}\n{as_table(connection.sql(query).to_arrow_table())}")
    say(quiet, f"Held-out bits per byte, mean ± standard deviation over seeds\n{as_table(compared)}")
    say(quiet, validation["verdict"])
    say(
        quiet, f'\nNext: open {folder}/report.html, or ask: gristmill sql "from decisions limit 5" --workspace {folder}'
    )
    seconds = round(time.monotonic() - began, 1)
    return {"stages": stages, "validation": validation, "verdict": validation["verdict"], "seconds": seconds}


def say(quiet: bool, text: str) -> None:
    if not quiet:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


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


def told(summary: dict[str, Any]) -> str:
    """A line on a stage as it ends: its name, and what it counted."""
    name = summary.get("stage", "report")
    if summary.get("skipped"):
        return f"{name}: up to date"
    counts: dict[str, int] = {}
    for table in summary.get("tables", {}).values():
        for key in ("in", "kept", "dropped", "tokens", "steps"):
            if key in table:
                counts[key] = counts.get(key, 0) + table[key] if key == "tokens" else table[key]
    return f"{name}: " + (", ".join(f"{key} {value:,}" for key, value in counts.items()) or "done")


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
    """`1.2345 ± 0.0067`: mean and sample standard deviation."""
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"
