"""The examples of `examples/library/`, run: each with its own library, which continuous integration must have."""

import importlib.util
import os
from pathlib import Path

import pyarrow as pa
import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "library"
GOOD = """The mill at the bend of the river was built in the spring of a wet year, and nobody who lives there now knows
by whom. Its wheel is made of oak; it turns slowly while the water is low, and it sings when the snow melts.
Farmers bring their corn on carts before dawn, drink a cup of something hot, and wait for the flour with their hands in
their pockets. On Sundays the stones are lifted, cleaned and dressed again with a hammer, which takes two people most of
an afternoon. The miller keeps bees behind the barn. He sells honey to travellers, but he never says what it costs until
they have tasted it."""


def example(name: str, library: str):
    """The example as a module. Where its library is missing it is skipped on a desk, and fails where CI is set."""
    if importlib.util.find_spec(library) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{library} is not installed: pip install gristmill[examples]")
        pytest.skip(f"{library} is not installed")
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rows_are_judged_inside_datasets_map(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    module = example("datasets_map", "datasets")
    rows = module.datasets.Dataset.from_dict({"text": [GOOD, "too short"], "id": [1, 2]})
    assert [row["rule"] for row in rows.map(module.judge, batched=True)][1] == "min_words"
    (kept,) = module.curate(rows)
    assert (kept["id"], kept["language"], kept["pii"]) == (1, "en", 0)


def test_rules_are_a_step_of_datatrove():
    module = example("datatrove_step", "datatrove")
    step = module.Rules("gopher", batch=2)
    documents = (module.Document(text=text, id=str(n)) for n, text in enumerate([GOOD, "too short", GOOD]))
    assert [document.id for document in step.run(documents)] == ["0", "2"]


def test_batches_of_ray_get_signals():
    module = example("ray_batches", "ray")
    found = module.signals(pa.table({"text": [GOOD, "too short"]}))
    assert found["kept"].to_pylist() == [True, False]
    assert found["gopher@paper"].to_pylist()[1]["word_count"] == 2


def test_columns_of_spark_are_judged():
    module = example("spark_udf", "pyspark")
    texts = module.pd.Series([GOOD, "der Müller mahlt das Korn des ganzen Tales"])
    assert module.gopher_keeps(texts).tolist() == [True, False]
    assert module.languages(texts).tolist() == ["en", "de"]
