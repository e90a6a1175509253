"""Cards: every figure is a query, every answer is a figure, a setting or missing."""

import json
import re
from pathlib import Path

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.readers.inputs import Input
from gristmill.corpus.store.errors import RequestError
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.cli import main
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.evidence.card import check_card, load_card_settings, make_card, stream_of
from gristmill.pipelines.evidence.figures import evidence
from gristmill.pipelines.evidence.settings import CardSettings, SourceFacts
from gristmill.pipelines.evidence.template import FIELDS, SIZES, schema, size_range
from gristmill.pipelines.evidence.trace import lines, trace
from gristmill.pipelines.stages.extract.stage import ExtractSettings, run_extract
from gristmill.training.data.shards import domains, open_tokens

from .small_evidence import small_evidence


@pytest.fixture(scope="module")
def space(tmp_path_factory) -> Workspace:
    return small_evidence(tmp_path_factory.mktemp("evidence"))


@pytest.fixture(scope="module")
def settings(space: Workspace) -> CardSettings:
    return load_card_settings(str(Path(space.url).parent / "card.yaml"))


@pytest.fixture(scope="module")
def made(space: Workspace, settings: CardSettings) -> dict:
    return make_card(space, settings, stream_of(space, None, "base"), None)


def read(space: Workspace, name: str):
    return json.loads(Path(space.url, name).read_text())


def test_every_figure_is_what_its_sql_gives(space: Workspace, settings: CardSettings, made: dict):
    stream = stream_of(space, None, "base")
    with evidence(space, settings, stream) as connection:
        for figure in read(space, "figures.json"):
            rows = connection.execute(figure["sql"]).fetchall()
            assert json.loads(json.dumps(rows, default=str)) == figure["rows"], figure["name"]
    assert check_card(space, settings, stream, None) == {"figures": len(read(space, "figures.json")), "others": []}


def test_a_figure_that_was_changed_by_hand_is_found(space: Workspace, settings: CardSettings, made: dict):
    told = read(space, "figures.json")
    path = Path(space.url, "figures.json")
    kept = path.read_text()
    told[0]["rows"][0][0] += 1
    path.write_text(json.dumps(told))
    found = check_card(space, settings, stream_of(space, None, "base"), None)
    path.write_text(kept)
    assert found["others"] == ["size"]


def test_sizes_are_the_tokens_that_the_run_drew(space: Workspace, made: dict):
    drawn = stream_of(space, None, "base").drawn
    by_domain = {row[0]: row for row in figure(space, "domains")}
    for name in domains(space):
        assert by_domain[name][4] == pytest.approx(drawn.get(name, 0), abs=1)
        assert by_domain[name][3] == open_tokens(space, name).tokens
    shares = [row[5] for row in by_domain.values()]
    assert sum(shares) == pytest.approx(100, abs=0.01)
    assert by_domain["kitchens"][4] == 0


def figure(space: Workspace, name: str) -> list:
    return next(one["rows"] for one in read(space, "figures.json") if one["name"] == name)


def test_the_summary_answers_every_field_of_the_template(space: Workspace, made: dict):
    told = read(space, "training-content.json")
    jsonschema.validate(told, schema())
    answers = told["answers"]
    assert made["missing"] == []
    assert answers["2.1.used"]["value"] == answers["2.2.1.used"]["value"] == answers["2.3.used"]["value"] == "Yes"
    assert answers["2.6.used"]["value"] == "No"  # the run draws nothing of the source of another kind
    assert [row["site"] for row in answers["2.3.sites"]["value"]] == ["gardens.example"]
    assert answers["1.3.latest"]["value"] == "2024-05-01"
    assert "Ships of the world" in Path(space.url, "training-content.md").read_text()


def test_what_nobody_told_is_missing_and_never_filled_in(space: Workspace):
    made = make_card(space, CardSettings(), stream_of(space, None, "base"), None)
    told = read(space, "training-content.json")
    jsonschema.validate(told, schema())
    missing = {gap["field"]: gap["told_by"] for gap in made["missing"]}
    assert {"1.1.provider", "1.2.names", "1.3.latest", "2.3.names", "3.1.signatory", "3.2.measures"} <= missing.keys()
    assert "clocks, ships" in missing["1.3.latest"]
    assert all(gap["title"] in Path(space.url, "training-content.md").read_text() for gap in made["missing"][:5])


def test_a_source_that_declares_no_kind_leaves_its_questions_open(space: Workspace, settings: CardSettings):
    recipe = str(Path(space.url).parent / "recipe.yaml")
    told = yaml.safe_load(Path(recipe).read_text())
    told["phases"][0]["shares"] = {"gardens": 0.25, "ships": 0.25, "clocks": 0.25, "kitchens": 0.25}
    for domain in told["domains"].values():
        domain.pop("share", None), domain.pop("epochs", None)
    other = Path(space.url).parent / "even.yaml"
    other.write_text(yaml.safe_dump(told))
    sources = {name: facts for name, facts in settings.sources.items() if name != "kitchens"}
    stream = stream_of(space, str(other), None)
    make_card(space, settings.model_copy(update={"sources": sources}), stream, None)
    answers = read(space, "training-content.json")["answers"]
    assert answers["2.1.used"]["value"] == "Yes"
    assert all(
        "kitchens" in answers[field]["missing"] for field in ("2.2.2.used", "2.5.used", "2.6.used", "2.4.services")
    )
    sources["kitchens"] = SourceFacts(section="user", collected_until="2024-01-01")
    make_card(space, settings.model_copy(update={"sources": sources}), stream, None)
    answers = read(space, "training-content.json")["answers"]
    assert answers["2.5.used"]["value"] == "No"
    assert "missing" in answers["2.4.interactions"]


