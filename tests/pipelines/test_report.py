"""The report over workspaces written by hand: nothing, curation only, everything, and hostile text."""

import hashlib
import itertools
import json
import os
import re
from html.parser import HTMLParser

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.store import schema
from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.corpus.store.fate import inputs
from gristmill.corpus.store.made import put_shards, put_table
from gristmill.corpus.store.workspace import Workspace
from gristmill.pipelines.report.charts import thinned, ticks
from gristmill.pipelines.report.page import ReportSettings, describe, render, write_report
from gristmill.pipelines.report.text import escape, excerpt

HOSTILE = (
    "</pre></details><script>fetch('//evil.example')</script><img src=x onerror=alert(1)>"
    "<style>*{display:none}</style><meta http-equiv=refresh content=0> \u202egnp.exe\x00 ${title} $heading <!--"
)
SVG_AND_PAGE = set(
    "html head meta title style body div header h1 p nav ol li a main dl dt dd small section h2 h3 figure figcaption "
    "ul svg g path rect circle line text table caption thead tbody tfoot tr th td span i b code pre details summary "
    "footer".split()
)


def name_of(number: int) -> str:
    return hashlib.md5(str(number).encode()).hexdigest()


def put(
    space: Workspace, table: str, declared: pa.Schema, rows: list[dict], made_from: dict[str, str], after=()
) -> None:
    put_table(space, table, declared, {"s.parquet": rows}, inputs=made_from, after=after)


def finish(space: Workspace, table: str, shards: tuple = (), made_from: dict[str, str] | None = None) -> None:
    put_shards(space, table, shards, inputs=made_from)


def document(number: int, text: str | None = None, **more: object) -> dict:
    origin = {"path": "/somewhere/crawl.warc.gz", "offset": number}
    domain = "law" if number % 3 else "books"
    return {"id": name_of(number), "text": text or f"text number {number}", "source": "s", "domain": domain,
            "origin": origin, **more}  # fmt: skip


def decision(number: int, stage: str, rule: str | None, **more: object) -> dict:
    return {"id": name_of(number), "kept": rule is None, "stage": stage, "rule": rule, **more}


def cuts(number: int) -> list[dict]:
    """Nothing from an even document, two stretches of ten characters by one rule from an odd one."""
    return [{"start": at, "end": at + 10, "rule": "menu_lines"} for at in (0, 20) if number % 2]


def curated(folder, hostile: bool = False) -> Workspace:
    """30 documents: 0-9 fall at the filter, 10-14 are copies of 15, one of them edited; the rest is kept."""
    space = Workspace(str(folder))
    bad = {"text": HOSTILE, "title": HOSTILE, "url": "javascript:alert(1)//" + HOSTILE} if hostile else {}
    put(space, "documents", schema.DOCUMENTS, [{**document(n), **bad} for n in range(30)], {})
    rule = HOSTILE if hostile else "few_stop_words"
    rows = [decision(n, "filter", rule if n < 10 else None, value=0.5, threshold=2.0) for n in range(30)]
    put(space, "decisions/filter", schema.DECISIONS, rows, inputs(space, "filter", before=()))
    edited = [{"id": name_of(n), "text": f"edited number {n}", "removed": cuts(n)} for n in range(16, 30)]
    if not hostile:
        put(space, "edits/filter", schema.EDITS, edited, inputs(space, "filter", before=()))
    rows = [
        decision(n, "dedup", "minhash" if n < 15 else None, value=0.9, duplicate_of=name_of(15) if n < 15 else None)
        for n in range(10, 30)
    ]
    chain = inputs(space, "dedup", before=("filter",))
    put(space, "decisions/dedup", schema.DECISIONS, rows, chain, after=("filter",))
    members = [
        {"id": name_of(n), "cluster": name_of(10), "cluster_size": 6, "survivor": n == 15,
         "duplicate_of": name_of(15) if n < 15 else None, "jaccard": 0.9, "method": "minhash", "scope": "global"}
        for n in range(10, 16)
    ]  # fmt: skip
    put(space, "duplicates", schema.DUPLICATES, members, chain)
    failed = [
        {"origin": {"path": "/x/broken.warc.gz", "offset": n}, "stage": "extract",
         "excerpt": HOSTILE if hostile else "", "error": f"record {n} is truncated: {HOSTILE if hostile else n}"}
        for n in range(3)
    ]  # fmt: skip
    put(space, "failures/extract", schema.FAILURES, failed, {})
    return space


