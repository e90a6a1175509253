"""What there is to choose from, by kind: name -> what it is. Parts of other packages and plug-in files among them."""

from ...corpus.extensions import extensions
from .registry import records


def listed(what: str) -> dict[str, str]:
    """name -> about, sorted by name; stages in run order."""
    if what == "stages":
        return {name: record.title for name, record in records().items()}
    origin = {name: f"added by {one.origin}" for name, one in extensions(what).items()}
    return {name: origin.get(name, about) for name, about in sorted((own(what) | dict.fromkeys(origin, "")).items())}


def own(what: str) -> dict[str, str]:
    """Our own, but stages."""
    if what == "signals":
        from ...filters.signals.families import FAMILIES

        return {name: ", ".join(one.name for one in family.type) for name, family in FAMILIES.items()}
    if what == "rules":
        from ...filters.rule_sets import bundled, load_rules

        return {name: load_rules(name).about for name in bundled()}
    if what == "scores":
        from ...proxy_models.settings import METHODS

        return dict.fromkeys(METHODS, "")
    if what == "exporters":
        from ...mixing.exporters.registry import EXPORTERS

        return dict.fromkeys(EXPORTERS, "")
    from ...corpus.readers.inputs import FORMATS, SUFFIXES

    return {name: ", ".join(SUFFIXES.get(name, ())) for name in FORMATS}
