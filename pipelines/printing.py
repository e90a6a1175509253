"""What a terminal shows: tables as text, and the summary of a command. Loads Arrow where a table is printed."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def as_table(table: "pa.Table") -> str:
    """Columns side by side for a human; long values are cut."""
    import pyarrow as pa

    columns = [[_cell(value) for value in column.to_pylist()] for column in table.columns]  # names may repeat
    rows = [list(row) for row in zip(*columns, strict=True)]
    widths = [max([len(name), *(len(row[i]) for row in rows)]) for i, name in enumerate(table.column_names)]
    numeric = [pa.types.is_integer(f.type) or pa.types.is_floating(f.type) for f in table.schema]

    def line(cells: list[str]) -> str:
        padded = (c.rjust(w) if n else c.ljust(w) for c, w, n in zip(cells, widths, numeric, strict=True))
        return "  ".join(padded).rstrip()

    rule = "  ".join("-" * width for width in widths)
    counted = f"({len(rows)} row{'' if len(rows) == 1 else 's'})"
    return "\n".join([line(table.column_names), rule, *(line(row) for row in rows), counted]) + "\n"


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= 100 else text[:99] + "…"


def printed(summary: dict[str, Any]) -> str:
    """A line per table: `filter: decisions/filter: in 120, kept 97, dropped 23`."""
    lines = []
    for table, counts in summary.get("tables", {}).items():
        numbers = ", ".join(f"{name} {value:,}" for name, value in counts.items()) or "committed"
        state = " (up to date)" if summary.get("skipped") else ""
        lines.append(f"{summary['stage']}: {table}: {numbers}{state}\n")
    if "tables" not in summary:
        lines.append(f"{summary['stage']}: done\n")
    return "".join(lines)
