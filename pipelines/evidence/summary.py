"""The public summary of training content: the template's fields, answered by figures and by the settings file.

An answer is a figure (its name stands beside it), what the settings file says, or missing with what would tell. Nothing
is inferred: `No` stands only where every source that is drawn from declares another kind. Sizes are those of the model:
training tokens that the recipe or run draws. Refuses nothing.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...corpus.store.workspace import Workspace
from .figures import Figure
from .processing import honoured, screened
from .settings import CardSettings, SourceFacts
from .template import BY_ID, FIELDS, NO, SECTIONS, YES, TemplateField, section_of, size_range

if TYPE_CHECKING:
    from .streams import Stream

LARGE = 0.03  # of the public datasets' size: what the template has listed one by one (see template.py)
Answer = dict[str, Any]
KINDS = {
    "2.1.used": ("public-dataset",),
    "2.2.1.used": ("licensed",),
    "2.2.2.used": ("private",),
    "2.3.used": ("crawl",),
    "2.5.used": ("synthetic",),
    "2.6.used": ("other",),
}


def summary(
    workspace: Workspace, settings: CardSettings, found: Mapping[str, Figure], stream: "Stream | None"
) -> dict[str, Any]:
    """{template, model, answers: field -> {title, value | missing | not_applicable, figures}}."""
    drawing = _Drawing(settings, found["sources"].table())
    given: dict[str, tuple[Any, Sequence[str], str]] = {}  # field -> value, figures, what would tell where it is None
    for part in (_general, _public, _private, _crawled, _user, _synthetic, _processing):
        given |= part(workspace, settings, found, drawing)
    for field, kinds in KINDS.items():
        given[field] = (drawing.used(kinds), ("sources",), drawing.undeclared())
    for field, text in settings.summary.comments.items():
        given[field] = (text, (), "")
    told = {field.id: _answer(field, given) for field in FIELDS}
    named = {"kind": stream.kind, "name": stream.name} if stream is not None else None
    return {"template": "C(2025) 8311", "of": named, "answers": told}


def missing(told: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(field, title, what would tell) of the answers that are missing."""
    answers = told["answers"].items()
    return [(name, answer["title"], answer["missing"]) for name, answer in answers if "missing" in answer]


class _Drawing:
    """Sources that training draws from, with what is known of each."""

    def __init__(self, settings: CardSettings, sources: list[dict[str, Any]]) -> None:
        self.rows = [row for row in sources if row["read"]]
        self.settings = settings

    def facts(self, source: str) -> SourceFacts:
        return self.settings.sources.get(source, SourceFacts())

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["section"] in kinds]

    def used(self, kinds: Sequence[str]) -> str | None:
        if self.of(*kinds):
            return YES
        return None if any(row["section"] is None for row in self.rows) else NO

    def undeclared(self) -> str:
        names = sorted({row["source"] for row in self.rows if row["section"] is None})
        return f"the kind of {', '.join(names)}: gristmill extract --section, or sources: in the settings file"

    def described(self, row: Mapping[str, Any]) -> Answer:
        """One source as a row of a list."""
        facts = self.facts(row["source"])
        told = {"source": row["source"], "name": facts.title, "link": facts.link, "description": facts.description}
        begin, end = facts.collected_from or row["first_capture"], facts.collected_until or row["last_capture"]
        told |= {"collected": f"{_day(begin)} to {_day(end)}" if begin and end else None}
        told |= {name: row[name] for name in ("documents", "bytes", "drawn", "percent")}
        return {key: value for key, value in told.items() if value is not None}


Given = dict[str, tuple[Any, Sequence[str], str]]


def _general(_: Workspace, settings: CardSettings, found: Mapping[str, Figure], drawing: _Drawing) -> Given:
    provider, model, own = settings.provider, settings.model, settings.summary
    size = found["size"].table()[0]
    who = ", ".join(filter(None, (provider.name, provider.contact)))
    modality: Answer = {"modality": "Text", "documents": size["documents"], "types of content": own.content_types}
    if size["drawn"] is not None:
        modality |= {"training data size": size_range(size["drawn"]), "tokens": size["drawn"]}
    else:
        modality |= {
            "training data size": f"{size['bytes']} bytes of UTF-8 text, not tokenized",
            "bytes": size["bytes"],
        }
    known = own.content_types is not None and size["documents"]
    languages = [
        {k: row[k] for k in ("language", "documents", "drawn", "percent")} for row in found["languages"].table()
    ]
    return {
        "0.version": (own.version, (), "summary.version"),
        "0.updated": (_day(own.updated), (), "summary.updated"),
        "0.previous": (own.previous, (), ""),
        "1.1.provider": (who if provider.name and provider.contact else None, (), "provider.name and provider.contact"),
        "1.1.representative": (provider.representative, (), "provider.representative, or none"),
        "1.2.names": (", ".join(model.names) or None, (), "model.names"),
        "1.2.dependencies": (model.dependencies, (), "model.dependencies, or none"),
        "1.2.placed": (_day(model.placed_on_market), (), "model.placed_on_market"),
        "1.3.modalities": ([modality] if known else None, ("size",), "summary.content_types: types of content"),
        "1.3.latest": (*_latest(drawing),),
        "1.3.languages": (languages or None, ("languages",), "documents that are kept"),
        "1.3.other": (own.characteristics, (), ""),
    }


