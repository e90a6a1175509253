"""The pages of the site: their blocks run as they stand, what they name exists, and the README takes its figures from
what the benchmarks printed."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ..loading import module_of
from ..pipelines.test_named_commands import COMMAND, OPTION, OTHERS, PROSE, made

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


execute, claims, pictures, spelling = (
    module_of(DOCS / f"{name}.py") for name in ("execute", "claims", "pictures", "spelling")
)
# options of other programs that pages name: Beam's runners, Dask, Dolma, our benchmarks
OF_OTHERS = {"--constraint", "--dask_client_address", "--documents", "--experiment", "--help", "--host",
             "--checklist", "--ignore_existing", "--no-dashboard", "--out", "--nthreads", "--nworkers", "--port",
             "--processes", "--profile", "--project", "--region", "--rounds", "--taggers", "--temp_location",
             "--tokenizer_name_or_path", "--version", "--flink_version", "--flink_job_server_jar", "--parallelism",
             "--environment_type", "--environment_config", "--job_endpoint", "--spark_master_url", "--artifacts-dir",
             "--spark_job_server_jar", "--sdk_container_image", "--machine_type", "--max_num_workers", "--experiments",
             "--service_port", "--gpus-per-node"}  # fmt: skip
WRITTEN = [path for path in sorted(DOCS.rglob("*.md")) if "reference" not in path.parts]


@pytest.mark.slow
@pytest.mark.parametrize("page", execute.pages(), ids=lambda page: page.stem)
def test_every_block_of_a_page_runs_and_prints_what_is_shown(page, tmp_path):
    outcomes = execute.run_page(page, tmp_path)
    assert outcomes
    for outcome in outcomes:
        assert outcome.code == 0, f"{outcome.block.body}\n{outcome.said}"
        assert outcome.as_shown, f"{outcome.block.body}\n{outcome.printed}"


def test_there_are_eight_jobs_and_each_is_run():
    (listed,) = re.findall(r"```\{toctree\}.*?\n\n(.*?)```", (DOCS / "jobs" / "index.md").read_text(), re.DOTALL)
    jobs = set(listed.split())
    assert len(jobs) == 8
    assert jobs == {page.stem for page in execute.pages() if page.parent.name == "jobs"}


def test_the_data_and_the_answer_of_a_job_are_at_most_three_commands_apart():
    for page in execute.pages():
        for block in execute.blocks(page):
            if block.kind == "bash" and page.parent.name == "jobs":
                assert len(re.findall(r"^gristmill (?!sql|status|audit|show|list)", block.body, re.MULTILINE)) <= 3, (
                    page
                )


@pytest.mark.parametrize("page", [*WRITTEN, ROOT / "README.md"], ids=lambda page: page.stem)
def test_every_command_and_option_that_a_page_names_exists(page):
    commands = made()
    options = {flag for c in commands.values() for p in c.params for flag in (*p.opts, *p.secondary_opts)}
    known = options | OTHERS | OF_OTHERS
    text = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", page.read_text(encoding="utf-8"), re.DOTALL))
    named = [found.group(1) for found in COMMAND.finditer(text)]
    assert [name for name in named if name not in commands and name not in PROSE] == []
    assert [flag for flag in OPTION.findall(text) if flag not in known] == []


def test_a_page_that_shows_something_else_is_told_apart():
    shown = "stage  n\n-----  -\n...\n(2 rows)\n"
    assert execute.matches(shown, "stage  n   \n-----  -\na      1\nb      2\n(2 rows)\n\n")
    assert not execute.matches(shown, "stage  n\n-----  -\na      1\n(1 row)\n")
    assert not execute.matches("1\n", "2\n")


def test_a_block_that_fails_ends_its_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```bash\necho a; exit 3\n```\n\n```text\na\n```\n\n```python\nprint(1)\n```\n")
    (outcome,) = execute.run_page(page, tmp_path)
    assert (outcome.code, outcome.printed, outcome.as_shown) == (3, "a\n", True)


def test_what_was_printed_is_written_into_the_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```bash\necho b\n```\n\n```text\na\n```\n")
    execute.written(page, execute.run_page(page, tmp_path))
    assert page.read_text() == "```bash\necho b\n```\n\n```text\nb\n```\n"


def test_the_readme_is_one_page_and_takes_its_figures_from_the_results():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert claims.page() == text


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "gristmill mix" in (tmp_path / "reference" / "commands.html").read_text()


LINKED = [*WRITTEN, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
REFERENCE = {"commands", "index", "library", "parts", "rules", "settings", "signals", "tables"}  # written at the build


def heads(page: Path) -> set[str]:
    """Anchors of a page, as GitHub and MyST make them of its headings."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in found}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.stem)
