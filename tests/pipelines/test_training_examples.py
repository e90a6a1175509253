"""The settings files of training under examples/: each runs as it stands, on a small workspace."""

import json
from pathlib import Path

import pytest

from gristmill.corpus.store.workspace import Workspace
from gristmill.mixing.recipe import RecipePhase, make_recipe, save_recipe
from gristmill.pipelines.cli import main
from gristmill.pipelines.engine.run import run, run_model
from gristmill.training.data.shards import domains, open_tokens

from .small_crawl import prose

EXAMPLES = Path(__file__).parents[2] / "examples"
DOMAINS = {"law": "ships", "maths": "clocks"}
SMALL = ["--workspace", "W", "--tokens", "8192", "--batch-tokens", "256"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A workspace W with tokens behind their hosts, two recipes, a task, and a finished run over both domains."""
    made = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        for domain, subject in DOMAINS.items():
            rows = [json.dumps({"text": prose(subject, n), "url": f"https://{domain}.example/{n}"}) for n in range(60)]
            Path(f"{domain}.jsonl").write_text("\n".join(rows) + "\n")
        inputs = [{"paths": [f"{domain}.jsonl"], "source": "made", "domain": domain} for domain in DOMAINS]
        settings = {"workspace": "W", "extract": {"inputs": inputs},
                    "tokenize": {"vocab_size": 400, "heldout": 0.2, "metadata": "host"}}  # fmt: skip
        list(run(run_model().model_validate(settings), quiet=True))
        Path("targets").mkdir()
        Path("targets/arc_easy.jsonl").write_text(json.dumps({"query": "a", "choices": ["b", "c"], "gold": 1}) + "\n")
        write_recipe("W/mixture/recipe.yaml", {"law": 0.9, "maths": 0.1})
        write_recipe("W/before/recipe.yaml", {"law": 0.2, "maths": 0.8})
        for name in ("before", "teacher"):
            gristmill("train", "W/before/recipe.yaml", *SMALL, "--model", "1x16x2", "--name", name)
    return made


def gristmill(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--json"])
    assert ended.value.code == 0


def write_recipe(path: str, shares: dict[str, float]) -> None:
    workspace = Workspace("W")
    pool = {name: open_tokens(workspace, name) for name in domains(workspace)}
    told = {
        name: {
            "tokens_available": found.tokens,
            "mean_tokens_per_document": found.tokens / found.documents,
            "bytes_per_token": found.bytes / found.tokens,
        }
        for name, found in pool.items()
    }
    Path(path).parent.mkdir(exist_ok=True)
    recipe = make_recipe(total_tokens=8192, domains=told, phases=[RecipePhase(until=1.0, seq_len=64, shares=shares)])
    save_recipe(recipe, path)


def card(name: str) -> dict:
    return json.loads(Path(f"W/runs/{name}/run_card.json").read_text())


def requested(name: str) -> list[float]:
    """The share of law in each phase."""
    return [round(row["requested"], 6) for row in card(name)["plan"] if row["domain"] == "law"]


def test_going_on_replays_the_old_mixture_and_repeats_a_part_of_the_new_domain(folder, monkeypatch):
    monkeypatch.chdir(folder)
    gristmill("train", *SMALL, "--settings", str(EXAMPLES / "continual.yaml"))
    made = card("continual")
    assert requested("continual") == [round(0.75 * 0.9 + 0.25 * 0.2, 6)]
    assert {row["domain"]: row["passes"] > 2 * row["epochs"] for row in made["plan"]} == {"law": True, "maths": False}
    assert made["model"] == card("before")["model"]
    assert made["loss"] < card("before")["loss"]
    rates = [json.loads(line)["lr"] for line in Path("W/runs/continual/metrics.jsonl").read_text().splitlines()]
    assert rates[0] > rates[1] > rates[-1]


def test_conditioning_upsampling_and_lengths_are_one_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    gristmill("train", *SMALL, "--model", "1x16x2", "--settings", str(EXAMPLES / "meco.yaml"))
    assert requested("meco") == [0.9, 0.5, 0.5]
    assert card("meco")["targets"].keys() == {"arc_easy"}


def test_a_teacher_labels_what_is_hard_yet_learnable(folder, monkeypatch):
    monkeypatch.chdir(folder)
    gristmill("score", "perplexity", "--workspace", "W", "--model", "early=W/runs/teacher", "--tokenizer",
              "W/tokenizer/tokenizer.json", "--details")  # fmt: skip
    gristmill("train", *SMALL, "--model", "1x32x2", "--settings", str(EXAMPLES / "salt.yaml"))
    first, rest = [row for row in card("salt")["plan"] if row["domain"] == "law"]
    assert first["passes"] > 3 * first["epochs"]
    assert rest["passes"] < 1.5 * rest["epochs"]
    assert len(list(Path("W/runs/salt/teacher").glob("*.safetensors"))) == round(0.2 * 32)


def test_branches_of_each_domain_are_averaged_or_used_together(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for domain in DOMAINS:
        write_recipe(f"W/{domain}/recipe.yaml", {domain: 1.0})
        gristmill("train", f"W/{domain}/recipe.yaml", *SMALL, "--branch", "W/runs/before", "--name", domain)
    branches = [f"W/runs/{domain}" for domain in DOMAINS]
    gristmill("checkpoints", "average", *branches, "--output", "W/merged")
    capsys.readouterr()
    measured = {}
    for name, folders in (("curve", branches[:1]), ("merged", ["W/merged"]), ("together", [*branches, "--ensemble"])):
        gristmill("checkpoints", "measure", *folders, "--workspace", "W", "--target", "targets/arc_easy.jsonl")
        measured[name] = json.loads(capsys.readouterr().out)
    assert [row["step"] for row in measured["curve"]] == [0, 32]
    law, (merged,), (together,) = measured["curve"][-1], measured["merged"], measured["together"]
    assert law["bits_per_byte"] == pytest.approx(card("law")["bits_per_byte"])
    assert together["bits_per_byte"]["maths"] < merged["bits_per_byte"]["maths"] < law["bits_per_byte"]["maths"]
    assert merged["targets"].keys() == {"arc_easy"}
    gristmill("train", "W/law/recipe.yaml", *SMALL, "--branch", "W/merged", "--name", "further")
    assert card("further")["model"] == card("before")["model"]


@pytest.mark.slow
def test_a_run_writes_samples_and_its_checkpoints_write_the_same_afterwards(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    samples = {"prompts": ["the ", ""], "tokens": 5, "seed": 3}
    made = {"recipe": "W/before/recipe.yaml", "name": "writing", "tokens": 4096, "batch_tokens": 256,
            "model": "1x16x2", "samples": samples, "loop": {"checkpoint_every": 8, "evaluate_every": 8}}  # fmt: skip
    list(run(run_model().model_validate({"workspace": "W", "train": made}), quiet=True))
    written = Path("W/runs/writing/samples.jsonl")
    before = written.read_bytes()
    assert [json.loads(line)["step"] for line in before.splitlines()] == [8, 8, 16, 16]
    asked = ["--prompt", "the ", "--prompt", "", "--tokens", "5", "--seed", "3"]
    capsys.readouterr()
    gristmill("checkpoints", "sample", "W/runs/writing", *asked, "--keep")
    rows = json.loads(capsys.readouterr().out)
    assert [row["text"] for row in rows] == [json.loads(line)["text"] for line in before.splitlines()]
    assert written.read_bytes() == before
