"""The record of the stage `rewrite`."""

from ...engine.record import StageRecord

RECORDS = (
    StageRecord(
        name="rewrite",
        about="""Rewrite each surviving document in one or more styles with a language model; originals stay.

Writes synthetic/ (new documents with parent, style and model), lineage/ and rewrites/ (each document rewritten or
fallen back, and why). With --adopt the new documents join documents/ in domains named DOMAIN.STYLE. Replies are
remembered in the workspace: a run that was killed asks for nothing twice.""",
        example="gristmill rewrite --workspace W --style medium --endpoint http://localhost:8000/v1 --model M --adopt",
        settings=".settings:RewriteSettings",
        run=".stage:run_rewrite",
        after=("select",),
        reads=("documents",),
        writes=("synthetic", "lineage", "rewrites"),
        check=".checks:check",
        options=".options:RewriteOptions",
        gather=".options:gather",
        act=".command:act",
        replay=(("rewrites", ".again:rewrite"),),
    ),
)
