"""The ten questions of the explorer's page, each answered in the browser by as many clicks as the page says, four at
most. Every one begins at the funnel, as `gristmill explore` opens it."""

import re
from pathlib import Path

import pytest

from gristmill.pipelines.explorer.compare import compare
from gristmill.pipelines.explorer.compare_page import write_comparison

from .chromium import text, until
from .conftest import small_workspace
from .test_browser import asked

pytestmark = pytest.mark.slow
MOST = 4
PAGE = Path(__file__).parents[3] / "docs" / "explorer.md"


class Person:
    """Somebody who clicks, and counts it. A field is clicked before it is typed into, a list opened before a choice."""

    def __init__(self, driver, base: str) -> None:
        self.driver, self.clicks = driver, 0
        driver.get(base + "funnel")

    def tab(self, name: str) -> "Person":
        return self.click(f"//nav//a[text()='{name}']")

    def click(self, path: str) -> "Person":
        self.clicks += 1
        self.driver.find_element("xpath", path).click()
        return self

    def type(self, path: str, words: str) -> "Person":
        self.click(path)
        field = self.driver.find_element("xpath", path)
        field.clear()
        field.send_keys(words)
        return self

    def choose(self, name: str, value: str) -> "Person":
        self.clicks += 1
        return self.click(f"//main//select[@name='{name}']/option[@value='{value}']")

    def sees(self, pattern: str) -> re.Match[str]:
        until(self.driver, lambda one: re.search(pattern, text(one)))
        found = re.search(pattern, text(self.driver))
        assert found
        return found


@pytest.fixture
def person(served, driver):
    driver.set_window_size(1200, 1000)
    return Person(driver, served[1])


def said_on_the_page(question: str) -> int:
    """The number of clicks that the page of the docs names for a question."""
    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| {question}")]
    return int(re.findall(r"\((\d)\)", row)[-1])


def test_why_is_this_page_gone(served, person):
    rule = asked(served[0], "select rule from decisions join documents using (id) where url like '%/27'")
    person.tab("Documents").type("//input[@name='where']", "url like '%/27'").click("//button[text()='Find']")
    person.sees(rf"dropped filter: {rule} \S+, threshold")
    assert person.clicks == said_on_the_page("Why is this page gone?") <= MOST


def test_what_would_another_threshold_cost(served, person):
    fall = asked(served[0], "select count(*) from decisions join signals using (id) where (kept or stage = 'dedup') "
                            'and "gopher@paper".word_count < 80')  # fmt: skip
    person.tab("Signals").click("//a[text()='min_words']").type("//form[@class='slider']//input[@type='number']", "80")
    person.sees(rf"fall {fall} ")
    person.sees(r"pass every rule then \d+")
    assert person.clicks == said_on_the_page("What would `min_words: 80` cost?") <= MOST


def test_which_hosts_lose_most(served, person):
    most = asked(served[0], "select count(*) as n from decisions join documents using (id) where not kept "
                            "group by host order by n desc, host limit 1")  # fmt: skip
    person.choose("by", "host").click("//button[text()='Show']")
    person.sees(rf"h\d\.example \d+ \d+ {most} ")
    assert person.clicks == said_on_the_page("Which hosts lose most?") <= MOST


def test_are_these_two_really_the_same(person):
    person.tab("Duplicates").click("//main//table//a[starts-with(@href, 'cluster/')]")
    person.click("//a[text()='beside the survivor']").sees(r"Jaccard \d\.\d+: \d+ of \d+ different")
    assert person.clicks == said_on_the_page("Are these two really the same?") <= MOST


def test_what_fell_only_because_of_this_rule(served, person):
    person.click("(//a[contains(@href, 'alone=1')])[1]").sees(r"fails: \S+ × alone: 1")
    assert person.clicks == said_on_the_page("What fell only because of this rule?") <= MOST


def test_what_is_in_german_and_was_kept(served, person):
    kept = asked(served[0], "select count(*) from decisions join documents using (id) where kept and language = 'de'")
    person.tab("Documents").click("//aside//a[text()='kept']").click("//aside//a[text()='de']")
    person.sees(rf"\b{kept} documents")
    assert person.clicks == said_on_the_page("What is in German and was kept?") <= MOST


def test_what_did_the_line_rules_cut_here(person):
    person.tab("Documents").click("//aside//a[text()='kept']").click("(//article//h3/a)[1]")
    cut = person.driver.find_element("css selector", "pre mark.cut")
    assert "dedup: lines" in cut.get_attribute("title")
    assert person.clicks == said_on_the_page("What did the C4 line rules cut here?") <= MOST


def test_which_loss_falls_when_a_share_rises(person):
    person.tab("Mixture").choose("domain", "books").click("//button[text()='Show']")
    person.sees(r"books -[01]\.\d+ \S+ to \S+ falls")
    assert person.clicks == said_on_the_page("Which domain's loss falls when maths rises?") <= MOST


def test_which_candidate_won_and_by_how_much(person):
    person.tab("Mixture").sees(r"The fitted mixture wins")
    person.sees(r"fitted 1\.5050 \+1\.0000")
    assert person.clicks == said_on_the_page("Which of the candidates won, and by how much?") <= MOST


def test_what_changed_since_last_month(served, driver, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    told = compare(served[0], small_workspace(tmp_path))
    write_comparison(told, str(tmp_path / "changes.html"))
    driver.get(f"file://{tmp_path}/changes.html")
    assert "120" in driver.find_element("css selector", "body").text
    assert said_on_the_page("What changed since last month's crawl?") == 0