def test_croissant_is_read_without_errors_or_warnings_and_its_rows_are_those_of_the_parquet(
    space: Workspace, settings: CardSettings
):
    import mlcroissant

    make_card(space, settings, None, None)
    dataset = mlcroissant.Dataset(f"{space.url}/croissant.json")
    issues = dataset.metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    table = space.table("documents")
    rows = [row for shard in table.finished("test").shards for row in pq.read_table(table.file_url(shard)).to_pylist()]
    found = {record["documents/id"].decode(): record for record in dataset.records("documents")}
    assert len(found) == len(rows)
    for row in rows:
        record = found[row["id"]]
        for name in ("text", "url", "source", "language", "license"):
            told = record[f"documents/{name}"]
            assert (told.decode() if isinstance(told, bytes) else told) == row[name]
        assert record["documents/origin.offset"] == row["origin"]["offset"]
        assert [part.decode() for part in record["documents/languages.label"]] == [
            one["label"] for one in row["languages"]
        ]


def test_the_front_matter_is_read_by_the_hub(space: Workspace, settings: CardSettings):
    from huggingface_hub import DatasetCard

    make_card(space, settings, None, None)
    card = DatasetCard.load(f"{space.url}/README.md")
    told = card.data.to_dict()
    assert (told["license"], told["language"], told["size_categories"]) == ("cc-by-4.0", ["en"], ["n<1K"])
    files = told["configs"][0]["data_files"][0]["path"]
    assert files
    assert all(Path(space.url, file).exists() for file in files)
    assert re.search(r"\| low \||\| high \|", card.text)


def test_a_recipe_and_a_run_at_once_are_refused(space: Workspace):
    with pytest.raises(RequestError, match="a card is of one"):
        stream_of(space, "recipe.yaml", "base")


@given(st.integers(0, 10**14))
def test_sizes_lie_in_the_ranges_of_the_template(tokens: int):
    assert size_range(tokens) == SIZES[(tokens >= 10**9) + (tokens > 10**13)]


def test_fields_of_the_template_stand_once_and_under_a_question_that_is_asked():
    names = [field.id for field in FIELDS]
    assert len(set(names)) == len(names)
    assert {field.given for field in FIELDS if field.given} - {"2.4.any"} <= set(names)


def test_one_source_of_two_kinds_in_one_call_is_refused(tmp_path: Path):
    from gristmill.pipelines.stages.extract.planned import planned

    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text('{"text": "x"}\n')
    inputs = tuple(
        Input(paths=(str(tmp_path / f"{name}.jsonl"),), source="s", section=kind)
        for name, kind in (("a", "crawl"), ("b", "licensed"))
    )
    with pytest.raises(RequestError, match="declared as crawl and as licensed"):
        planned(Workspace(str(tmp_path / "w")), ExtractSettings(inputs=inputs))


def test_a_document_is_traced_from_its_byte_to_the_steps_that_read_it(space: Workspace, capsys):
    ids = {row["id"]: row for batch in space.table("documents").read() for row in batch.to_pylist()}
    loader = stream_of(space, None, "base").loader
    gardens = loader.names.index("gardens")
    drawn = {step for step in range(loader.steps) if (loader.batch(step).domains == gardens).any()}
    steps = set()
    for id, row in ids.items():
        if row["source"] == "gardens" or (row["source"] == "kitchens" and row["origin"]["path"].endswith("00.txt")):
            told = trace(space, id, [stream_of(space, None, "base")])
            place = told["origin"]
            assert (place["path"], place["offset"]) == (row["origin"]["path"], row["origin"]["offset"])
            fates = {one["stage"]: one["kept"] for one in told["way"]}
            assert bool(told["tokens"]) == bool(fates["dedup"])
            steps |= {one["step"] for one in told["readings"][0]["rows"]}
            assert row["source"] == "gardens" or not told["readings"][0]["rows"]
    assert steps == drawn
    main_of(["trace", next(iter(ids)), "--workspace", space.url])
    assert "run base: read in" in capsys.readouterr().out


def test_a_document_of_a_table_is_traced_to_its_row(tmp_path: Path):
    texts = [f"Grain of mill {number} is ground to flour." for number in range(3)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "mills.parquet")
    space = Workspace(str(tmp_path / "w"))
    inputs = (Input(paths=(str(tmp_path / "mills.parquet"),), source="mills"),)
    run_extract(space, ExtractSettings(inputs=inputs, sandbox=False, language_model=None), RunnerOptions(), quiet=True)
    for batch in space.table("documents").read():
        for row in batch.to_pylist():
            told = trace(space, row["id"])
            assert told["origin"]["offset"] == texts.index(row["text"])
            assert f"mills.parquet, row {told['origin']['offset']} (counted from 0;" in lines(told)[1]


def main_of(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert not left.value.code


def test_an_id_that_no_table_holds_is_refused(space: Workspace):
    with pytest.raises(RequestError, match="no document of"):
        trace(space, "0" * 32)
