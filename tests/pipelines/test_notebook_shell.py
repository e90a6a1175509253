"""Graphs run inside of IPython and Jupyter as they do elsewhere."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from gristmill.pipelines.engine.beam import beam
from gristmill.pipelines.engine.runner import RunnerOptions, run_graph


@pytest.fixture(params=["there", "found when asked for"])
def shell(request, monkeypatch):
    """What Beam takes for a notebook; IPython has its shell in one of two ways."""
    shell = SimpleNamespace(execution_count=1, config={"IPKernelApp": {}})
    told = ModuleType("IPython")
    if request.param == "there":
        told.get_ipython = lambda: shell  # type: ignore[attr-defined]
    else:
        told.__getattr__ = {"get_ipython": lambda: shell}.__getitem__  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "IPython", told)
    return shell


def test_a_graph_in_a_notebook_keeps_its_labels_and_loads_none_of_beams_interactive_parts(shell):
    before, labels = set(sys.modules), []

    def build(pipeline):
        numbers = pipeline | "numbers" >> beam.Create([1, 2])
        doubled = numbers | "twice" >> beam.Map(lambda number: 2 * number)
        labels.extend(one.producer.full_label for one in (numbers, doubled))

    run_graph(build, RunnerOptions())
    assert [label.partition("/")[0] for label in labels] == ["numbers", "twice"]
    assert not any(name.startswith("apache_beam.runners.interactive") for name in set(sys.modules) - before)


def test_the_shell_is_there_again_once_a_graph_is_over(shell):
    with pytest.raises(ZeroDivisionError):
        run_graph(lambda pipeline: 1 / 0, RunnerOptions())
    assert sys.modules["IPython"].get_ipython() is shell
