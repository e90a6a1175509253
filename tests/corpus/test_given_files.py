"""Every small file that a user points at is read in any Unicode encoding, or refused by its name and its line."""

import bz2
import gzip
import lzma
import re
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
import zstandard

from gristmill.corpus.given_files import decoded, given_lines, read_given
from gristmill.corpus.readers.inputs import Input, resolve
from gristmill.corpus.readers.texts import read_rows
from gristmill.corpus.removals import parse
from gristmill.corpus.store.errors import RequestError
from gristmill.filters.classifiers import read_texts
from gristmill.filters.decontamination import read_examples
from gristmill.filters.rule_sets import load_rules
from gristmill.filters.url_lists import read_hosts
from gristmill.filters.urls import read_list
from gristmill.mixing.recipe import load_recipe
from gristmill.mixing.tables import read_csv
from gristmill.mixing.target_files import read_items
from gristmill.pipelines.commands.options import settings_file
from gristmill.pipelines.engine.run import load_settings
from gristmill.pipelines.stages.balance.stage import load_concepts
from gristmill.proxy_models.engines.options import read_engine
from gristmill.proxy_models.rewriting.rephrase import load_styles
from gristmill.proxy_models.rewriting.taxonomy import load_taxonomies
from gristmill.proxy_models.scoring.sampling import read_target
from gristmill.training.targets import load_target

RULES = (
    "name: calm\nabout: caf\u00e9\n"
    "rules:\n- {rule: short, value: gopher.words, threshold: 5, keep: value >= threshold}\n"
)
TEXTS = "".join(f"un caf\u00e9 num\u00e9ro {n}\n\n" for n in range(12))
ROWS = "".join(f'{{"text": "un caf\u00e9 num\u00e9ro {n}"}}\n' for n in range(12))
RECIPE = "about: caf\u00e9\nversion: 1\n"
FILES: dict[str, tuple[str, str, Callable[[str], Any]]] = {
    "rule set": ("r.yaml", RULES, load_rules),
    "URL list": ("l.txt", "site.example\ncaf\u00e9.example\n", lambda path: sorted(read_hosts(path).hosts)),
    "list of words": ("w.txt", "word\ncaf\u00e9\n", lambda path: list(read_list(path))),
    "opt-outs": ("o.txt", "site.example\ncaf\u00e9.example\n", lambda path: parse(given_lines(read_given(path)), "o")),
    "list of inputs": ("in.paths", "a\ncaf\u00e9\n", lambda path: resolve((Input(paths=(path,)),))),
    "settings of a stage": ("s.yaml", "a: 1\nb: caf\u00e9\n", settings_file),
    "settings of a run": ("s.yaml", "workspace: caf\u00e9\n", load_settings),
    "concepts": ("c.txt", "word\ncaf\u00e9\n", lambda path: vars(load_concepts(path)).keys()),
    "engine": ("e.yaml", "kind: echo\nmodel: caf\u00e9\n", read_engine),
    "styles": ("s.yaml", "", lambda path: load_styles(["wikipedia"], path)),
    "taxonomies": ("t.yaml", "", lambda path: load_taxonomies(["topic"], path)),
    "target of a run": ("t.txt", TEXTS, lambda path: load_target(path).items),
    "rows of a target of a run": (
        "t.jsonl", '{"context": "un", "continuation": "caf\u00e9"}\n', lambda path: load_target(path).items,
    ),
    "target of a mixture": ("t.jsonl", ROWS, read_items),
    "target of scores": ("t.jsonl", ROWS, lambda path: read_target(path, 1, 10**6)),
    "evaluation set": ("e.jsonl", ROWS, read_examples),
    "texts of a classifier": ("c.txt", TEXTS, read_texts),
    "rows of a classifier": ("c.jsonl", ROWS, read_texts),
    "rows": ("t.txt", TEXTS, lambda path: [row.content for row in read_rows(path)]),
    "table": ("t.csv", "a,caf\u00e9\n1,2\n", lambda path: read_csv(path).rows),
    "recipe": ("r.yaml", RECIPE, load_recipe),
}  # fmt: skip


