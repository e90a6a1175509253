"""Draw the house and the road from the code: python docs/pictures.py writes docs/pictures/, with --check it only
compares, and exits 1 where a picture is not what the code would draw.

The house shows the rooms, and which room imports which: imports of every module, less those that follow from others.
The road shows the stages in the order in which they run, which of them decide, and the tables that each writes. Both
are read off the program, so that neither can be out of date. Each is narrow enough for a telephone.
"""

import ast
import sys
import textwrap
from collections.abc import Iterable
from html import escape
from pathlib import Path

from gristmill.pipelines.engine.record import StageRecord
from gristmill.pipelines.engine.registry import records

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "pictures"
ROOMS = ("corpus", "filters", "dedup", "training", "proxy_models", "mixing", "pipelines", "gristmill")
WIDTH, MARGIN, LINE = 380, 10, 15
INK, SOFT, EDGE, BACK, DECIDING = "#1f2933", "#52606d", "#9aa5b1", "#f5f7fa", "#fdf1e3"
STYLE = "font-family='system-ui, sans-serif' font-size='12'"
Imports = dict[str, set[str]]


def imports() -> Imports:
    """Room -> the rooms that its modules import."""
    found: Imports = {room: set() for room in ROOMS}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                found[room] |= {name for name in named_rooms(node, path) if name != room}
    return found


def named_rooms(node: ast.AST, path: Path) -> Iterable[str]:
    """Rooms that an import statement of a file names."""
    if not isinstance(node, ast.ImportFrom):
        return ()
    parts = (node.module or "").split(".")
    if node.level:  # from ..store, or from ... import
        above = path.relative_to(ROOT).parent.parts
        inside = above[: len(above) - node.level + 1] if node.level <= len(above) else ()
        parts = [*inside, *(part for part in parts if part)]
        if not parts:
            return [alias.name for alias in node.names if alias.name in ROOMS]
    elif parts[0] == "gristmill" and len(parts) > 1:
        parts = parts[1:]
    else:
        return ()
    return [parts[0]] if parts[0] in ROOMS else ()


def without_implied(found: Imports) -> Imports:
    """Those imports that do not follow from others."""

    def below(room: str) -> set[str]:
        return found[room] | {lower for one in found[room] for lower in below(one)}

    return {room: {one for one in own if not any(one in below(other) for other in own)} for room, own in found.items()}


def levels(found: Imports) -> dict[str, int]:
    """Room -> how many floors are below it."""

    def floor(room: str) -> int:
        return 1 + max((floor(one) for one in found[room]), default=-1)

    return {room: floor(room) for room in found}


def job(room: str) -> str:
    """The first sentence that a room says of itself."""
    told = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text(encoding="utf-8"))) or ""
    first = " ".join(told.split("\n\n")[0].split("\n")).split(". ")[0].rstrip(".")
    return first.removeprefix("gristmill: ")


def box(left: float, top: float, width: float, lines: list[str], fill: str = BACK) -> str:
    """A box with a heading and lines of text below it."""
    height = 12 + LINE * len(lines)
    drawn = f"<rect x='{left}' y='{top}' width='{width}' height='{height}' rx='5' fill='{fill}' stroke='{EDGE}'/>\n"
    for number, line in enumerate(lines):
        weight = f"font-weight='600' fill='{INK}'" if number == 0 else f"fill='{SOFT}' font-size='11'"
        drawn += f"<text x='{left + 8}' y='{top + 17 + LINE * number}' {weight}>{escape(line)}</text>\n"
    return drawn


def page(height: float, title: str, about: str, body: str) -> str:
    """A picture with a title and a description, for those who do not see it."""
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' height='{height}' "
        f"role='img' aria-labelledby='title about' {STYLE}>\n<title id='title'>{escape(title)}</title>\n"
        f"<desc id='about'>{escape(about)}</desc>\n<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>\n"
        f"{body}</svg>\n"
    )


