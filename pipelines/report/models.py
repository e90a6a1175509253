"""The report's sections on models: the mixture, how well proxies predicted it, what was measured, how training went.

Reads the files of `mixture/` (the compared mixtures, the swarm, its fit, the validation runs) and the metrics of every
run. The verdict is the one that the search recorded: where the fitted mixture did not win, the page says so.
"""

import json
import os
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from ...corpus.store.errors import WorkspaceError
from ...corpus.store.shards import filesystem
from .charts import dots, legend, lines, scatter, thinned
from .curation import ReportSource, Section, not_run
from .text import Html, bits, count, escape, figure, number, paragraph, percent, short, table

SHARED = ("natural", "uniform", "fitted")  # the mixtures whose shares are drawn
ORDER = ("natural", "uniform", "fitted", "best of swarm")  # the order in which mixtures are told; others by name
DOMAINS = 24  # domains in one chart; the table beside it has more
RUNS = 8  # training runs in one chart
PANELS = 12  # small charts of predictions


def read_parquet(source: ReportSource, name: str) -> list[dict[str, Any]]:
    """Rows of a Parquet file of the finished mixture table, none where it is not there."""
    fs, path = filesystem(source.workspace.path("mixture", name))
    if not source.has("mixture") or not fs.exists(path):
        return []
    with fs.open(path, "rb") as file:
        return pq.read_table(pa.PythonFile(file, mode="r")).to_pylist()


def read_fit(source: ReportSource) -> dict[str, Any]:
    """What the mix stage says of its fit and of the validation; empty where it has not run."""
    fs, path = filesystem(source.workspace.path("mixture", "fit.json"))
    if not source.has("mixture") or not fs.exists(path):
        return {}
    with fs.open(path, "rb") as file:
        return json.loads(file.read())


def spoken(name: str) -> str:
    """A mixture's name in words."""
    return name.replace("_", " ")