def said(read: Callable[[str], Any], path: str) -> Any:
    try:
        return read(path)
    except RequestError as error:
        return str(error)


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_file_says_the_same_in_every_unicode_encoding_that_its_first_bytes_tell(kind, encoding, tmp_path):
    name, content, read = FILES[kind]
    path = tmp_path / name
    path.write_bytes(content.encode())
    plain = said(read, str(path))
    path.write_bytes(content.encode(encoding))
    assert said(read, str(path)) == plain


PACKED = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstandard.compress}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("packed", PACKED)
def test_a_compressed_file_says_what_it_says_plain_and_a_damaged_one_is_refused(kind, packed, tmp_path):
    name, content, read = FILES[kind]
    path, compressed = tmp_path / name, tmp_path / f"{name}.{packed}"
    path.write_bytes(content.encode())
    data = PACKED[packed](content.encode())
    compressed.write_bytes(data)
    plain = said(read, str(path))
    assert strip(said(read, str(compressed))) == strip(plain)
    compressed.write_bytes(data[: len(data) * 2 // 3])
    if content:
        with pytest.raises(RequestError, match=name):
            read(str(compressed))


def strip(found: Any) -> Any:
    """A refusal names the file, whose name differs."""
    return re.sub(r"\.(gz|bz2|xz|zst)\b", "", found) if isinstance(found, str) else found


@pytest.mark.parametrize("kind", FILES)
def test_an_archive_is_refused_with_what_to_do(kind, tmp_path):
    name, content, read = FILES[kind]
    path = tmp_path / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)
    with pytest.raises(RequestError, match=r"zip archive: unpack it|PK"):
        read(str(path))


@pytest.mark.parametrize("kind", FILES)
def test_a_file_in_another_encoding_is_refused_by_its_name_and_its_line(kind, tmp_path):
    name, content, read = FILES[kind]
    path = tmp_path / name
    path.write_bytes(((content or "a: 1\n") + "caf\u00e9 ").encode("latin-1"))
    number = 1 + next(
        (n for n, line in enumerate(content.split("\n")) if "\u00e9" in line), (content or "\n").count("\n")
    )
    with pytest.raises(RequestError, match=rf"{name}, line {number}: not UTF-8: "):
        read(str(path))


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("there", ["nothing", "zeros", "a folder"])
def test_what_is_no_text_is_refused_by_its_name(kind, there, tmp_path):
    name, _, read = FILES[kind]
    path = tmp_path / name
    if there == "a folder" and kind != "list of inputs":  # which a folder may be
        path.mkdir()
    elif there == "zeros":
        path.write_bytes(b"a\0b\n")
    with pytest.raises(RequestError, match=name):
        read(str(path))


@pytest.mark.parametrize("kind", [kind for kind, (name, *_) in FILES.items() if name.endswith((".yaml", ".jsonl"))])
def test_brackets_without_end_are_refused_by_the_name_of_the_file(kind, tmp_path):
    name, _, read = FILES[kind]
    path = tmp_path / name
    for nested in ("[" * 100_000, '{"a":' * 100_000):
        path.write_text(nested)
        with pytest.raises(RequestError, match=name):
            read(str(path))


def test_lines_end_as_on_any_system_and_nowhere_else():
    assert given_lines("a\r\nb\rc\nd\u2028e\x0bf\x85g") == ["a", "b", "c", "d\u2028e\x0bf\x85g"]


@pytest.mark.parametrize(("data", "line"), [(b"\xff", 1), (b"a\n\xff", 2), (b"a\r\n\r\n\xff\n", 3), (b"a\rb\xff", 2)])
def test_the_line_told_is_the_one_with_the_byte_that_is_none(data, line):
    with pytest.raises(RequestError, match=rf"^list, line {line}: "):
        decoded(data, "list")
