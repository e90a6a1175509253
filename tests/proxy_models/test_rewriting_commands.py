"""refine, tag and rewrite from the command line."""

import json

import pytest
import yaml

from gristmill.mixing.recipe import RecipePhase, load_recipe, make_recipe, save_recipe
from gristmill.pipelines.cli import main

PROSE = "The mill stood at the bend of the river for three hundred years before anybody thought of moving it away."


@pytest.fixture
def workspace(make_documents):
    page = "\n".join([*["Home", "World", "Sport", "Travel", "Weather", "Video"], *[PROSE] * 4, "Share on Facebook"])
    return make_documents({"a.parquet": [(f"{i:032x}", page.replace("three", str(100 + i))) for i in range(6)]})


def run(*arguments):
    """The exit code of a command."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code or 0
    return 0


def last_json(capsys):
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


@pytest.mark.parametrize("command", ["refine", "tag", "rewrite"])
def test_help_shows_an_example(command, capsys):
    assert run(command, "--help") == 0
    assert f"Example: gristmill {command} --workspace W" in capsys.readouterr().out


def test_a_dry_run_prints_differences_and_a_run_prints_counts(workspace, capsys):
    assert run("refine", "-w", workspace.url, "--dry-run", 1) == 0
    assert "-Share on Facebook" in capsys.readouterr().out
    assert run("refine", "-w", workspace.url, "--json") == 0
    assert last_json(capsys)["tables"]["decisions/refine"]["edited"] == 6


def test_a_line_model_is_learnt_and_used(workspace, tmp_path, capsys):
    assert run("refine", "-w", workspace.url) == 0
    assert run("refine", "-w", workspace.url, "--learn", tmp_path / "m.npz") == 0
    model = ["--by", "model", "--line-model", tmp_path / "m.npz"]
    assert run("refine", "-w", workspace.url, *model) == 2  # made with other settings
    assert "--force" in capsys.readouterr().err
    assert run("refine", "-w", workspace.url, *model, "--force") == 0


def test_an_endpoint_rewrites_and_the_account_is_printed(workspace, chat_server, tmp_path, capsys):
    chat_server.say = lambda prompt: " ".join(reversed(prompt.split("\n\n", 1)[1].split())).rstrip(".") + "."
    file = tmp_path / "engine.yaml"
    file.write_text(yaml.safe_dump({"kind": "endpoint", "url": chat_server.url, "model": "m", "concurrency": 2}))
    options = ["--engine", file, "--style", "easy", "--style", "hard", "--prompt-price", 1_000_000, "--json"]
    assert run("rewrite", "-w", workspace.url, *options) == 0
    told = last_json(capsys)
    assert told["tables"]["rewrites"]["in"] == 12 == told["tables"]["rewrites"]["requests"]
    assert told["details"]["cost"] == told["tables"]["rewrites"]["prompt_tokens"] > 0


def test_a_recipe_is_set_to_a_ratio(tmp_path, capsys):
    domain = {"tokens_available": 1000, "mean_tokens_per_document": 10, "bytes_per_token": 4}
    phases = [RecipePhase(until=1.0, seq_len=8, shares={"a": 0.9, "a.qa": 0.1})]
    path = str(tmp_path / "recipe.yaml")
    save_recipe(make_recipe(total_tokens=1000, domains={"a": domain, "a.qa": domain}, phases=phases), path)
    assert run("rewrite", "-w", "unused", "--recipe", path, "--ratio", 1) == 0
    assert load_recipe(path).run_shares() == pytest.approx({"a": 0.5, "a.qa": 0.5})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["rewrite"], "--endpoint and --model"),
        (["rewrite", "--endpoint", "http://h/v1"], "--endpoint needs --model"),
        (["rewrite", "--model", "absent-folder"], "not a folder"),
        (["rewrite", "--endpoint", "http://h/v1", "--model", "m", "--style", "mediun"], "did you mean medium"),
        (["rewrite", "--engine", "absent.yaml"], "absent.yaml"),
        (["refine", "--by", "engine"], "--by engine"),
        (["refine", "--by", "ruls"], "--by"),
        (["tag", "--domain", "tpic"], "did you mean topic"),
        (["tag", "--labeller", "topic"], "TAXONOMY=MODEL"),
        (["tag", "--taxonomy", "tone", "--endpoint", "http://h/v1", "--model", "m"], "no taxonomy 'tone'"),
    ],
)
def test_a_wrong_request_ends_with_2_and_says_what_would_be_right(workspace, capsys, arguments, told):
    command, *options = arguments
    assert run(command, "-w", workspace.url, *options) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(("status", "code", "told"), [(401, 2, "refuses model 'm'"), (500, 1, "run again")])
def test_what_the_server_refuses_reaches_the_user_as_a_message(
    workspace, chat_server, tmp_path, capsys, status, code, told
):
    chat_server.behave = lambda prompt, attempt: status
    file = tmp_path / "engine.yaml"
    engine = {"kind": "endpoint", "url": chat_server.url, "model": "m", "retries": 0, "give_up_after": 3}
    file.write_text(yaml.safe_dump(engine))
    assert run("rewrite", "-w", workspace.url, "--engine", file, "--json") == code
    shown = capsys.readouterr().err
    assert told in shown
    assert "Traceback" not in shown
