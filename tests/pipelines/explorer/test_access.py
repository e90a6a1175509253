"""Who may ask the explorer, and that text of a crawl does nothing in its pages."""

from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from gristmill.pipelines.explorer.access import NAMES, new_token
from gristmill.pipelines.explorer.server import Explorer, application

from .conftest import name_of, small_workspace

TOKEN = "a-token-of-the-test"
SCRIPT = "%3Cscript%3Ealert(1)%3C/script%3E"
PAGES = (
    *("funnel", "signals", "documents", "duplicates", "sql", "funnel?by=host", "signals?rule=min_words&t=80"),
    *(f"document/{name_of(1)}", f"document/{name_of(0)}", f"pair/{name_of(1)}/{name_of(5)}"),
    *("documents?facet=%22title%22", "documents?q=mill", f"documents?where={SCRIPT}", f"sql?sql={SCRIPT}"),
    *("sql?sql=select+title,text+from+documents", "signals?signal=%3Cimg+src=x+onerror=alert(1)%3E"),
)


class Tags(HTMLParser):
    """Elements of a page with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def client(small):
    return TestClient(application(small, TOKEN), base_url="http://127.0.0.1:8000")


@pytest.mark.parametrize("path", PAGES)
def test_text_of_a_crawl_becomes_no_element_and_no_attribute_that_acts(client, path):
    answer = client.get(f"/{TOKEN}/{path}")
    tags = Tags()
    tags.feed(answer.text)
    for tag, attributes in tags.found:
        assert tag not in ("iframe", "object", "embed", "img", "style", "template", "portal")
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        for name in ("href", "src", "action", "formaction"):
            assert ":" not in (attributes.get(name) or "").split("?")[0].split("/")[0].replace("data:,", "")
    assert [one.get("src") for tag, one in tags.found if tag == "script"] == ["explorer.js"]


@pytest.mark.parametrize(
    "path", [f"/{TOKEN}/funnel", "/", f"/{TOKEN}/explorer.css", "/favicon.ico", f"/{TOKEN}/nowhere"]
)
def test_every_answer_forbids_what_is_not_the_packages_own(client, path):
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["/", "/funnel", "/other/funnel", f"/{TOKEN}x/funnel", f"//{TOKEN}/funnel", f"/{TOKEN[:-1]}/funnel"]
)
def test_an_address_without_the_token_is_refused(client, path):
    assert client.get(path).status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:8000", "", "localhost.evil:80", "127.0.0.1:x"]
)
def test_another_name_of_this_machine_is_refused(client, host):
    assert client.get(f"/{TOKEN}/funnel", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", [*NAMES, "127.0.0.1:1234", "[::1]:80"])
def test_loopback_is_answered_by_all_of_its_names(client, host):
    assert client.get(f"/{TOKEN}/funnel", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_is_changed_by_other_methods(client, method):
    assert client.request(method, f"/{TOKEN}/funnel").status_code == 405


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": "http://evil.example"}, {"origin": "null"},
     {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "cross-site"}],
)  # fmt: skip
def test_a_file_is_saved_only_from_a_page_of_the_explorer(client, headers):
    answer = client.post(f"/{TOKEN}/save-rules", data={"rule": "min_words", "t": "80", "name": "x"}, headers=headers)
    assert answer.status_code == 403


OWN = {"origin": "http://127.0.0.1:8000"}


def test_a_rule_file_is_saved_once_under_its_name_and_read_by_filter(own_cache, tmp_path):
    from gristmill.filters.rule_sets import load_rules

    space = small_workspace(tmp_path)
    client = TestClient(application(Explorer(space), TOKEN), base_url="http://127.0.0.1:8000")
    form = {"rule": "min_words", "t": "80", "name": "longer"}
    assert "gristmill filter" in client.post(f"/{TOKEN}/save-rules", data=form, headers=OWN).text
    assert load_rules(space.path("rules", "longer.yaml")).rules[0].threshold == 80
    assert client.post(f"/{TOKEN}/save-rules", data=form, headers=OWN).status_code == 409


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".x", "x" * 65, "a b", "x\x00", "é", "..", "C:x"])
def test_a_rule_file_cannot_be_named_out_of_its_folder(client, small, name):
    answer = client.post(f"/{TOKEN}/save-rules", data={"rule": "min_words", "t": "80", "name": name}, headers=OWN)
    assert answer.status_code == 409
    assert not Path(small.workspace.path("rules")).exists()


def test_tokens_differ_and_are_long():
    assert len({new_token() for _ in range(100)}) == 100
    assert all(len(new_token()) >= 20 for _ in range(10))


def test_the_first_address_leads_to_the_funnel(client):
    answer = client.get(f"/{TOKEN}/", follow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["location"] == f"/{TOKEN}/funnel"


def test_a_file_to_keep_has_a_name_that_no_title_can_break(client):
    answer = client.get(f"/{TOKEN}/funnel?export=stages&format=csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="w-stages.csv"'
