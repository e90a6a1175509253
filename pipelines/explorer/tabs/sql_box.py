"""The SQL tab: one SELECT over the workspace's views and the explorer's own tables, with a limit of rows."""

from ...report.text import count, escape, paragraph, table
from ..page import link
from ..view import View

LIMITS = (100, 1000, 5000)
FIRST = "select stage, rule, count(*) as n from decisions group by all order by n desc"


def sql_box(view: View) -> str:
    """The box, and what it answered."""
    asked = view.one("sql") or ("" if view.source.chain_is_stale else FIRST)
    most = view.count("limit", LIMITS[0], 1, LIMITS[-1])
    chosen = "".join(f"<option{' selected' if one == most else ''}>{one}</option>" for one in LIMITS)
    body = (
        f'<form action="sql" class="box"><label for="sql">A query in DuckDB\'s SQL: one SELECT</label>'
        f'<textarea id="sql" name="sql" rows="6" spellcheck="false" class="search">{escape(asked)}</textarea>'
        f'<label>Rows <select name="limit">{chosen}</select></label> <button>Run</button></form>'
    )
    view.kept = body  # what was typed stays where it is refused
    if not asked:
        return body + _views(view)
    query = view.source.own_query(asked)
    names, rows = view.named("answer", f"select * from ({query}\n) limit {most}")
    shown = [[_cell(view, name, value) for name, value in zip(names, row, strict=True)] for row in rows]
    body += table(names, shown, words=len(names), most=most) if names else ""
    more = " There may be more: the answer was cut at that number." if len(rows) == most else ""
    body += paragraph(f"{count(len(rows))} rows.{more}", "lead")
    return body + _views(view)


def _cell(view: View, name: str, value: object) -> object:
    if value is None:
        return "–"
    told = str(value)
    if name in ("id", "duplicate_of", "match", "survivor", "parent") and len(told) == 32:
        return link(view.link(f"document/{told}"), told)
    return told if len(told) <= 400 else told[:400] + " …"


def _views(view: View) -> str:
    rows = view.source.rows(
        "select if(schema_name = 'shown', 'shown.', '') || table_name as table_name, "
        "string_agg(column_name, ', ' order by column_index) as columns from duckdb_columns() "
        "where database_name = 'memory' and schema_name in ('main', 'shown') and not internal group by all "
        "order by table_name"
    )[1]
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(_few(columns))}</dd>" for name, columns in rows)
    return f"<details><summary>Views and their columns</summary><dl class=views>{listed}</dl></details>"


def _few(columns: str) -> str:
    return columns if len(columns) <= 2000 else f"{columns[:2000]} …"
