"""Damage to the tables of every stage that the registry has is found by `audit` and refused by whoever reads."""

from pathlib import Path

import pytest

from gristmill.corpus.store.errors import WorkspaceError
from gristmill.corpus.store.shards import filesystem
from gristmill.corpus.store.soundness import demand_sound
from gristmill.pipelines.audit import audit
from gristmill.pipelines.audit_shards import damaged_shards
from gristmill.pipelines.engine.registry import records

from .test_damage import cut, double, flip, foreign, lose, swap
from .test_rebuild import Road

ELSEWHERE = {"mix", "ladder", "train", "report", "export", "write"}  # tests of their own rooms


@pytest.mark.slow
def test_every_kind_of_damage_to_a_table_of_any_stage_is_found_and_refused(tmp_path: Path, chat_server, tiny_model):
    (tmp_path / "road").mkdir()
    road = Road(tmp_path / "road", chat_server, tiny_model)
    space = road.extracted("space")
    road.run(space)
    held = space.commits()
    tables = {name: table for commit in held.values() for name, table in commit.tables.items() if table.shards}
    expected = [
        (record.name, name) for record in records().values() if record.name not in ELSEWHERE for name in record.writes
    ]
    made = {stage for stage, name in expected if any(table == name or table.startswith(name) for table in tables)}
    assert made == {stage for stage, _ in expected}
    assert audit(space)["findings"] == []
    every = [Path(space.table(name).file_url(shard)) for name, table in tables.items() for shard in table.shards]
    tried = 0
    for name, table in tables.items():
        place = Path(space.table(name).file_url(table.shards[0]))
        true = place.read_bytes()
        for damage in (lose, cut, swap, foreign, double, flip):
            damage(place, every)
            if not place.exists() or place.read_bytes() != true:
                tried += 1
                assert [where for _, where, _ in damaged_shards(space, held)] == [f"{name}/{table.shards[0].name}"]
                with pytest.raises(WorkspaceError, match="which a commit lists"):
                    demand_sound(*filesystem(str(place)))
            place.write_bytes(true)
    assert tried >= 5 * len(tables)
