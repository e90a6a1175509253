"""The explorer in Chromium: every tab by clicks, what it shows against SQL, and hostile documents that do nothing."""

import re
from contextlib import closing
from pathlib import Path

import pytest

from gristmill.corpus.store.catalog import open_catalog
from gristmill.corpus.store.workspace import Workspace

from .chromium import STILL, click, text, until
from .conftest import COUNT, name_of

pytestmark = pytest.mark.slow
TABS = ("Funnel", "Signals", "Documents", "Duplicates", "Mixture", "Runs", "Map", "SQL")


def asked(space: Workspace, sql: str):
    with closing(open_catalog(space)) as connection:
        return connection.execute(sql).fetchone()[0]


def test_a_bar_of_the_funnel_opens_the_documents_behind_it(served, driver):
    space, base = served
    driver.get(base + "funnel")
    click(driver, 'main svg a[href*="fate=dropped"][href*="stage=filter"]')
    expected = asked(space, "select count(*) from decisions where stage = 'filter' and not kept")
    assert f"{expected} documents" in text(driver)


def test_a_facet_and_a_row_lead_to_one_document_with_its_marks(served, driver):
    space, base = served
    driver.get(base + "documents")
    click(driver, 'aside a[href*="domain=web"]')
    expected = asked(space, "select count(*) from documents where domain = 'web'")
    assert f"{expected} documents" in text(driver)
    click(driver, ".row a")
    shown = text(driver)
    assert "Values and thresholds" in shown
    assert "Its way" in shown
    driver.get(base + f"document/{name_of(0)}")
    assert driver.find_element("css selector", "pre mark.personal").text == "me@example.org"


def test_a_threshold_is_moved_and_saved_as_a_rule_file(served, driver):
    space, base = served
    driver.get(base + "signals")
    driver.find_element("link text", "min_words").click()
    number = driver.find_element("css selector", "form.slider input[type=number]")
    number.clear()
    number.send_keys("80")
    expected = asked(
        space,
        "select count(*) from \"decisions\" join signals using (id) where (kept or stage = 'dedup') and "
        '"gopher@paper".word_count < 80',
    )
    until(driver, lambda one: f"fall {expected} " in re.sub(r"\s+", " ", one.find_element("id", "moved").text))
    assert "t=80" in driver.current_url
    click(driver, "form.save button")
    until(driver, lambda one: "Written:" in one.page_source)
    assert "threshold: 80.0" in Path(space.path("rules", "min_words-moved.yaml")).read_text()


def test_duplicates_are_seen_side_by_side(served, driver):
    space, base = served
    driver.get(base + "duplicates")
    assert f"{asked(space, 'select count(*) from duplicates where not survivor')} documents duplicate" in text(driver)
    click(driver, 'main table a[href^="cluster/"]')
    click(driver, 'main table a[href^="pair/"]')
    assert "Jaccard" in text(driver)
    assert len(driver.find_elements("css selector", ".two pre")) == 2


def test_the_mixture_and_the_runs_are_drawn(served, driver):
    _, base = served
    driver.get(base + "funnel")
    driver.find_element("link text", "Mixture").click()
    assert "The fitted mixture wins" in text(driver)
    assert len(driver.find_elements("css selector", "main figure svg")) > 4
    driver.find_element("link text", "Runs").click()
    assert driver.find_elements("css selector", "main figure path.curve")


def test_a_lasso_lists_the_documents_inside(served, driver):
    from selenium.webdriver.common.action_chains import ActionChains

    _, base = served
    driver.get(base + "map")
    plot = driver.find_element("css selector", "#map svg .plot")
    box = driver.execute_script("return (r => [r.width, r.height])(arguments[0].getBoundingClientRect())", plot)
    wide, tall = box[0] / 2 - 3, box[1] / 2 - 3
    driver.execute_script("for (const a of document.querySelectorAll('#map svg a')) a.style.pointerEvents = 'none'")
    steps = ActionChains(driver, duration=20).move_to_element_with_offset(plot, -wide, -tall).click_and_hold()
    for x, y in ((2 * wide, 0), (0, 2 * tall), (-2 * wide, 0), (0, -2 * tall + 20)):
        steps.move_by_offset(x, y)
    steps.release().perform()
    until(driver, lambda one: "inside of the line" in one.page_source)
    assert f"{COUNT} documents inside of the line" in text(driver)


def test_a_query_is_answered_and_one_that_writes_is_refused(served, driver):
    space, base = served
    for sql, said in (
        ("select count(*) + 1000 as n from decisions", f"{1000 + COUNT}"),
        ("drop view decisions", "one SELECT"),
    ):
        driver.get(base + "sql")
        box = driver.find_element("id", "sql")
        box.clear()
        box.send_keys(sql)
        click(driver, "form.box button")
        assert said in text(driver).replace(",", "")
    assert asked(space, "select count(*) from decisions") == COUNT


def test_keys_lead_through_tabs_and_rows(served, driver):
    from selenium.webdriver.common.keys import Keys

    _, base = served
    driver.get(base + "funnel")
    for key, title in enumerate(TABS, 1):
        driver.find_element("css selector", "body").send_keys(str(key))
        until(driver, lambda one, title=title: one.find_element("css selector", "nav a[aria-current]").text == title)
    driver.find_element("css selector", "body").send_keys("3")
    until(driver, lambda one: one.find_elements("css selector", ".row"))
    driver.find_element("css selector", "body").send_keys("j")
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    until(driver, lambda one: "/document/" in one.current_url)
    assert "Its way" in text(driver)


def test_hostile_documents_do_nothing_and_ask_for_nothing(served, driver):
    _, base = served
    for path in ("documents", f"document/{name_of(0)}", f"document/{name_of(1)}", "signals?rule=min_words&t=80", "map",
                 "sql?sql=select+title,text+from+documents", f"pair/{name_of(1)}/{name_of(5)}", "funnel"):  # fmt: skip
        driver.get(base + path)
        assert driver.title != "taken"
        assert (
            driver.execute_script("return [...document.querySelectorAll('main img, main iframe, main script')].length")
            == 0
        )
        loaded = driver.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
        assert all(one.startswith(base) for one in loaded)


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_tab_fits_its_window_in_light_and_dark_and_is_named_for_those_who_cannot_see(
    served, driver, width, scheme
):
    _, base = served
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature, STILL]})
    for tab in TABS:
        driver.get(base + tab.lower())
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        paper = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (int(re.findall(r"\d+", paper)[0]) > 128) == (scheme == "light")
        unnamed = driver.execute_script(
            "return [...document.querySelectorAll('main input:not([type=hidden]), main select, main textarea, "
            "main button, "
            "main figure > svg')].filter(one => !(one.labels && one.labels.length) && "
            "!one.getAttribute('aria-label') && "
            "!one.textContent.trim()).map(one => one.outerHTML.slice(0, 80))"
        )
        assert unnamed == []


def test_a_drawing_is_taken_as_svg_and_png(served, driver):
    _, base = served
    driver.get(base + "funnel")
    address = driver.find_element("css selector", "figure .files a").get_attribute("href")
    drawn = driver.execute_async_script(
        "const done = arguments[1]; fetch(arguments[0]).then(a => a.text()).then(t => { const i = new Image(); "
        "i.onload = () => done(i.naturalWidth); i.onerror = () => done(-1); "
        "i.src = URL.createObjectURL(new Blob([t], {type: 'image/svg+xml'})) })",
        address,
    )
    assert drawn > 0
