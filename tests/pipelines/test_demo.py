"""The demo sizes itself, says each result as it lands, and compiles ahead only what it uses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.pipelines import demo, demo_kernels
from gristmill.pipelines.demo import Clock, size_of, told, uncounted, write_settings
from gristmill.pipelines.printing import as_table


@given(st.floats(0.01, 100), st.one_of(st.none(), st.floats(1, 1000)))
def test_any_size_makes_settings_that_hold_and_more_minutes_never_make_less(tmp_path_factory, minutes, megabytes):
    size, larger = size_of(minutes, megabytes), size_of(2 * minutes, megabytes)
    assert all(one <= other for one, other in zip(vars(size).values(), vars(larger).values(), strict=True))
    assert size.megabytes == megabytes or megabytes is None
    assert size.total_tokens <= demo.TOKENS * size.megabytes
    settings = write_settings(tmp_path_factory.mktemp("d"), 2, size)
    assert settings.sections().keys() == {"extract", "filter", "dedup", "tokenize", "mix", "train", "export", "report"}


@pytest.mark.parametrize(
    ("minutes", "megabytes", "message"),
    [(0.0, None, "--minutes"), (-1.0, 4.0, "--minutes"), (float("nan"), None, "--minutes"), (3.0, 0.5, "at least 1 MB"),
     (3.0, float("nan"), "at least 1 MB"), (3.0, float("inf"), "at least 1 MB"), (float("inf"), 4.0, "--minutes")],
)  # fmt: skip
def test_a_size_that_is_none_is_refused_before_anything_is_collected(minutes, megabytes, message):
    with pytest.raises(RequestError, match=message):
        size_of(minutes, megabytes)


def test_the_parts_of_the_demo_are_all_of_its_stages_once(monkeypatch, tmp_path):
    asked = []

    def run(settings, options, quiet):
        for name in settings.sections():
            asked.append((name, options.workers))
            yield {"stage": name}

    monkeypatch.setattr(demo, "run", run)
    for megabytes, workers in ((4.0, 1), (100.0, 2)):
        asked.clear()
        size = size_of(3, megabytes)
        settings = write_settings(tmp_path, 2, size)
        found = [one["stage"] for one in demo.by_parts(settings, demo.RunnerOptions(workers=2), size)]
        assert found == list(settings.sections())
        assert asked[0] == ("extract", workers)
        assert ("mix", 2) in asked


def test_each_result_is_said_with_its_time(capsys, tmp_path):
    clock = Clock(quiet=False)
    summary = {"stage": "dedup", "tables": {"decisions/dedup": {"in": 1200, "kept": 1100, "dropped": 100, "failed": 0}}}
    clock.told(*told(summary, tmp_path))
    assert capsys.readouterr().out.endswith("s  dedup: 1,200 in, 1,100 kept, 100 dropped\n")
    card = {"bits_per_byte": {"a": 2.5}, "steps": 3, "tokens": 12288}
    assert told(card, tmp_path)[1].endswith("held-out bits per byte a 2.500")
    assert clock.timings[0]["step"] == "dedup"
    assert uncounted(as_table(demo.pa.table({"a": [1]}))).endswith("1\n")


def test_what_is_compiled_ahead_goes_through_filter_and_dedup(tmp_path):
    write_settings(tmp_path, 1)
    counts = demo_kernels.compile_ahead(str(tmp_path / "rules.yaml"))
    assert counts["in"] == 16
    assert counts["dropped"] == 4


@pytest.mark.slow
def test_the_demo_of_four_megabytes_ends_with_a_page_and_a_verdict(tmp_path: Path):
    command = [sys.executable, "-m", "gristmill.pipelines.cli", "demo", "--workspace", str(tmp_path / "d")]
    done = subprocess.run([*command, "--megabytes", "4", "--minutes", "1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.strip().split("  ")[1].split(":")[0] for line in lines if " s  " in line[:8]][:5] == [
        "input", "extract", "filter", "dedup", "tokenize",
    ]  # fmt: skip
    assert len(lines) < 60
    assert max(map(len, lines)) < 400
    assert "Held-out bits per byte" in done.stdout
    again = subprocess.run([*command, "--megabytes", "4", "--minutes", "1", "--json"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["verdict"] in done.stdout
