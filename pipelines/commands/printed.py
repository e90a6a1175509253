"""The summary of a command as text. Imports nothing, so that a library can print as the command line does."""

from typing import Any


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
