"""The sandbox: a page that loops, kills its process or eats memory fails alone, and no page pays for compiling."""

import subprocess
import sys

import pytest

from gristmill.corpus.text.pages import Job, Options, work_on
from gristmill.corpus.text.sandbox import Sandbox

from .crawl import page


@pytest.fixture(scope="module")
def box():
    box = Sandbox(Options(), seconds=1.5)
    yield box
    box.close()


def test_the_sandbox_gives_what_the_same_work_gives_here(box: Sandbox):
    jobs = [Job(page(n), markup=True) for n in range(5)] + [Job("plain text"), Job(b"\x00\x01\x02" * 99)]
    assert list(box.extract(jobs)) == [work_on(job, Options()) for job in jobs]


class Loops(bytes):
    """Unpickled in the child, a page whose extraction never ends."""

    def __reduce__(self):
        return _Endless, ()


class _Endless(bytes):
    def startswith(self, *_):
        while True:
            pass


class Dies(bytes):
    def __reduce__(self):
        return _Deadly, ()


class _Deadly(bytes):
    def startswith(self, *_):
        import os

        os.kill(os.getpid(), 11)


class Grows(bytes):
    def __reduce__(self):
        return _Growing, ()


class _Growing(bytes):
    def startswith(self, *_):
        held = []
        while True:
            held.append(bytes(64 << 20))  # never touched, so that it costs no time: only the memory limit can end it


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (Loops(), "extraction took longer than max_page_seconds (1.5)"),
        (Dies(), "extraction ended its process (signal 11)"),
        (Grows(), "extraction failed: MemoryError: "),
    ],
)
def test_only_the_bad_page_fails_and_the_rest_of_its_batch_goes_through(box: Sandbox, bad: bytes, error: str):
    jobs = [Job(page(0), markup=True), Job(bad, markup=True), Job(page(1), markup=True), Job(page(2), markup=True)]
    outcomes = list(box.extract(jobs))
    assert [outcome.error for outcome in outcomes] == [None, error, None, None]
    assert outcomes[2].text == work_on(jobs[2], Options()).text


@pytest.mark.parametrize("bad", [Loops(), Dies()])
def test_pages_that_were_finished_but_not_answered_when_a_page_fails_lose_nothing(box: Sandbox, bad: bytes):
    jobs = [Job(f"text {number}") for number in range(20)] + [Job(bad, markup=True)]
    jobs += [Job(f"text {number}") for number in range(20, 30)] + [Job(bad, markup=True), Job("text 30")]
    outcomes = list(box.extract(jobs))
    assert [outcome.error is None for outcome in outcomes] == [job.body is not bad for job in jobs]
    assert [outcome.text for outcome in outcomes if outcome.error is None] == [f"text {n}" for n in range(31)]


def test_answers_that_nobody_took_are_not_those_of_the_next_batch(box: Sandbox):
    taken = box.extract([Job(f"first {number}") for number in range(40)])
    assert next(taken).text == "first 0"
    taken.close()
    assert [outcome.text for outcome in box.extract([Job("second"), Job("third")])] == ["second", "third"]


COMPILED = r"""
import gc
from numba.core.dispatcher import Dispatcher
from gristmill.corpus.text.pages import Job, Options, work_on
from gristmill.corpus.text.sandbox import WARM_UP

def compiled():
    ours = [one for one in gc.get_objects() if isinstance(one, Dispatcher) and "gristmill" in one.py_func.__module__]
    return {(one.py_func.__module__, one.py_func.__name__): one.signatures for one in ours}

options = Options(language_model="gristmill")
work_on(WARM_UP, options)
before = compiled()
prose = "<p>" + "Grain is milled to flour. " * 30
listing = "<pre>x\n  y</pre><table><tr><td>a<td>b</table><ul><li>c</ul><math><mi>x</mi></math>"
parts = ["", prose, prose * 9, prose + listing, listing + "caf\xe9", "<!-- open", "<script>x", "<div>" * 500]
for page in [*parts, *(part.encode(code) for part in parts for code in ("utf-8", "utf-16", "latin-1"))]:
    work_on(Job(page, markup=True), options)
    work_on(Job(page, markup=True), Options(markdown=True))
    work_on(Job(page), options)
after = compiled()
print(sorted(name for name in after if after[name] != before.get(name)))
"""


def test_warming_up_compiles_all_that_pages_need():
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
