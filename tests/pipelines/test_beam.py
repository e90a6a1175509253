"""What is ours in Beam's graphs: steps that it inspects quickly, and options that it parses once."""

import pickle

from apache_beam.options.pipeline_options import DebugOptions, DirectOptions
from apache_beam.transforms.userstate import get_dofn_specs, is_stateful_dofn

from gristmill.pipelines.engine.beam import ParsedOptions
from gristmill.pipelines.engine.step import Step


def test_a_view_of_options_is_parsed_once_and_shares_what_is_set():
    options = ParsedOptions(["--direct_num_workers=3"])
    view = options.view_as(DirectOptions)
    assert view.direct_num_workers == 3
    assert options.view_as(DirectOptions) is view
    view.direct_num_workers = 5
    assert options.get_all_options()["direct_num_workers"] == 5
    assert view.view_as(DirectOptions).direct_num_workers == 5
    assert options.view_as(DebugOptions) is not view
    assert ParsedOptions([]).view_as(DirectOptions).direct_num_workers == 1


def test_options_travel_with_what_was_set():
    options = ParsedOptions(["--direct_num_workers=3"])
    options.view_as(DirectOptions).direct_num_workers = 5
    there = pickle.loads(pickle.dumps(options))
    assert there.view_as(DirectOptions).direct_num_workers == 5


def test_beam_looks_at_what_a_step_does_and_at_nothing_else():
    step = Step(lambda element: iter([element]))
    assert dir(step) == ["process"]
    assert get_dofn_specs(step) == (set(), set())
    assert not is_stateful_dofn(step)
