"""Columns of the shared tables, declared once. A column that a stage writes is never guessed from its first rows."""

import pyarrow as pa

# of a record: its file, by the path below what the user named and by what ids are made from, and its place in that
ORIGIN = pa.struct([("path", pa.string()), ("offset", pa.int64()), ("file", pa.string())])

DOCUMENTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # 32 hex digits, see corpus.identity
        pa.field("text", pa.string(), nullable=False),
        ("url", pa.string()),
        ("host", pa.string()),
        pa.field("source", pa.string(), nullable=False),  # name of the input
        pa.field("domain", pa.string(), nullable=False),  # mixture unit
        ("date", pa.timestamp("s", tz="UTC")),
        ("title", pa.string()),
        ("language", pa.string()),  # identified, or taken over from the input
        ("license", pa.string()),
        ("origin", ORIGIN),
        ("license_class", pa.string()),  # public domain, permissive, attribution, unknown; null: none stated
        ("language_score", pa.float64()),  # of `language`, null where it was not identified
        ("languages", pa.list_(pa.struct([("label", pa.string()), ("score", pa.float64())]))),  # the best three
        ("language_stated", pa.string()),  # in the page's markup
        ("links", pa.int64()),  # in the page
        ("page_type", pa.string()),  # article, forum, product, ...: see corpus.layout.page_type; null for plain text
        ("page_type_score", pa.float64()),  # its probability
        ("canonical", pa.string()),  # the address that the page calls its own
        ("robots", pa.string()),  # what its meta elements and X-Robots-Tag say to robots
    ]
)

FAILURES = pa.schema(
    [
        ("origin", ORIGIN),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("error", pa.string(), nullable=False),  # one line: what happened and to what
        ("excerpt", pa.string()),  # at most 200 characters of the input, for a human
    ]
)

CAPTURES = pa.schema(  # records of crawls: those that became documents, and revisits, which stand for an earlier one
    [
        pa.field("id", pa.string(), nullable=False),
        ("file", pa.string()),  # as in `origin`
        pa.field("revisit", pa.bool_(), nullable=False),
        ("record", pa.string()),  # WARC-Record-ID
        ("digest", pa.string()),  # WARC-Payload-Digest
        ("url", pa.string()),
        ("captured", pa.timestamp("s", tz="UTC")),
        ("refers_to", pa.string()),  # the rest is what a revisit says of its original
        ("refers_to_url", pa.string()),
        ("refers_to_date", pa.timestamp("s", tz="UTC")),
    ]
)

DECISIONS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("kept", pa.bool_(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        ("rule", pa.string()),  # null where kept
        ("value", pa.float64()),  # null where kept, and where the rule's value is absent
        ("threshold", pa.float64()),
        ("duplicate_of", pa.string()),
    ]
)

DUPLICATES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("cluster", pa.string(), nullable=False),  # smallest id of the cluster
        pa.field("cluster_size", pa.int64(), nullable=False),
        pa.field("survivor", pa.bool_(), nullable=False),
        ("duplicate_of", pa.string()),  # the survivor, null on the survivor itself
        ("match", pa.string()),  # the other end of its closest verified edge
        ("jaccard", pa.float64()),  # similarity of that edge
        ("method", pa.string()),  # exact, minhash, ...
        pa.field("scope", pa.string(), nullable=False),
    ]
)

EDITS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),  # the text after the edit
        # what was cut, as [start, end) in characters of the text before the edit, with the rule that cut it
        ("removed", pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64()), ("rule", pa.string())]))),
    ]
)

DOMAINS = pa.schema(  # mixture units that replace the column `domain` once the chain has decided, see corpus.fate
    [pa.field("id", pa.string(), nullable=False), pa.field("domain", pa.string(), nullable=False)]
)