def _latest(drawing: _Drawing) -> tuple[str | None, Sequence[str], str]:
    """The latest day on which any source was collected, once that of every source is known."""
    days, unknown = [], []
    for row in drawing.rows:
        until = drawing.facts(row["source"]).collected_until
        if until is None and row["captures"] < row["documents"]:
            unknown.append(row["source"])
        days += [day for day in (_day(until), _day(row["last_capture"])) if day]
    names = ", ".join(sorted(set(unknown)))
    why = f"when {names} was collected: sources.NAME.collected_until" if names else "documents with a time of capture"
    return (None if unknown or not days else max(days)), ("sources", "acquisition"), why


def _public(_: Workspace, __: CardSettings, ___: Mapping[str, Figure], drawing: _Drawing) -> Given:
    rows = drawing.of("public-dataset")
    whole = sum(row["percent"] for row in rows) or 1
    large = [row for row in rows if row["percent"] > LARGE * whole]
    small = [row for row in rows if row not in large]
    nameless = sorted({r["source"] for r in large if not drawing.facts(r["source"]).title})
    listed = [drawing.described(row) for row in large] if not nameless else None
    others = "; ".join(drawing.facts(row["source"]).description or row["source"] for row in small)
    return {
        "2.1.modalities": ("Text", (), ""),
        "2.1.list": (listed or None, ("sources",), f"what {', '.join(nameless)} is called: sources.NAME.title"),
        "2.1.others": (others or None, ("sources",), ""),
    }


def _private(_: Workspace, settings: CardSettings, __: Mapping[str, Figure], drawing: _Drawing) -> Given:
    known = [drawing.described(row) for row in drawing.of("private") if drawing.facts(row["source"]).title]
    return {
        "2.2.1.modalities": ("Text", (), ""),
        "2.2.2.modalities": ("Text", (), ""),
        "2.2.2.list": (known or None, ("sources",), "sources.NAME.title of those that are publicly known"),
        "2.2.2.description": (settings.private, (), ""),
    }


def _crawled(_: Workspace, settings: CardSettings, found: Mapping[str, Figure], drawing: _Drawing) -> Given:
    own, rows = settings.crawler, [drawing.described(row) for row in drawing.of("crawl")]
    period = "; ".join(f"{row['source']}: {row['collected']}" for row in rows if "collected" in row)
    content = "; ".join(f"{row['source']}: {row['description']}" for row in rows if "description" in row)
    sites = [{k: row[k] for k in ("site", "documents", "bytes", "percent")} for row in found["sites"].table()]
    whole = all("collected" in row for row in rows)
    described = all("description" in row for row in rows)
    return {
        "2.3.names": (", ".join(own.names) or None, (), "crawler.names"),
        "2.3.purposes": (own.purposes, (), "crawler.purposes"),
        "2.3.behaviour": (own.behaviour, (), "crawler.behaviour"),
        "2.3.period": (
            period if whole and period else None,
            ("sources",),
            "sources.NAME.collected_from and collected_until",
        ),
        "2.3.content": (content if described and content else None, (), "sources.NAME.description of every crawl"),
        "2.3.modalities": ("Text", (), ""),
        "2.3.sites": (sites or None, ("sites",), "documents with a host"),
    }


def _user(_: Workspace, settings: CardSettings, __: Mapping[str, Figure], drawing: _Drawing) -> Given:
    used, own = drawing.used(("user",)), settings.user
    said = {"interactions": own.interactions, "services": own.services}
    told: Given = {}
    for name, value in said.items():
        answer = None if value is None else YES if value else NO
        told[f"2.4.{name}"] = (
            NO if used == NO else answer,
            ("sources",),
            f"user.{name}" if used else drawing.undeclared(),
        )
    asked = used == YES
    told["2.4.any"] = (YES if asked else used, (), "")
    told["2.4.description"] = (own.description, (), "user.description")
    told["2.4.modalities"] = ("Text", (), "")
    return told