def told_order(names: Iterable[str]) -> list[str]:
    """Mixtures in the order in which they are told; the same mixture has the same colour in every chart."""
    return sorted(set(names), key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def mixture(source: ReportSource) -> Section:
    """Shares of training tokens, natural, uniform and fitted, with the epochs that follow from them."""
    title = "Mixture"
    rows = read_parquet(source, "table.parquet")
    if not rows:
        return not_run("mixture", title, source, "mixture")
    by_name = {(row["mixture"], row["domain"]): row for row in rows}
    fitted = {row["domain"]: row for row in rows if row["mixture"] == "fitted"}
    order = sorted(fitted, key=lambda domain: (-fitted[domain]["share"], domain))
    available = sum(row["tokens_available"] for row in fitted.values())
    told = (
        f"A run of {count(sum(row['tokens'] for row in fitted.values()))} tokens over {len(order)} domains with "
        f"{count(available)} tokens of training text."
    )
    shares = [(domain, {name: [by_name[name, domain]["share"]] for name in SHARED}) for domain in order[:DOMAINS]]
    drawn = dots(shares, SHARED, lambda share: f"{100 * share:.0f} %", "share of training tokens", told, zero=True)
    caption = (
        "Natural: each domain as often as it occurs. Uniform: every domain alike, as far as its text lasts. "
        "Fitted: what the proxies led to."
    )
    if len(order) > DOMAINS:
        caption += f" The {DOMAINS} largest of {len(order)} domains."
    cells = [
        (
            domain,
            count(fitted[domain]["tokens_available"]),
            *(percent(by_name[name, domain]["share"]) for name in SHARED),
            *(f"{by_name[name, domain]['epochs']:.2f}" for name in SHARED),
            count(fitted[domain]["tokens"]),
        )
        for domain in order
    ]
    header = ["domain", "available", *SHARED, *SHARED, "fitted"]
    groups = [("", 1), ("tokens", 1), ("share of training tokens", 3), ("epochs", 3), ("tokens", 1)]
    body = paragraph(told, "lead") + figure(drawn, caption, legend(SHARED)) + table(header, cells, groups=groups)
    return Section("mixture", title, body)


def comparison(source: ReportSource) -> Section:
    """Held-out bits per byte of models trained on each mixture, each seed shown."""
    title = "Mixtures, measured"
    rows, fit = read_parquet(source, "validation.parquet"), read_fit(source)
    if not rows or not fit:
        return not_run("comparison", title, source, "mixture")
    last = max(row["step"] for row in rows)
    final = [row for row in rows if row["step"] == last and row["alive"]]
    names = told_order(spoken(row["mixture"]) for row in final)
    target = fit["target"]
    series: list[tuple[str, dict[str, list[float]]]] = [("target", {name: [] for name in names})]
    series += [(domain, {name: [] for name in names}) for domain in sorted(target)]
    for row in final:
        for label, measured in series:
            combined = sum(weight * row["losses"][domain] for domain, weight in target.items() if weight)
            measured[spoken(row["mixture"])].append(combined if label == "target" else row["losses"][label])
    told = (
        f"Models of one size, trained on {count(final[0]['tokens'])} tokens of each mixture with "
        f"{len(series[0][1][names[0]])} seeds, in bits per byte of held-out text; lower is better. "
        f"Target: {aim(target)}."
    )
    said = fit["validation"]["verdict"]
    body = f'<p class="verdict">{escape(said)}</p>' + paragraph(told, "lead")
    axis = f"bits per byte, difference from the mean of {names[0]}"
    drawn = against(series[: DOMAINS + 1], names[0])
    body += figure(
        dots(drawn, names, lambda gap: f"{gap:+.3f}", axis, f"{axis}. {said}", zero=True),
        "Left is better. Small marks are seeds, large marks their means.",
        legend(names),
    )
    best = {label: min(statistics.fmean(values) for values in measured.values()) for label, measured in series}
    cells = [[label, *(spread(measured[name], best[label]) for name in names)] for label, measured in series]
    body += table(["held-out text", *names], cells, caption="Bits per byte, mean ± standard deviation over seeds")
    return Section("comparison", title, body + foretold(fit))


def on_target(source: ReportSource) -> dict[str, float] | None:
    """Bits per byte of the fitted mixture on the target, and how far above (+) or below (-) natural that is."""
    measured = read_fit(source).get("validation", {}).get("mixtures", {}).get("fitted")
    if measured is None:
        return None
    return {"fitted": measured["bits_per_byte"], "gain": -measured["gain_over_natural"]}


def aim(target: Mapping[str, float]) -> str:
    """The target in words."""
    counted = {name: weight for name, weight in target.items() if weight}
    if len(counted) == 1:
        return f"held-out {next(iter(counted))}"
    if len(set(counted.values())) == 1:
        return f"the mean of {len(counted)} held-out domains"
    return ", ".join(f"{percent(weight)} {name}" for name, weight in sorted(counted.items()))


def foretold(fit: Mapping[str, Any]) -> str:
    """What the fit had predicted for each mixture beside what the validation measured."""
    rows = []
    validated = {spoken(name): row for name, row in fit["validation"]["mixtures"].items()}
    foreseen = {spoken(name): row for name, row in fit["predicted"].items()}
    for name in told_order(validated):
        measured, predicted = validated[name], foreseen.get(name)
        gain, over = measured["gain_over_natural"], measured["gain_spread"]
        rows.append(
            (
                name,
                f"{measured['bits_per_byte']:.4f}",
                f"{gain:+.4f}" + (f" ± {over:.4f}" if over is not None else "") if name != "natural" else "–",
                f"{predicted['predicted']:.4f}" if predicted else "–",
                f"{predicted['low']:.4f} to {predicted['high']:.4f}" if predicted else "–",
            )
        )
    note = (
        "The gain is taken seed by seed. Predictions are for the proxies of the swarm, which saw other amounts of "
        "tokens: compare their order, not their values."
    )
    header = ("mixture", "measured on the target", "gain over natural", "predicted", "90 % interval")
    return table(header, rows, caption="The target, measured and predicted") + paragraph(note, "lead")


def against(
    series: Sequence[tuple[str, Mapping[str, Sequence[float]]]], base: str
) -> list[tuple[str, dict[str, list[float]]]]:
    """The series with the mean of one mixture taken off every value: what is left is what the mixture changed."""
    found = []
    for label, measured in series:
        middle = statistics.fmean(measured[base])
        found.append((label, {name: [value - middle for value in values] for name, values in measured.items()}))
    return found


def spread(values: Sequence[float], best: float) -> Html:
    """Mean ± standard deviation; the lowest mean of a row is set in bold."""
    mean = statistics.fmean(values)
    shown = bits(mean) + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")
    return Html(f"<b>{shown}</b>" if mean == best else shown)


def predictions(source: ReportSource) -> Section:
    """Out-of-fold predictions against the measured losses of the swarm, one small chart a target."""
    title = "Proxies, predicted and measured"
    swarm, fit = read_parquet(source, "swarm.parquet"), read_fit(source)
    if not swarm or "out_of_fold" not in fit:
        return not_run("predictions", title, source, "mixture")
    last = max(row["step"] for row in swarm)
    measured = {f"{row['mixture']}:{row['seed']}": row["losses"] for row in swarm if row["step"] == last}
    runs = fit["out_of_fold"]["runs"]
    charts, rows = [], []
    for target, predicted in sorted(fit["out_of_fold"]["predicted"].items()):
        points = [
            (value, measured[run][target], f"{run}: predicted {bits(value)}, measured {bits(measured[run][target])}")
            for run, value in zip(runs, predicted, strict=True)
        ]
        told = fit["targets"][target]
        quality, trivial = told["cross_validated"]["ensemble"], told["baselines"]
        said = f"{target}: Spearman {quality['spearman']:.3f}"
        if len(charts) < PANELS:
            charts.append(figure(scatter(points, bits, ("predicted", "measured"), f"Bits per byte. {said}"), said))
        members = ", ".join(f"{name} {share:.2f}" for name, share in sorted(told["members"].items()))
        rows.append(
            (
                target,
                members,
                *(f"{quality[name]:.3f}" for name in ("r2", "spearman", "pairwise")),
                f"{quality['rmse']:.4f}",
                *(number(trivial[name]) for name in ("own_weight", "near_natural")),
            )
        )
    whole = (
        f"{len(runs)} proxies, each predicted by fits that had not seen its mixture. Points on the line are exact. "
        f"Bits per byte of held-out text."
    )
    if fit.get("diverged"):
        whole += f" {count(fit['diverged'])} more diverged and were left out."
    header = ("target", "regressors", "R²", "Spearman", "pairs in order", "RMSE", "own share", "near natural")
    body = paragraph(whole, "lead") + f'<div class="small">{"".join(charts)}</div>' + table(header, rows, words=2)
    note = (
        "The last two columns are the Spearman of rules that need no proxy: "
        "rank mixtures by the share of the target's own domain, or by their distance from natural."
    )
    return Section("predictions", title, body + paragraph(note, "lead"))


def training(source: ReportSource) -> Section:
    """Loss and held-out bits per byte along every run of runs/, and the shares that it realised."""
    title = "Training runs"
    runs, cards = metrics(source), run_cards(source)
    if not runs:
        return Section("training", title, missing=f"gristmill train mixture/recipe.yaml --workspace {source.name}")
    shown = list(runs)[:RUNS]
    body = run_table(runs, cards)
    points = {name: [(li["tokens"], li["loss"]) for li in runs[name] if li.get("loss") is not None] for name in shown}
    curves = [(name, thinned(curve)) for name, curve in points.items() if curve]
    if curves:
        chart = lines(curves, (short, number), ("tokens seen", "loss, nats per token"), "Training loss by tokens seen.")
        body += figure(chart, "Training loss.", legend([name for name, _ in curves], "dash"))
    for name in shown:
        held = held_out(runs[name])
        if any(len(curve) > 1 for _, curve in held):
            chart = lines(
                held, (short, bits), ("tokens seen", "bits per byte"), f"Held-out loss of {name}", points=True
            )
            names = [label for label, _ in held]
            body += figure(chart, f"{name}: held-out bits per byte by domain.", legend(names, "dash"))
    return Section("training", title, body + realised(cards))


def run_table(runs: Mapping[str, Sequence[Mapping[str, Any]]], cards: Mapping[str, Mapping[str, Any]]) -> str:
    """A row a run: how far it came, how fast, and with what loss."""
    rows = []
    for name, log in runs.items():
        measured = [line["bits_per_byte"] for line in log if line.get("bits_per_byte")]
        losses = [line["loss"] for line in log if line.get("loss") is not None]
        speeds = [line["tokens_per_second"] for line in log if line.get("tokens_per_second")]
        rows.append(
            (
                name,
                "ended" if name in cards else "not ended",
                short(cards[name]["parameters"]) if name in cards else "–",
                count(log[-1]["step"]),
                short(log[-1]["tokens"]),
                short(statistics.median(speeds)) if speeds else "–",
                number(losses[-1] if losses else None),
                bits(statistics.fmean(measured[-1].values())) if measured else "–",
            )
        )
    header = ("run", "state", "parameters", "steps", "tokens", "tokens/s", "last loss", "bits per byte")
    return table(header, rows, words=2)


def realised(cards: Mapping[str, Mapping[str, Any]]) -> str:
    """Per run and domain: the share that was asked for, the share that was trained on, and the held-out result."""
    rows = []
    for name, card in cards.items():
        phases: dict[int, int] = defaultdict(int)
        asked: dict[str, float] = defaultdict(float)
        for part in card["plan"]:  # one entry a phase and domain
            phases[part["phase"]] += part["tokens"]
        for part in card["plan"]:
            asked[part["domain"]] += part["requested"] * phases[part["phase"]]
        total = sum(asked.values())
        for domain, got in sorted(card["realised"].items()):
            measured = card["bits_per_byte"].get(domain)
            rows.append(
                (
                    name,
                    domain,
                    percent(asked[domain], total),
                    percent(got["share"]),
                    count(got["tokens"]),
                    f"{got['epochs']:.2f}",
                    bits(measured) if measured is not None else "–",
                )
            )
    if not rows:
        return ""
    header = ("run", "domain", "share asked", "share realised", "tokens", "epochs", "held-out bits per byte")
    return "<h3>What ended runs were trained on</h3>" + table(header, rows, words=2)


def files_of_runs(fs: Any, path: str, name: str) -> list[str]:
    """The file of this name in each run's folder; no pattern, because a workspace's name may look like one."""
    folders = sorted(str(entry["name"]) for entry in fs.ls(path, detail=True) if entry["type"] == "directory")
    return [f"{folder}/{name}" for folder in folders if fs.exists(f"{folder}/{name}")]


def run_cards(source: ReportSource) -> dict[str, dict[str, Any]]:
    """run -> the card that it left when it ended."""
    fs, path = filesystem(source.workspace.path("runs"))
    cards = {}
    for file_path in files_of_runs(fs, path, "run_card.json") if fs.exists(path) else ():
        with fs.open(file_path, "rb") as file:
            cards[os.path.basename(os.path.dirname(file_path))] = json.loads(file.read())
    return cards


def held_out(log: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[tuple[float, float]]]]:
    """Curves of bits per byte by domain, the first `RUNS` domains by name."""
    curves: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for line in log:
        for domain, value in (line.get("bits_per_byte") or {}).items():
            curves[domain].append((line["tokens"], value))
    return [(name, curves[name]) for name in sorted(curves)[:RUNS]]


