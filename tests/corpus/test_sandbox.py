"""The sandbox: a page that loops, kills its process or eats memory fails alone."""

import pytest

from gristmill.corpus.pages import Job, Options, work_on
from gristmill.corpus.sandbox import Sandbox

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
            held.append(bytearray(64 << 20))


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