def _synthetic(workspace: Workspace, settings: CardSettings, __: Mapping[str, Figure], drawing: _Drawing) -> Given:
    models = ", ".join(settings.synthetic.models) or None
    others = [drawing.facts(row["source"]).description or row["source"] for row in drawing.of("other")]
    return {
        "2.5.modalities": ("Text", (), ""),
        "2.5.models": (models, ("rewritten",), "synthetic.models"),
        "2.5.other_models": (settings.synthetic.other_models, (), ""),
        "2.6.description": (settings.other or "; ".join(others) or None, ("sources",), "other"),
    }


def _processing(workspace: Workspace, settings: CardSettings, found: Mapping[str, Figure], _: _Drawing) -> Given:
    own = settings.processing
    signed = None if own.code_of_practice is None else YES if own.code_of_practice else NO
    reservations = " ".join(filter(None, (own.reservations, *honoured(workspace, found))))
    illegal = " ".join(filter(None, (own.illegal_content, *(screened(workspace) if own.illegal_content else ()))))
    return {
        "3.1.signatory": (signed, (), "processing.code_of_practice"),
        "3.1.measures": (reservations or None, ("removed",), "processing.reservations, or gristmill opt-out"),
        "3.2.measures": (illegal or None, ("fates",), "processing.illegal_content"),
        "3.3.other": (own.other, ("masked",), ""),
    }


def _answer(field: TemplateField, given: Mapping[str, tuple[Any, Sequence[str], str]]) -> Answer:
    value, figures, why = given.get(field.id, (None, (), ""))
    told: Answer = {"title": field.title, **({"figures": list(figures)} if figures else {})}
    if field.given is not None:
        asked = given.get(field.given, (None, (), ""))[0]
        if asked != YES:
            known = asked == NO
            return {"title": field.title} | ({"not_applicable": True} if known else {"missing": given[field.given][2] or
                                             BY_ID.get(field.given, field).title})  # fmt: skip
    if value is None and field.optional:
        return told | {"not_applicable": True}
    return told | ({"missing": why or field.title} if value is None else {"value": value})


def _day(value: Any) -> str | None:
    return None if value is None else str(value)[:10]


def rendered(told: Mapping[str, Any], queries: Mapping[str, Figure]) -> str:
    """The summary as Markdown, in the sections of the template, with the query of each figure at its end."""
    lines = ["# Public summary of training content for general-purpose AI models", ""]
    lines += ["required by Article 53(1)(d) of Regulation (EU) 2024/1689, by the template C(2025) 8311", ""]
    if told["of"]:
        lines += [f"Sizes are training tokens that the {told['of']['kind']} `{told['of']['name']}` draws.", ""]
    answers, at = told["answers"], ""
    for section, title in SECTIONS.items():
        fields = [field for field in FIELDS if section_of(field) == section]
        if section != "0":
            lines += [f"{'#' * (2 + section.count('.'))} {title}", ""]
        for field in fields:
            lines += _lines(field, answers[field.id])
        at = section
    assert at
    gaps = missing(told)
    if gaps:
        lines += ["## Missing", "", "Neither the workspace nor the settings file tells:", ""]
        lines += [f"- {title} ({field}): {why}" for field, title, why in gaps] + [""]
    used = sorted({name for answer in answers.values() for name in answer.get("figures", ()) if "value" in answer})
    lines += ["## Figures", ""]
    for name in used:
        lines += [f"`{name}`: {queries[name].title}", "", "```sql", queries[name].sql, "```", ""]
    return "\n".join(lines)


def _lines(field: TemplateField, answer: Answer) -> list[str]:
    if "not_applicable" in answer:
        return []
    asked = field.title if field.title.endswith("?") else f"{field.title}:"
    if "missing" in answer:
        return [f"**{asked}** *missing*", ""]
    if isinstance(answer["value"], list):
        return [f"**{asked}**", "", *table(answer["value"]), ""]
    return [f"**{asked}** {answer['value']}", ""]


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rows as a Markdown table; whole numbers with separators."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return lines + [f"| {' | '.join(shown(row.get(name)) for name in columns)} |" for row in rows]


def shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return str(value).replace("|", "\\|").replace("\n", " ")