def test_every_link_of_a_page_leads_somewhere(page):
    lost = []
    for target in re.findall(
        r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    ):
        place, _, anchor = target.partition("#")
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        path = page.parent / place if place else page
        if path.parent.name == "reference" and path.stem in REFERENCE:
            continue
        if not path.exists() or (anchor and anchor not in heads(path)):
            lost.append(target)
    assert lost == []


def test_the_pages_of_the_reference_are_those_that_links_may_name():
    text = (DOCS / "reference.py").read_text(encoding="utf-8")
    (listed,) = re.findall(r"toctree\}.*?\n\n(.*?)```", text, re.DOTALL)
    assert {*listed.split(), "index"} == REFERENCE


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.stem)
def test_every_image_has_a_text_that_says_what_it_shows(page):
    text = page.read_text(encoding="utf-8")
    told = re.findall(r"!\[(.*?)\]\(", text, re.DOTALL)
    for block in re.findall(r"^```\{(?:image|figure)\}.*?^```$", text, re.DOTALL | re.MULTILINE):
        told += re.findall(r"^:alt: (.+)$", block, re.MULTILINE) or [""]
    assert all(len(one.split()) >= 5 for one in told), told


def test_the_pictures_are_what_the_code_draws_and_tell_it_in_words():
    for name, drawn in (("house", pictures.house()), ("road", pictures.road())):
        path = pictures.FOLDER / f"{name}.svg"
        assert path.read_text(encoding="utf-8") == drawn, "run docs/pictures.py"
        assert "<title" in drawn
        assert "<desc" in drawn


def test_the_picture_of_the_house_knows_every_room_and_the_road_every_stage_that_its_text_names():
    page = (DOCS / "concepts" / "house-and-road.md").read_text(encoding="utf-8")
    house, road = re.findall(r"^:alt: (.+)$", page, re.MULTILINE)
    assert all(room in house for room in pictures.ROOMS if room != "gristmill")
    stages = pictures.stages()
    assert [
        found for found in re.findall(r"\w+", road.partition(": ")[2].partition(", each")[0]) if found != "and"
    ] == [record.name for record in stages]
    deciding = re.findall(r"\w+", road.rpartition("writes. ")[2].lower())
    assert [word for word in deciding if word not in ("and", "decide")] == [r.name for r in stages if r.decides]


def test_no_word_of_a_page_is_misspelt():
    assert list(spelling.findings()) == []


def test_a_misspelt_word_is_found_and_code_is_left_alone():
    found = spelling.words("A sentense with `tokn`, a [link](docs/pagge.md) and\n```\nbloc\n```\n")
    assert {"sentense", "with", "link"} <= found
    assert not {"tokn", "pagge", "bloc"} & found
    assert spelling.SpellChecker().unknown(found) == {"sentense"}


def test_the_extras_that_the_page_on_installing_names_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    page = (DOCS / "install.md").read_text(encoding="utf-8")
    named = {name for row in re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    for job in (DOCS / "jobs").glob("*.md"):
        named |= set(re.findall(r"'\.\[(\w+)\]'", job.read_text(encoding="utf-8")))
    assert named
    assert named <= set(extras)


def test_each_job_says_what_has_to_be_installed():
    for page in (DOCS / "jobs").glob("*.md"):
        assert page.stem == "index" or "see [Install](../install.md)" in page.read_text(encoding="utf-8"), page
