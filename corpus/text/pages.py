"""One job of extraction from bytes to a finished text: extract, normalise, identify the language.

This is what runs inside the sandbox. It turns every exception of an engine into an outcome with an error, because one
page must not end the work; a MemoryError is one of them.
"""

from dataclasses import dataclass, field

from ..languages.identification import identify
from ..metadata.licences import from_text
from ..metadata.page import Sent, Stated
from .charsets import decode_text, mend
from .extraction import extract_page
from .normalising import normalise


@dataclass(frozen=True)
class Options:
    """Settings of extraction that travel to the sandbox."""

    engine: str = "resiliparse"
    markdown: bool = False
    headline: bool = False
    captions: bool = False
    normalise: bool = True
    repair: bool = False
    language_model: str | None = None


@dataclass(frozen=True)
class Job:
    """A page or a text to extract."""

    body: bytes | str
    markup: bool = False
    charset: str | None = None
    sent: Sent | None = None  # what came with a page


@dataclass
class Outcome:
    """A finished text, or an error."""

    text: str = ""
    stated: Stated = field(default_factory=Stated)
    languages: list[tuple[str, float]] = field(default_factory=list)
    error: str | None = None


SOFT_ERRORS = (  # whole texts of short pages that stand for an error, though the server answered 200
    "page not found",
    "404 not found",
    "error 404",
    "404 error",
    "file not found",
    "access denied",
    "403 forbidden",
    "this page does not exist",
    "the page you requested could not be found",
    "the page you are looking for",
    "internal server error",
    "service unavailable",
    "account suspended",
    "site under construction",
    "domain is for sale",
)


def work_on(job: Job, options: Options) -> Outcome:
    """The outcome of one job; never raises."""
    try:
        return _work(job, options)
    except (Exception, MemoryError, RecursionError) as error:  # the boundary: an engine may raise anything
        return Outcome(error=f"extraction failed: {type(error).__name__}: {error}")


def _work(job: Job, options: Options) -> Outcome:
    if job.markup:
        page = extract_page(
            job.body, job.charset, options.engine, options.markdown, options.headline, options.captions, job.sent
        )
        text, about = page.text, page.stated
    else:
        found = decode_text(job.body, job.charset) if isinstance(job.body, bytes) else job.body
        if found is None:
            return Outcome(error="not text: it holds binary data")
        text, about = found, Stated()
        about.license, about.license_class = from_text(text)
    text = mend(text)
    if text.count("\ufffd") > len(text) // 20 + 1:
        return Outcome(error="not text: more than a twentieth of it cannot be decoded")
    if options.normalise:
        text = normalise(text, layout=job.markup, repair=options.repair)
    if not text.strip():
        return Outcome(error="empty page" if job.markup else "empty text")
    if job.markup and soft_error(text, about.title):
        return Outcome(error="error page answered with status 200")
    languages = identify([text], options.language_model)[0] if options.language_model else []
    return Outcome(text, about, languages)


def soft_error(text: str, title: str | None) -> bool:
    """Whether a page of few words says that there is none: its title or its first words state an error."""
    if len(text) > 600:
        return False
    starts = ((title or "").strip().lower(), text[:120].lower())
    return any(sign in start for sign in SOFT_ERRORS for start in starts)
