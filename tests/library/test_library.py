"""`import gristmill as gm`: commands as methods, and the pieces without a workspace."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gristmill as gm
from gristmill.calls import of_field
from gristmill.corpus.store.workspace import Workspace as Held
from gristmill.dedup.settings import DedupSettings
from gristmill.pipelines.commands.stage_command import stage_options
from gristmill.pipelines.engine.registry import record_of
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.dedup.stage import deduplicate

PROSE = (
    "The mill stands by the river {n}, and the {n}th miller grinds the corn of the whole valley with it.\n"
    "In spring the water of year {n} is high, so that the wheel turns day and night; in summer it rests.\n"
)
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {heavy!r}:
            raise ModuleNotFoundError("No module named " + name, name=name)
sys.meta_path.insert(0, Blocked())
{program}
"""
MODELS = (
    "torch",
    "tokenizers",
    "safetensors",
    "lightgbm",
    "sklearn",
    "joblib",
    "threadpoolctl",
    "transformers",
    "fasttext",
)


def without(heavy, program: str):
    """Run a program in a process that cannot import these libraries."""
    code = BLOCKED.format(heavy=tuple(heavy), program=program)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def corpus(path: Path, rows: int = 12) -> list[dict]:
    made = [{"id": f"r{n}", "text": PROSE.format(n=n % 9) * 4, "quality": n} for n in range(rows)]
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return made


def test_importing_the_library_loads_nothing_heavy():
    done = without(
        ("torch", "apache_beam", "pyarrow", "numpy", "pydantic", "duckdb"), "import gristmill; gristmill.__version__"
    )
    assert done.returncode == 0, done.stderr


def test_the_pieces_work_without_beam_and_without_torch():
    program = """
import gristmill as gm
page = gm.extract("<html><body><article><p>" + "The mill stands by the river. " * 30 + "</p></article></body></html>")
assert page.language == "en" and "<p>" not in page.text
assert gm.language("Der Müller mahlt das Korn des ganzen Tales.")[0][0] == "de"
table = gm.signals([page.text, "short"], ["gopher@datatrove"])
assert table["gopher@datatrove"].to_pylist()[1]["word_count"] == 1
assert gm.decide(table, "gopher")["kept"].to_pylist()[1] is False
assert gm.duplicates([page.text, page.text])["survivor"].to_pylist() == [True, False]
assert gm.pii("to a.b@example.org") == [(3, 18, "email")]
"""
    done = without((*MODELS, "apache_beam"), program)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_commands_of_curation_work_without_torch_and_the_others_say_what_to_install(tmp_path: Path):
    corpus(tmp_path / "a.jsonl")
    program = f"""
from gristmill.pipelines.cli import main
for line in ("extract {tmp_path}/a.jsonl -w {tmp_path}/w", "filter -w {tmp_path}/w --rules gopher",
             "dedup -w {tmp_path}/w", "write {tmp_path}/out -w {tmp_path}/w", "audit -w {tmp_path}/w"):
    try:
        main(line.split())
    except SystemExit as done:
        assert not done.code, line
main(["tokenize", "-w", "{tmp_path}/w"])
"""
    done = without(MODELS, program)
    assert done.returncode == 2
    assert "it comes with: pip install 'gristmill[train]'" in done.stderr
    assert list((tmp_path / "out").glob("*.parquet")) or "write: " in done.stdout


def test_methods_are_the_commands_and_results_what_they_print(tmp_path: Path):
    rows = corpus(tmp_path / "a.jsonl")
    ws = gm.Workspace(tmp_path / "w", quiet=True)
    first = ws.extract(tmp_path / "a.jsonl", domain="mills", sandbox=False)
    assert first.tables["documents"]["kept"] == len(rows)
    assert "documents: " in repr(first)
    last = first.filter(rules="gopher").dedup(threshold=0.7)
    assert last.tables["decisions/dedup"]["in"] <= len(rows)
    assert ws.dedup(threshold=0.7).skipped
    assert ws.sql("select count(*) from documents where extra.quality >= 6").fetchall() == [(6,)]
    assert ws.audit()["findings"] == []
    assert {"extract", "filter", "mix", "mix_ladder", "write"} <= set(dir(ws))
    assert "rules" in str(ws.filter.__signature__)
    with pytest.raises(gm.RequestError, match="did you mean threshold"):
        ws.dedup(treshold=0.7)
    with pytest.raises(AttributeError, match="did you mean dedup"):
        ws.dedupe()


def test_documents_come_in_the_form_that_is_asked_for(tmp_path: Path):
    rows = corpus(tmp_path / "a.jsonl", 6)
    ws = gm.Workspace(tmp_path / "w", quiet=True)
    ws.extract([tmp_path / "a.jsonl"], sandbox=False, language_model=None)
    documents = ws.documents()
    assert len(documents) == 6
    assert documents.to_arrow()["extra"].to_pylist() == [{"id": row["id"], "quality": row["quality"]} for row in rows]
    assert documents.dataset().count_rows() == sum(batch.num_rows for batch in documents.reader()) == 6
    assert [row["text"] for row in documents] == [row["text"] for row in rows]
    documents.to_parquet(tmp_path / "kept")
    assert pq.read_table(next((tmp_path / "kept").glob("*.parquet")))["quality"].to_pylist() == list(range(6))
    torch = pytest.importorskip("torch")
    loader = torch.utils.data.DataLoader(documents.to_torch(), batch_size=None)
    assert [row["id"] for row in loader] == documents.to_arrow()["id"].to_pylist()
    assert documents.to_pandas()["text"].tolist() == [row["text"] for row in rows]
    pytest.importorskip("datasets")
    assert documents.to_hf()[:]["extra"] == documents.to_arrow()["extra"].to_pylist()


