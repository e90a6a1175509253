"""The container file of workers, line by line: it is built in no test."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
LINES = (ROOT / "examples" / "container" / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_image_is_of_the_beam_and_of_a_python_that_the_package_has():
    (python, beam) = re.search(r"^FROM apache/beam_python([\d.]+)_sdk:([\d.]+)$", LINES, re.MULTILINE).groups()  # type: ignore[union-attr]
    assert f"apache-beam=={beam}" in (ROOT / "constraints.txt").read_text().splitlines()
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]


def test_what_it_installs_is_pinned_and_each_extra_exists():
    (extras,) = re.findall(r"--constraint constraints\.txt '\.\[([\w,]+)\]'", LINES)
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    assert {"dask", "remote", "train"} <= set(extras.split(","))


def test_it_keeps_the_entry_point_of_beam_and_one_thread_for_a_process():
    assert not re.search(r"^(ENTRYPOINT|CMD)", LINES, re.MULTILINE)
    assert "OMP_NUM_THREADS=1" in LINES


def test_nothing_that_it_copies_is_missing():
    assert re.findall(r"^COPY (\S+) (\S+)$", LINES, re.MULTILINE) == [(".", ".")]
    for name in ("constraints.txt", "pyproject.toml"):
        assert (ROOT / name).exists()
