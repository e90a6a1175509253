"""The prepared runs for a GPU: they go on where they ended, and a part that fails or takes too long keeps its lines."""

import json
from pathlib import Path

import pytest

from benchmarks import gpu, gpu_floors
from benchmarks.gpu_twins import cases

from ..loading import module_of

claims = module_of(Path(__file__).parents[2] / "docs" / "claims.py")
gpu_table = claims.gpu_table

CARD = {"device": "a card", "torch": "2"}


def part(*arguments, name="one", seconds=60):
    return gpu.Part("A", name, seconds, arguments)


def test_the_page_states_the_floors_that_the_code_gives():
    assert gpu_floors.main(["--check"]) == 0


def test_the_kernels_move_what_there_is_to_move_and_the_step_less_than_by_torchs_operations():
    plain, kernels = (gpu_floors.fleet_step(8, own) for own in (False, True))
    assert kernels.total < 0.55 * plain.total
    assert plain.calls["lerp_"] == kernels.calls["kernel of AdamW"]  # one for each weight
    assert kernels.calls["_log_softmax"] == 0


def test_a_part_that_is_done_is_not_run_again_on_the_same_device(tmp_path):
    results = gpu.Results(tmp_path, CARD)
    assert gpu.perform(part("platform"), results, False) == "done"
    again = gpu.Results(tmp_path, CARD)
    assert again.done(part("platform"))
    assert not again.done(part("platform", name="another"))
    assert not gpu.Results(tmp_path, CARD | {"device": "another card"}).done(part("platform"))


@pytest.mark.parametrize(
    ("arguments", "seconds", "end"),
    [(("no_such_module_at_all",), 60, "failed (1)"), (("timeit", "-n", "1000000000000", "pass"), 0, "limit")],
)
def test_a_part_that_fails_or_takes_too_long_is_told_and_runs_again(tmp_path, arguments, seconds, end):
    results = gpu.Results(tmp_path, CARD)
    assert gpu.perform(part(*arguments, seconds=seconds), results, False) == end
    assert json.loads((tmp_path / "gpu.json").read_text())["parts"][0]["end"] == end
    assert not gpu.Results(tmp_path, CARD).done(part(*arguments))


def test_rows_and_words_are_kept_apart_and_both_stand_in_the_page():
    assert gpu.as_row('{"a": 1}') == {"a": 1}
    assert gpu.as_row("{not json") is None
    told = {"run": "A", "name": "one", "end": "done", "machine": CARD, "rows": [{"rate": 7}], "said": ["met"]}
    page = gpu.markdown([told])
    assert "| rate |" in page
    assert "| 7 |" in page
    assert "> met" in page


def test_runs_are_of_the_minutes_that_they_say_and_every_part_has_a_script():
    for run, minutes in (("A", 8), ("B", 8), ("C", 6)):
        assert sum(one.seconds for one in gpu.PARTS if one.run == run) <= 60 * minutes
    for one in gpu.PARTS:
        assert (gpu.RESULTS.parent / f"{one.arguments[0].split('.')[1]}.py").exists()


def test_the_twins_name_every_optimiser_schedule_and_engine_path():
    names = " ".join(cases("cpu"))
    for wanted in ("stacked", "graphed", "compiled", "resumed", "rolled back", "document mask", "z-loss", "reweighting",
                   "soft labels", "muon", "lion", "sophia", "infinite", "power", "wsd", "details", "embeddings",
                   "transformers"):  # fmt: skip
        assert wanted in names


def made_up(name, *rows, device="a card", end="done"):
    return {"run": "A", "name": name, "end": end, "machine": {"device": device, "torch": "2"}, "rows": list(rows)}


def loop(who, rate, mfu, model="150m", length=2048):
    told = {"who": who, "model": model, "T": length, "compiled": True, "tokens_per_second": rate}
    return told | {"tflops": mfu * 989, "mfu": mfu, "peak_gib": 12.0}


FLEET = {"fleet": "regmix", "how": "stacked", "models": 64, "times_one_after_another": 9.0, "MiB_a_model": 30}
PARTS = [
    made_up("fleets", FLEET | {"tokens_per_second": 9_000_000}, device="an older card"),
    made_up("twins", {"twin": "a", "equal": True}, {"twin": "b", "equal": False}, {"twin": "c", "left_out": "why"}),
    made_up("fleets", FLEET | {"tokens_per_second": 9_000_000},
            FLEET | {"tokens_per_second": 12_000_000, "models": 128},
            FLEET | {"how": "one after another, eager", "tokens_per_second": 99_000_000}),
    made_up("loop", {"product_tflops": 800.0}, loop("gristmill", 500_000, 0.44), loop("minimal", 400_000, 0.35),
            loop("gristmill", 600_000, 0.5, gpu_table.D12), loop("nanochat's habits", 500_000, 0.42, gpu_table.D12),
            end="limit"),
    made_up("scoring", {"who": "plain loop", "tokens_per_second": 1_000_000, "largest difference": 0.0},
            {"who": "gristmill", "tokens_per_second": 2_500_000, "largest difference": 0.0}),
    made_up("toys", FLEET | {"tokens_per_second": 1}, device="a CPU"),
]  # fmt: skip


def test_figures_of_a_device_stand_in_both_pages_beside_their_goals(tmp_path):
    path = tmp_path / "gpu.json"
    path.write_text(json.dumps({"parts": PARTS}))
    parts = gpu_table.parts_of(path)
    assert {figure.about.split(",")[0]: figure.met for figure in gpu_table.figures(parts)} == {
        "paths beside their twins on the CPU": False, "fleet of 128 models": True, "training loop": True,
        "scoring by a pair of 150M models": True,
    }  # fmt: skip
    page = gpu_table.page(parts)
    assert "1 of 2 agree | all, missed" in page
    assert "12.00 M tokens/s, 9.0 times one after another | 10 M tokens/s, 8 times, met" in page
    assert "44.0% MFU, 54.4% of a large product, 1.25 times a minimal loop | 45 % MFU, missed" in page
    assert "1.20 times nanochat's habits | 1.1 times nanochat's habits, met" in page
    assert "Ended before all was measured: loop." in page
    assert gpu_table.NONE not in page
    readme = claims.page(path)
    assert "On a GPU: a card, torch 2; see [its page](docs/gpu.md)." in readme
    assert readme.count("| GPU: ") == 3
    assert len(readme.splitlines()) <= 150


@pytest.mark.parametrize("parts", [None, [], [PARTS[-1]], [made_up("twins")]])
def test_without_a_device_both_pages_say_so_in_a_sentence(tmp_path, parts):
    path = tmp_path / "gpu.json"
    if parts is not None:
        path.write_text(json.dumps({"parts": parts}))
    found = gpu_table.parts_of(path)
    assert f"{gpu_table.NONE} `make gpu` measures.\n" in gpu_table.page(found)
    readme = claims.page(path)
    assert gpu_table.NONE in readme
    assert "| GPU: " not in readme


def test_the_pages_have_the_figures_that_there_are():
    assert gpu_table.page(gpu_table.parts_of()) == gpu_table.PAGE.read_text()
    assert claims.installing() == claims.INSTALL.read_text()
