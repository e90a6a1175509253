"""What is run again after a removal follows from the records of the stages, those of plug-ins among them."""

from gristmill.pipelines.engine.record import StageRecord
from gristmill.pipelines.engine.registry import records
from gristmill.pipelines.engine.replay import _of, replays

NOT_REBUILT = {"extract", "mix", "ladder", "train", "export", "report", "write"}


def test_every_stage_that_makes_something_from_documents_is_run_again_in_run_order():
    assert {one.name for one in replays()} == set(records()) - NOT_REBUILT
    order = [name for name in records() if name not in NOT_REBUILT]
    assert list(dict.fromkeys(one.name for one in replays())) == order
    decisions = {name for record in records().values() for name in record.writes if name.startswith("decisions/")}
    assert decisions <= {one.table for one in replays()}


def test_a_stage_that_says_nothing_of_it_is_run_again_by_the_call_of_its_decisions():
    record = StageRecord("own", "Own.", "gristmill own", None, None, writes=("numbers", "decisions/own"))
    assert [(one.name, one.table) for one in _of(record)] == [("own", "decisions/own")]
