"""Pictures of the explorer's tabs, for its page: python docs/screens.py WORKSPACE [NAME …] writes those of these names,
or all of them, to docs/pictures/explorer/*.png.

Needs Chromium with its driver, and Selenium. The workspace is a finished one, such as `gristmill demo` leaves,
after `gristmill semantic`, without which there is no map.
"""

import re
import subprocess
import sys
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

FOLDER = Path(__file__).parent / "pictures" / "explorer"
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --hide-scrollbars".split()
WIDTH, HEIGHT = 1100, 960
SHOTS = {
    "funnel": "funnel",
    "signals": "signals?rule=min_words&t=80&by=domain",
    "documents": "documents?fate=dropped",
    "duplicates": "duplicates",
    "mixture": "mixture",
    "runs": "runs",
    "map": "map",
    "sql": "sql?sql=select+stage,+rule,+count(*)+as+n+from+decisions+group+by+all+order+by+n+desc",
}
LINKS = {
    "document": ("documents?fate=dropped&rule=duplicate_5gram", ".row a"),
    "pair": ("duplicates?from=2&to=2", 'table a[href^="cluster/"]'),
}


def main(workspace: str, names: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True, parents=True)
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    command = [sys.executable, "-m", "gristmill.pipelines.cli", "explore", "--workspace", workspace]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        base = server.stdout.readline().split()[-1].rpartition("/")[0] + "/"
        driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        try:
            driver.set_window_size(WIDTH, HEIGHT)
            for name, address in SHOTS.items():
                if names and name not in names:
                    continue
                driver.get(base + address)
                while "is being made" in driver.page_source:
                    driver.refresh()
                driver.save_screenshot(str(FOLDER / f"{name}.png"))
            for name, (address, link) in LINKS.items():
                if names and name not in names:
                    continue
                driver.get(base + address)
                driver.get(driver.find_element("css selector", link).get_attribute("href") or "")
                if name == "pair":
                    driver.get(
                        driver.find_element("css selector", 'table a[href^="pair/"]').get_attribute("href") or ""
                    )
                driver.save_screenshot(str(FOLDER / f"{name}.png"))
        finally:
            driver.quit()
            server.terminate()
    sizes = {path.name: path.stat().st_size for path in sorted(FOLDER.glob("*.png"))}
    sys.stdout.write(re.sub(r"[{}']", "", f"{sizes}\n"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