def columns(drawn: Imports, floors: dict[str, int]) -> dict[str, tuple[float, float]]:
    """Room -> left edge and width. Rooms of the widest floor stand side by side, and one that rests on a single one of
    them stands above it; all others are as wide as the house."""
    widest = max(set(floors.values()), key=list(floors.values()).count)
    stacks = {room: [room] for room in ROOMS if floors[room] == widest}
    for room in sorted(ROOMS, key=lambda one: floors[one]):
        for stack in stacks.values():
            if room not in stack and drawn[room] == {stack[-1]}:
                stack.append(room)
                break
    parts = [1.0 + 0.15 * (len(stack) - 1) for stack in stacks.values()]
    unit, left = (WIDTH - 2 * MARGIN - 10 * (len(parts) - 1)) / sum(parts), float(MARGIN)
    found = {room: (float(MARGIN), float(WIDTH - 2 * MARGIN)) for room in ROOMS}
    for stack, part in zip(stacks.values(), parts, strict=True):
        found |= dict.fromkeys(stack, (left, part * unit))
        left += part * unit + 10
    return found


def house() -> str:
    """The rooms, floor by floor, and the imports between them."""
    found = imports()
    floors, drawn = levels(found), without_implied(found)
    wide = columns(drawn, floors)
    top, boxes, places = MARGIN, "", {}
    for floor in sorted(set(floors.values()), reverse=True):
        rooms = [room for room in ROOMS if floors[room] == floor]
        texts = {room: [f"{room}/", *textwrap.wrap(job(room), int((wide[room][1] - 16) / 6.1))] for room in rooms}
        tallest = max(len(lines) for lines in texts.values())
        for room in rooms:
            left, width = wide[room]
            boxes += box(left, top, width, texts[room] + [""] * (tallest - len(texts[room])))
            places[room] = (left + width / 2, top, top + 12 + LINE * tallest)
        top += 12 + LINE * tallest + 26
    lines = ""
    for room, own in drawn.items():
        for one in sorted(own):
            spans = wide[room][1] > wide[one][1]  # from a wide room straight down, into a wide one as well
            x, begin, end = places[one if spans else room][0], places[room][2], places[one][1]
            lines += f"<line x1='{x:.0f}' y1='{begin}' x2='{x:.0f}' y2='{end - 5}' stroke='{SOFT}'/>\n"
            lines += f"<path d='M{x - 4:.0f} {end - 6} h8 L{x:.0f} {end} Z' fill='{SOFT}'/>\n"
    about = "; ".join(f"{room} imports {', '.join(sorted(own)) or 'nothing of ours'}" for room, own in drawn.items())
    return page(top - 16, "The rooms of gristmill and their imports", about, lines + boxes)


def road() -> str:
    """The stages in the order in which they run."""
    top, body, told = MARGIN, "", []
    for number, record in enumerate(stages()):
        if number:
            body += f"<line x1='{WIDTH / 2}' y1='{top - 14}' x2='{WIDTH / 2}' y2='{top - 6}' stroke='{SOFT}'/>\n"
            body += f"<path d='M{WIDTH / 2 - 4} {top - 6} h8 L{WIDTH / 2} {top} Z' fill='{SOFT}'/>\n"
        writes = f"writes {', '.join(record.writes)}" if record.writes else "writes files outside of the workspace"
        lines = [record.name, *textwrap.wrap(record.title, 58), *textwrap.wrap(writes, 58)]
        body += box(MARGIN, top, WIDTH - 2 * MARGIN, lines, DECIDING if record.decides else BACK)
        top += 12 + LINE * len(lines) + 14
        told.append(f"{record.name}{' decides and' if record.decides else ''} {writes}")
    body += f"<rect x='{MARGIN}' y='{top - 4}' width='12' height='12' fill='{DECIDING}' stroke='{EDGE}'/>\n"
    body += f"<text x='{MARGIN + 18}' y='{top + 6}' fill='{SOFT}' font-size='11'>decides which documents stay</text>\n"
    return page(top + 18, "The stages of gristmill in the order in which they run", "; ".join(told), body)


def stages() -> list[StageRecord]:
    """Our own, without those of plug-ins, in order."""
    return [record for record in records().values() if record.package.startswith("gristmill.")]


def main() -> int:
    wrong = 0
    for name, drawn in (("house", house()), ("road", road())):
        path = FOLDER / f"{name}.svg"
        if path.exists() and path.read_text(encoding="utf-8") == drawn:
            continue
        wrong += 1
        if "--check" not in sys.argv[1:]:
            path.write_text(drawn, encoding="utf-8")
    return int(wrong > 0 and "--check" in sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
