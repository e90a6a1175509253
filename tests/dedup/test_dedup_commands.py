"""The commands: every option reaches the stage, and a wrong request exits 2."""

import json
import random

import pytest

from gristmill.pipelines.cli import main

from .conftest import edited, name, prose


def run(capsys, *arguments: str) -> dict:
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--json"])
    assert end.value.code == 0
    return json.loads(capsys.readouterr().out)


def test_dedup_takes_its_settings_from_the_command_line(corpus, capsys):
    rng = random.Random(0)
    text = prose(200, rng)
    rows = [
        {"text": f"{text}\nsame line", "source": "a", "date": 5},
        {"text": f"{edited(text, 0.01, rng)}\nsame line", "source": "a", "date": 3},
        {"text": f"{text}\nsame line", "source": "b", "url": "http://x/1"},
        {"text": f"{prose(90, rng)}\nsame line", "source": "b", "url": "http://x/1#top"},
    ]
    for row in rows:  # a number is a 0 under this preset
        row["text"] = row["text"].translate(str.maketrans("0123456789", "abcdefghij"))
    old, new = corpus(rows[:1], at="old"), corpus(rows, at="new")
    run(capsys, "dedup", "-w", old.url, "--preset", "fineweb", "--exact", "text", "--exact", "url")
    asked = ["dedup", "-w", new.url, "--preset", "fineweb", "--exact", "text", "--exact", "url"]
    summary = run(capsys, *asked, "--scope", "source", "--survivors", "latest", "--lines", "2")
    assert summary["details"]["bands"] == 14
    assert summary["tables"]["decisions/dedup"] == {"in": 4, "kept": 2, "dropped": 2, "failed": 0}
    assert summary["tables"]["edits/dedup"]["edited"] == 2
    kept = {row["id"] for batch in new.table("decisions/dedup").read() for row in batch.to_pylist() if row["kept"]}
    assert name(0) in kept  # the latest of source a
    assert run(capsys, *asked, "--threshold", "0.999")["tables"]["decisions/dedup"]["kept"] == 2
    assert run(capsys, *asked, "--against", old.url)["tables"]["decisions/dedup"]["kept"] == 0
    assert run(capsys, *asked, "--against", old.url)["skipped"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--threshold", "1.5"], "threshold lies between 0 and 1"),
        (["--preset", "slimpijama"], "did you mean slimpajama"),
        (["--lines", "0"], "from 2 documents on"),
    ],
)
def test_a_wrong_request_exits_2(corpus, capsys, options, message):
    workspace = corpus([{"text": "x"}])
    with pytest.raises(SystemExit) as end:
        main(["dedup", "-w", workspace.url, *options])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_semantic_refuses_vectors_that_are_not_there(corpus, capsys):
    workspace = corpus([{"text": "x"}])
    with pytest.raises(SystemExit) as end:
        main(["semantic", "-w", workspace.url, "--table", "document"])
    assert end.value.code == 2
    assert "did you mean documents" in capsys.readouterr().err