def modelled(space: Workspace, prefix: str = "", verdict: str = "The fitted mixture wins: so it is.") -> Workspace:
    """Adds a mixture of two domains, its swarm and validation, and one run that was killed and resumed."""
    law, books = prefix + "law", prefix + "books"
    shares = {"natural": (0.75, 0.25), "uniform": (0.5, 0.5), "fitted": (0.3, 0.7)}
    compared = [
        {"mixture": name, "domain": domain, "share": share, "tokens": round(share * 2e6), "tokens_available": tokens,
         "epochs": share * 2e6 / tokens}
        for name, pair in shares.items()
        for domain, share, tokens in zip((law, books), pair, (3_000_000, 1_000_000), strict=True)
    ]  # fmt: skip

    def proxy(name: str, seed: int, step: int, losses: tuple[float, float] | None) -> dict:
        measured = dict(zip((law, books), losses or (None, None), strict=True))
        return {"mixture": name, "seed": seed, "step": step, "tokens": step * 1000, "alive": losses is not None,
                "losses": measured}  # fmt: skip

    means = {"natural": 2.5, "uniform": 2.0, "fitted": 1.5}
    validation = [
        proxy(name, seed, step, (mean + seed / 100 + 5 - step, mean + 5 - step))
        for name, mean in means.items()
        for seed in range(3)
        for step in (4, 5)
    ]
    swarm = [proxy(f"m{n}", 0, step, (n + 0.1, 2.0 * n)) for n in range(1, 9) for step in (1, 2)]
    swarm += [proxy("m9", 0, step, None) for step in (1, 2)]
    quality = {"r2": 0.9, "spearman": 0.875, "pairwise": 0.8, "rmse": 0.1}
    told = {"members": {"linear": 1.0}, "cross_validated": {"ensemble": quality},
            "baselines": {"own_weight": None, "near_natural": 0.5}}  # fmt: skip
    fit = {
        "target": {law: 0.5, books: 0.5},
        "targets": {law: told, books: told},
        "diverged": 1,
        "predicted": {name: {"predicted": mean, "low": mean - 1, "high": mean + 1} for name, mean in means.items()},
        "validation": {
            "verdict": verdict,
            "mixtures": {
                name: {"bits_per_byte": mean + 0.005, "gain_over_natural": 2.5 - mean, "gain_spread": 0.25}
                for name, mean in means.items()
            },
        },
        "out_of_fold": {
            "runs": [f"m{n}:0" for n in range(1, 9)],
            "predicted": {law: [float(n) for n in range(1, 9)], books: [2.0 * n for n in range(1, 9)]},
        },
    }
    finish(space, "mixture")  # before its files, because a manifest sweeps what it does not list
    for file, rows in (("table", compared), ("validation", validation), ("swarm", swarm)):
        pq.write_table(pa.Table.from_pylist(rows), space.path("mixture", f"{file}.parquet"))
    with open(space.path("mixture", "fit.json"), "w", encoding="utf-8") as file:
        json.dump(fit, file)
    log = [{"step": n, "tokens": n * 1000, "loss": 8 - n / 10, "lr": 1e-3} for n in (1, 2, 3, 2, 3, 4)]
    log[-1]["bits_per_byte"] = {law: 2.25, books: 2.0}
    run = space.path("runs", prefix + "base")
    os.makedirs(run)
    plan = [
        {"phase": phase, "domain": domain, "requested": share, "tokens": tokens}
        for phase, domain, share, tokens in ((1, law, 0.5, 1510), (1, books, 0.5, 1490), (2, law, 1.0, 1000))
    ]
    got = {
        domain: {"share": tokens / 4000, "tokens": tokens, "epochs": 0.5}
        for domain, tokens in ((law, 2510), (books, 1490))
    }
    card = {"parameters": 1_600_000, "plan": plan, "realised": got, "bits_per_byte": {law: 2.25}}
    with open(f"{run}/run_card.json", "w", encoding="utf-8") as file:
        json.dump(card, file)
    with open(f"{run}/metrics.jsonl", "w", encoding="utf-8") as out:
        out.write("".join(json.dumps(line) + "\n" for line in log) + '{"step": 5, "tok')
    return space


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, the text of each section, open elements checked."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {}
        self.open: list[str] = []
        self.section: str | None = None
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)
        if tag == "section":
            self.section = dict(attrs)["id"]
            self.sections[self.section or ""] = ""

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "section":
            self.section = None

    def handle_data(self, data):
        if self.section is not None:
            self.sections[self.section] += data + " "