def metrics(source: ReportSource) -> dict[str, list[dict[str, Any]]]:
    """run -> its metrics in order of steps, a step that was logged twice (before a kill and after it) once."""
    runs = {}
    for run, lines_of in logs(source, "metrics.jsonl").items():
        steps: dict[int, dict[str, Any]] = {}
        for entry in lines_of:
            steps[entry["step"]] = {**steps.get(entry["step"], {}), **entry}
        runs[run] = [steps[step] for step in sorted(steps)]
    return runs


def samples(source: ReportSource) -> dict[str, list[dict[str, Any]]]:
    """run -> what it wrote at its measurings, in the order in which it did."""
    return logs(source, "samples.jsonl")


def logs(source: ReportSource, name: str) -> dict[str, list[dict[str, Any]]]:
    """run -> the lines of a log in its folder, of runs where it has any; each is of a step."""
    fs, path = filesystem(source.workspace.path("runs"))
    found: dict[str, list[dict[str, Any]]] = {}
    for file_path in files_of_runs(fs, path, name) if fs.exists(path) else ():
        with fs.open(file_path, "rb") as file:
            content = cast(bytes, file.read())
        whole, _, _ = content.rpartition(b"\n")  # a last line without its end is one that a kill cut short
        told: list[dict[str, Any]] = []
        for place, line in enumerate(whole.split(b"\n"), 1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                told.append({**entry, "step": int(entry["step"])})
            except (ValueError, KeyError, TypeError) as error:
                raise WorkspaceError(f"{file_path}, line {place} is not a line of {name}: {error!r}") from error
        if told:
            found[os.path.basename(os.path.dirname(file_path))] = told
    return found
