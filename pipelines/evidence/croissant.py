"""Croissant 1.1 JSON-LD of a folder of Parquet files: the tables of a workspace, or what `gristmill write` wrote.

Every file is named, so that strays in the folder are not part of the dataset. Columns of plain types, of structures and
of lists become fields with the type that they have; a column of another type is left out and named. Files beside the
JSON-LD are found by their relative names, as `mlcroissant` reads them. Refuses a folder without Parquet files.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from ...corpus.store.errors import RequestError
from ...corpus.store.shards import filesystem, parquet_schema
from ...corpus.store.workspace import Workspace
from .settings import CardSettings

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        name: f"cr:{name}"
        for name in (
            "arrayShape citeAs column containedIn equivalentProperty extract field fileProperty fileObject fileSet "
            "format includes isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex "
            "repeated replace samplingRate separator source subField transform"
        ).split()
    },
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "sc": "https://schema.org/",
}
PARQUET = "application/x-parquet"


def croissant(
    place: str, tables: dict[str, Sequence[str]], settings: CardSettings, languages: Sequence[str], about: str
) -> dict[str, Any]:
    """The JSON-LD of the files of a folder.

    place   URL of the folder that the JSON-LD will lie in
    tables  record set -> paths of its Parquet files below that folder, all of one schema
    about   one paragraph, where the settings give none
    """
    own, provider = settings.dataset, settings.provider
    sets, records = [], []
    for name, files in sorted(tables.items()):
        if not files:
            continue
        sets.append(
            {
                "@type": "cr:FileSet",
                "@id": f"{name}-files",
                "name": f"{name}-files",
                "description": f"Parquet files of {name}.",
                "encodingFormat": PARQUET,
                "includes": sorted(files),
            }
        )
        kind = parquet_schema(f"{place}/{sorted(files)[0]}")
        records.append(
            {
                "@type": "cr:RecordSet",
                "@id": name,
                "name": name,
                "description": f"Rows of {name}.",
                "key": {"@id": f"{name}/id"} if "id" in kind.names else None,
                "field": list(_fields(name, f"{name}-files", kind)),
            }
        )
    if not sets:
        raise RequestError(f"{place} holds no Parquet file for Croissant to describe")
    told: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": own.name or place.rstrip("/").rpartition("/")[2],
        "description": own.description or about,
        "license": own.license,
        "url": own.url,
        "version": own.version,
        "datePublished": None if own.published is None else own.published.isoformat(),
        "citeAs": own.cite_as,
        "creator": {"@type": "sc:Organization", "name": provider.name} if provider.name else None,
        "inLanguage": sorted(languages),
        "isLiveDataset": False,
        "distribution": sets,
        "recordSet": [{key: value for key, value in one.items() if value is not None} for one in records],
    }
    return {key: value for key, value in told.items() if value is not None}


def left_out(place: str, tables: dict[str, Sequence[str]]) -> list[str]:
    """Columns that Croissant has no type for, as TABLE.COLUMN."""
    found = []
    for name, files in sorted(tables.items()):
        for field in parquet_schema(f"{place}/{sorted(files)[0]}") if files else ():
            if not list(_field(name, "", field)):
                found.append(f"{name}.{field.name}")
    return found


def tables_of(workspace: Workspace) -> dict[str, Sequence[str]]:
    """The tables of a workspace that are documents and their fates, with the files that are in force."""
    found: dict[str, Sequence[str]] = {}
    for table in workspace.tables():
        if table.name == "documents" or table.name.startswith("decisions/"):
            files = [f"{table.name}/{shard.file}" for shard in table.finished("card").shards if shard.rows]
            found[table.name.replace("/", "-")] = files
    return found


def files_of(folder: str) -> dict[str, Sequence[str]]:
    """Configuration -> Parquet files below a folder that `gristmill write` wrote."""
    fs, path = filesystem(folder)
    found: dict[str, list[str]] = {}
    for file in sorted(str(name) for name in fs.find(path)):
        below = file.removeprefix(path).lstrip("/")
        if below.endswith(".parquet"):
            parts = below.split("/")
            found.setdefault(parts[1] if len(parts) > 2 else parts[0] if len(parts) > 1 else "data", []).append(below)
    return dict(found)


def _fields(table: str, files: str, kind: pa.Schema) -> Iterator[dict[str, Any]]:
    for field in kind:
        yield from _field(table, files, field)


def _field(table: str, files: str, field: pa.Field) -> Iterator[dict[str, Any]]:
    """The fields of a column: one, or one for each part of a structure or of a list of structures."""
    source: dict[str, Any] = {"fileSet": {"@id": files}, "extract": {"column": field.name}}
    own = {"@type": "cr:Field", "@id": f"{table}/{field.name}", "name": f"{table}/{field.name}"}
    own |= {"description": f"Column {field.name}."}
    kind = field.type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    inner = kind.value_type if listed else kind
    plain = _type(inner)
    if plain is not None:
        repeated = {"isArray": True, "arrayShape": "-1"} if listed else {}
        yield own | {"dataType": plain, "source": source} | repeated
    elif pa.types.is_struct(inner):
        for part in inner:
            if (below := _type(part.type)) is not None:
                name = f"{table}/{field.name}.{part.name}"
                repeated = {"isArray": True, "arrayShape": "-1"} if listed else {}
                yield {
                    "@type": "cr:Field",
                    "@id": name,
                    "name": name,
                    "description": f"{part.name} of the column {field.name}.",
                    "dataType": below,
                    "source": source | {"transform": {"jsonPath": part.name}},
                } | repeated


def _type(kind: pa.DataType) -> str | None:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "sc:Text"
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return f"cr:{'U' if str(kind).startswith('u') else ''}Int{kind.bit_width}"
    if pa.types.is_floating(kind):
        return f"cr:Float{kind.bit_width}"
    if pa.types.is_timestamp(kind):
        return "sc:DateTime"
    return "sc:Date" if pa.types.is_date(kind) else None
