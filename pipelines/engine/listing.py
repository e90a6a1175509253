"""What there is to choose from, by kind: name -> what it is and where it comes from. Parts of other packages and of
plug-in files are among them.

Exporters are described by the first line of their modules, which is read and not run.
"""

import ast
import os

from ...corpus.extensions import extensions
from .registry import records

SIGNALS = {  # first part of a family's name -> whose it is
    "gopher": "Gopher (Rae et al. 2021)",
    "c4": "C4 (Raffel et al. 2020)",
    "fineweb": "FineWeb (Penedo et al. 2024)",
    "nemo": "NeMo Curator",
    "redpajama": "RedPajama-V2 (Weber et al. 2024)",
    "code": "StarCoder (Li et al. 2023)",
    "formulas": "RedStone (Chang et al. 2024)",
    "questions": "RedStone (Chang et al. 2024)",
}
SCORES = {
    "color": "CoLoR-Filter (Brandfonbrener et al. 2024): loss under a prior less that under one tuned on the target",
    "dsir": "DSIR (Xie et al. 2023): importance under hashed n-gram models of target and corpus",
    "pair": "loss under one model less that under another, as MiniPLM has it (Gu et al. 2024)",
    "perplexity": "loss under one model",
    "rds": "RDS+ (Ivison et al. 2025): likeness of hidden states to target queries",
    "transport": "GOT-D (Kang et al. 2024): how fast a document moves the corpus towards the target",
    "zipfit": "ZIP-FIT (Obbad et al. 2024): how well a target example helps to compress a document",
}


def listed(what: str) -> dict[str, str]:
    """name -> about, sorted by name; stages in run order."""
    if what == "stages":
        return {name: record.title for name, record in records().items()}
    origin = {name: f"added by {one.origin}" for name, one in extensions(what).items()}
    return {name: origin.get(name, about) for name, about in sorted((own(what) | dict.fromkeys(origin, "")).items())}


def names(what: str, begun: str) -> list[str]:
    """The names of a kind that begin so, for completion."""
    return [name for name in listed(what) if name.startswith(begun)]


def own(what: str) -> dict[str, str]:
    """Our own, but stages."""
    if what == "signals":
        from ...filters.signals.families import FAMILIES

        return {name: _family(name, [one.name for one in family.type]) for name, family in FAMILIES.items()}
    if what == "rules":
        from ...filters.rule_sets import bundled, load_rules

        return {name: load_rules(name).about for name in bundled()}
    if what == "scores":
        from ...proxy_models.settings import METHODS

        return {name: SCORES[name] for name in METHODS}
    if what == "exporters":
        from ...mixing.exporters.registry import EXPORTERS

        return {name: _first_line(("mixing", "exporters", module)) for name, (module, _) in EXPORTERS.items()}
    from ...corpus.readers.inputs import FORMATS, SUFFIXES

    return {name: ", ".join(SUFFIXES.get(name, ())) or "whatever else holds text" for name in FORMATS}


def _family(name: str, columns: list[str]) -> str:
    """`Gopher (Rae et al. 2021) as datatrove has it: word_count, ...`"""
    family, _, dialect = name.partition("@")
    whose = SIGNALS.get(family, "")
    told = f"{whose} as {dialect} has it: " if dialect and dialect != "paper" else f"{whose}: " if whose else ""
    return told + ", ".join(columns)


def _first_line(module: tuple[str, ...]) -> str:
    """The first line of a module's description, read from its file."""
    rooms = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with open(os.path.join(rooms, *module[:-1], f"{module[-1]}.py"), encoding="utf-8") as file:
        return (ast.get_docstring(ast.parse(file.read())) or "").split("\n", 1)[0].rstrip(".")
