"""The prepared runs for a GPU: they go on where they ended, and a part that fails or takes too long keeps its lines."""

import json

import pytest

from benchmarks import gpu, gpu_floors
from benchmarks.gpu_twins import cases

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