def page_of(space: Workspace) -> Page:
    return Page(render(space)[0])


def assert_inert(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag in SVG_AND_PAGE
        assert not [name for name in attributes if name.startswith("on")]
        assert not {"src", "srcset", "action", "formaction", "data", "xlink:href"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")
        if "style" in attributes:
            assert re.fullmatch(r"width:\d+\.\d%", attributes["style"] or "")
    assert page.open == []


def test_the_funnel_counts_documents_and_rules_by_stage_and_domain(tmp_path):
    funnel = page_of(curated(tmp_path / "w")).sections["funnel"]
    assert "30 documents" in funnel
    assert "15 are kept, 50.0 % of the documents" in funnel
    words = " ".join(funnel.split())
    assert "filter few_stop_words 10" in words
    assert "dedup minhash 5" in words
    assert "law 20 14 10" in words  # 0, 3, 6, 9 and 12 are books
    assert "books 10 6 5" in words


def test_text_that_was_cut_is_counted_by_rule(tmp_path):
    words = " ".join(page_of(curated(tmp_path / "w")).sections["funnel"].split())
    assert "filter menu_lines 7 140 filter rewritten 7 0" in words


def test_the_largest_cluster_is_shown_with_its_survivor(tmp_path):
    duplicates = " ".join(page_of(curated(tmp_path / "w")).sections["duplicates"].split())
    assert "1 clusters; 5 documents duplicate another one; the largest cluster has 6 members." in duplicates
    assert name_of(15) in duplicates
    assert "minhash 6 0.9" in duplicates


def test_ten_documents_kept_and_ten_dropped_are_those_of_the_smallest_hashes(tmp_path):
    page = page_of(curated(tmp_path / "w"))

    def drawn(numbers: range) -> set[str]:
        return set(sorted(map(name_of, numbers), key=lambda name: hashlib.md5(name.encode()).hexdigest())[:10])

    shown = set(re.findall(r"id ([0-9a-f]{32}) ", page.sections["samples"]))
    assert shown == drawn(range(15, 30)) | drawn(range(15))
    assert "few_stop_words  0.5, threshold 2" in page.sections["samples"]
    assert f"of {name_of(15)[:8]}, similarity 0.9" in page.sections["samples"]
    assert "edited number" in page.sections["samples"]  # what is kept is shown as the edits left it


def test_failures_are_grouped_by_what_happened_not_by_which_input(tmp_path):
    failures = " ".join(page_of(curated(tmp_path / "w")).sections["failures"].split())
    assert "3 inputs could not be processed" in failures
    assert "extract record … is truncated record 0 is truncated: 0 broken.warc.gz 3" in failures


def test_the_mixture_is_shown_natural_uniform_and_fitted_with_its_epochs(tmp_path):
    page = page_of(modelled(curated(tmp_path / "w")))
    words = " ".join(page.sections["mixture"].split())
    assert "books 1,000,000 25.0 % 50.0 % 70.0 % 0.50 1.00 1.40 1,400,000" in words
    assert "law 3,000,000 75.0 % 50.0 % 30.0 % 0.50 0.33 0.20 600,000" in words


def test_the_comparison_shows_means_and_spread_over_seeds(tmp_path):
    words = " ".join(page_of(modelled(curated(tmp_path / "w"))).sections["comparison"].split())
    assert "trained on 5,000 tokens of each mixture with 3 seeds" in words
    assert "fitted 1.5050 +1.0000 ± 0.2500 1.5000 0.5000 to 2.5000" in words
    assert "target 2.505 ± 0.005 2.005 ± 0.005 1.505 ± 0.005" in words


def test_predictions_are_shown_for_the_proxies_that_lived_beside_rules_that_need_none(tmp_path):
    words = " ".join(page_of(modelled(curated(tmp_path / "w"))).sections["predictions"].split())
    assert "8 proxies, each predicted by fits that had not seen its mixture" in words
    assert "1 more diverged" in words
    assert "m3:0: predicted 3.000, measured 3.100" in words
    assert "law linear 1.00 0.900 0.875 0.800 0.1000 – 0.5" in words


def test_a_line_cut_short_by_a_kill_is_left_out_and_a_repeated_step_counts_once(tmp_path):
    words = " ".join(page_of(modelled(curated(tmp_path / "w"))).sections["training"].split())
    assert "base ended 1.6M 4 4k – 7.6 2.125" in words


def test_an_ended_run_shows_the_shares_asked_for_beside_those_it_was_trained_on(tmp_path):
    words = " ".join(page_of(modelled(curated(tmp_path / "w"))).sections["training"].split())
    assert "base books 37.5 % 37.2 % 1,490 0.50 –" in words
    assert "base law 62.5 % 62.7 % 2,510 0.50 2.250" in words


def test_a_damaged_line_of_metrics_is_an_error_that_names_it(tmp_path):
    space = modelled(curated(tmp_path / "w"))
    with open(space.path("runs", "base", "metrics.jsonl"), "w", encoding="utf-8") as file:
        file.write('{"step": 1, "tokens": 1, "loss": 1}\nnonsense\n')
    with pytest.raises(WorkspaceError, match=r"base/metrics.jsonl, line 2"):
        render(space)


def test_the_verdict_is_the_one_that_the_search_recorded(tmp_path):
    lost = "The fitted mixture does not win: natural is better."
    assert lost in page_of(modelled(curated(tmp_path / "w"), verdict=lost)).sections["comparison"]


def test_sections_of_tables_that_are_not_there_name_the_command_that_writes_them(tmp_path):
    space = Workspace(str(tmp_path / "fresh"))
    space.create()
    page, sections = render(space)
    words = " ".join(Page(page).sections["funnel"].split())
    assert words == "Funnel Not run: gristmill extract --workspace fresh"
    assert {section.key: section.missing for section in sections} == {
        "funnel": "gristmill extract --workspace fresh",
        "duplicates": "gristmill dedup --workspace fresh",
        "mixture": "gristmill mix --workspace fresh",
        "comparison": "gristmill mix --workspace fresh",
        "predictions": "gristmill mix --workspace fresh",
        "training": "gristmill train mixture/recipe.yaml --workspace fresh",
        "samples": "gristmill extract --workspace fresh",
        "failures": "gristmill extract --workspace fresh",
        "tables": "gristmill extract INPUT --workspace fresh",
    }


def test_documents_alone_make_a_funnel_of_one_stage(tmp_path):
    space = Workspace(str(tmp_path / "w"))
    put(space, "documents", schema.DOCUMENTS, [document(n) for n in range(3)], {})
    page = page_of(space)
    assert "3 are kept, 100.0 %" in page.sections["funnel"]
    assert "gristmill filter --workspace w" in page.sections["samples"]


def test_a_stage_that_drops_nearly_everything_is_pointed_at(tmp_path):
    space = Workspace(str(tmp_path / "w"))
    put(space, "documents", schema.DOCUMENTS, [document(n) for n in range(3)], {})
    rows = [decision(n, "filter", "all") for n in range(3)]
    put(space, "decisions/filter", schema.DECISIONS, rows, inputs(space, "filter", before=()))
    assert "filter dropped 100.0 % of what it saw" in page_of(space).sections["funnel"]


def test_hostile_documents_add_no_element_and_no_attribute_to_the_page(tmp_path):
    page = page_of(modelled(curated(tmp_path / "w", hostile=True), prefix="<b onload='x'>"))
    assert_inert(page)
    assert "<script>fetch" in page.sections["samples"]  # it is there, as text
    assert "\u202e" not in render(curated(tmp_path / "v", hostile=True))[0]


def test_the_page_asks_the_network_for_nothing(tmp_path):
    page, _ = render(modelled(curated(tmp_path / "w")))
    assert_inert(Page(page))
    assert "default-src 'none'" in page
    assert "http://" not in page.replace('http-equiv="', "")
    assert "https://" not in page
    assert "url(" not in page
    assert "@import" not in page


def test_equal_workspaces_give_equal_pages_wherever_they_lie(tmp_path):
    pages = [render(modelled(curated(tmp_path / place / "w")))[0] for place in ("a", "b")]
    assert pages[0] == pages[1]
    assert str(tmp_path) not in pages[0]


def test_the_page_is_written_where_it_is_asked_for_and_tells_what_is_missing(tmp_path):
    output = tmp_path / "out" / "page.html"
    told = write_report(curated(tmp_path / "w"), ReportSettings(output=str(output)))
    assert output.stat().st_size == told["bytes"]
    assert told["not_run"] == ["mixture", "comparison", "predictions", "training"]
    assert [entry.name for entry in output.parent.iterdir()] == ["page.html"]


def test_figures_of_a_corpus_that_is_no_more_are_said_to_be_that(tmp_path):
    space = curated(tmp_path / "w")
    assert "Not of the corpus as it is now" not in render(space)[0]
    finish(space, "tokens/law", made_from={"documents": "another"})
    told = write_report(space, ReportSettings())
    assert told["stale"] == ["tokens/law"]
    assert "tokens/law" in describe(told)
    changed = "decisions/dedup, decisions/filter, documents, edits/filter"
    said = f"Not of the corpus as it is now: tokens/law: made before {changed} changed; run gristmill law."
    assert said in render(space)[0]


def test_a_workspace_on_another_file_system_gives_the_same_page(tmp_path):
    local = modelled(curated(tmp_path / "w"))
    memory = fsspec.filesystem("memory")
    memory.put(local.url, "/test_report/w", recursive=True)
    try:
        assert render(Workspace("memory://test_report/w"))[0] == render(local)[0]
    finally:
        memory.rm("/test_report", recursive=True)


def test_an_output_that_cannot_be_written_is_refused_and_nothing_is_left_there(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(RequestError, match=r"--output .*out cannot be written"):
        write_report(curated(tmp_path / "w"), ReportSettings(output=str(tmp_path / "out")))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "w"]


def test_a_workspace_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(RequestError, match="does not exist"):
        write_report(Workspace(str(tmp_path / "nowhere")), ReportSettings())


@given(st.text())
def test_escaped_text_reads_back_as_itself_but_for_what_cannot_be_seen(content):
    seen = Page(f'<section id="s"><p title="{escape(content)}">{escape(content)}</p></section>')
    assert [tag for tag, _ in seen.elements] == ["section", "p"]
    expected = re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", "\ufffd", content)
    shown = seen.elements[1][1]["title"] or ""
    kept = [(a, b) for a, b in zip(shown, expected, strict=True) if b != "\ufffd" and a != "\ufffd"]
    assert all(a == b for a, b in kept)


def test_a_cut_never_leaves_half_an_entity():
    assert excerpt("&" * 10, most=4) == '&amp;&amp;&amp;&amp;<span class="more"> … 6 more characters</span>'


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 8))
def test_ticks_are_even_and_within_the_range(low, span, about):
    found = ticks(low, low + span, about)
    assert 1 <= len(found) <= 2 * about + 1
    assert all(low - 1e-6 * span <= at <= low + span + 1e-6 * span for at in found)
    gaps = [(b - a) / span for a, b in itertools.pairwise(found)]
    assert max(gaps, default=0) - min(gaps, default=0) < 2e-6


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=400), st.integers(3, 50))
def test_thinning_keeps_the_ends_and_the_order(values, most):
    curve = [(float(place), value) for place, value in enumerate(values)]
    found = thinned(curve, most)
    assert len(found) <= max(most, min(len(curve), most))
    assert (found[0], found[-1]) == (curve[0], curve[-1])
    assert [x for x, _ in found] == sorted({x for x, _ in found})
