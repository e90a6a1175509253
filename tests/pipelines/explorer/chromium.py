"""Chromium, driven by Selenium, for the tests of the explorer's pages."""

import re
import shutil
from contextlib import contextmanager

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars"
).split()
STILL = {"name": "prefers-reduced-motion", "value": "reduce"}  # what is clicked does not move
SECONDS = 60  # on a machine that does other things


@contextmanager
def browser():
    """Chromium, driven by Selenium."""
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.implicitly_wait(SECONDS / 4)
    try:
        yield driver
    finally:
        driver.quit()


def click(driver, how: str) -> None:
    driver.find_element("css selector", how).click()


def text(driver) -> str:
    return re.sub(r"\s+", " ", driver.find_element("css selector", "main").text)


def until(driver, condition) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(driver, SECONDS).until(condition)