@pytest.mark.parametrize(
    ("stage", "given", "meant"),
    [
        ("extract", {"language_model": "none"}, {"language_model": None}),
        ("extract", {"language_model": "gristmill"}, {"language_model": "gristmill"}),
        ("select", {"share": "1/8"}, {"share": 0.125}),
        ("select", {"share": 0.25}, {"share": 0.25}),
        ("mix", {"target": "books"}, {"target": ["books"]}),
        ("mix", {"target": {"books": 1.0}}, {"target": {"books": 1.0}}),
    ],
)
def test_a_text_means_what_it_means_on_the_command_line(stage, given, meant):
    options = stage_options(record_of(stage).load("settings"))
    ((name, value),) = given.items()
    assert of_field([*options], name, value) == meant


def test_duplicates_in_memory_are_those_of_the_stage(tmp_path: Path):
    texts = [" ".join(f"word{(n * 7 + k) % 97 if k % 40 else n % 5}" for k in range(120 - n % 3)) for n in range(40)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in [*texts, texts[3], ""]))
    ws = gm.Workspace(tmp_path / "w", quiet=True)
    ws.extract(tmp_path / "a.jsonl", sandbox=False, language_model=None)
    deduplicate(Held(ws.url), DedupSettings(threshold=0.6), RunnerOptions(), quiet=True)
    documents = ws.documents(until=()).to_arrow()
    found = gm.duplicates(documents, threshold=0.6)
    stage = {row["id"]: row for batch in ws.held.table("duplicates").read() for row in batch.to_pylist()}
    assert any(row["cluster_size"] > 2 for row in stage.values())
    for row in found.to_pylist():
        told = stage.get(row["id"])
        if told is None:
            assert row["cluster_size"] == 1
        else:
            assert all(
                row[name] == told[name] for name in ("cluster", "cluster_size", "survivor", "duplicate_of", "method")
            )
            assert row["jaccard"] == pytest.approx(told["jaccard"])


def test_tables_of_any_maker_are_taken_and_columns_that_lack_are_named():
    for table in (["a b"], {"text": ["a b"]}, pa.table({"text": ["a b"]}), [{"text": "a b"}]):
        assert gm.signals(table, "gopher@paper")["gopher@paper"].to_pylist()[0]["word_count"] == 2
    with pytest.raises(gm.RequestError, match="no column text"):
        gm.signals(pa.table({"body": ["a"]}), ["gopher@paper"])
    with pytest.raises(gm.RequestError, match="did you mean gopher@paper"):
        gm.signals(["a"], ["gopher@papr"])


def test_a_mixture_is_fitted_from_tables():
    shares = [(0.1, 0.9), (0.3, 0.7), (0.5, 0.5), (0.7, 0.3), (0.9, 0.1), (0.2, 0.8), (0.6, 0.4), (0.4, 0.6)]
    mixtures = pa.table({"index": list(range(8)), "a": [a for a, _ in shares], "b": [b for _, b in shares]})
    losses = pa.table({"index": list(range(8)), "t": [3 - a + 0.01 * (n % 2) for n, (a, _) in enumerate(shares)]})
    told = gm.fit_mixture(mixtures, losses, regressors=["linear"])
    assert told["proposal"]["shares"]["a"] > 0.5


def test_files_are_deduplicated_and_filtered_without_a_workspace(tmp_path: Path):
    from typer.testing import CliRunner

    from gristmill.pipelines.cli import app

    rows = corpus(tmp_path / "a.jsonl", 20)

    def run(*words: str) -> dict:
        done = CliRunner().invoke(app, [*words, "--json"], obj={"beam": []}, catch_exceptions=False)
        return json.loads(done.stdout.splitlines()[-1])

    told = run(
        "dedup-files", str(tmp_path / "a.jsonl"), "--output", str(tmp_path / "out"), "--format", "jsonl", "--no-minhash"
    )
    (found,) = [path.read_text() for path in (tmp_path / "out").glob("*.jsonl")]
    assert (told["in"], told["kept"], told["dropped"]) == (20, 9, 11)
    assert set(found.splitlines()) <= {json.dumps(row) for row in rows}
    (tmp_path / "r.yaml").write_text(
        "name: r\nabout: r\nrules: [{rule: low, value: extra.quality, threshold: 5, keep: value >= threshold}]\n"
    )
    told = run(
        "filter-files", str(tmp_path / "a.jsonl"), "--output", str(tmp_path / "f"), "--rules", str(tmp_path / "r.yaml")
    )
    assert (told["kept"], told["reasons"]) == (15, {"low": 5})
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".gristmill")]
