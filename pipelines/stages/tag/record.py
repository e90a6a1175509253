"""The record of the stage `tag`."""

from ...engine.record import StageRecord

RECORDS = (
    StageRecord(
        name="tag",
        about="""Say what each surviving document is: its URL's parts, topic, format, educational quality, cluster.

Without a model only the URL is read. An engine labels a sample, a small model learns from it and labels the rest;
their agreement is printed. Clusters are of words, or of vectors that are stored (of `gristmill score rds`, say): a
document without one has no cluster. Writes tags/, decisions/tag/ and, with --domain, domains/: new mixture units.
Rules may name tags here (--keep, --rules) and, once labels are learnt, in `gristmill filter --rules`.""",
        example="gristmill tag --workspace W --clusters 12 --domain cluster",
        settings=".settings:TagSettings",
        run=".stage:run_tag",
        after=("refilter",),
        reads=("documents",),
        writes=("labels", "labellers", "clusters", "tags", "domains", "decisions/tag"),
        decides=True,
        check=".checks:check",
        options=".options:TagOptions",
        gather=".options:gather",
        show=".command:lines",
        replay=(
            ("labels", ".again:label"),
            ("labellers", ".again:learn"),
            ("clusters", ".again:cluster"),
            ("decisions/tag", ".again:decide"),
        ),
    ),
)
