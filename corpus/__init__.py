"""What a document is and where it lives. Imports nothing of ours, and nothing heavy by itself.

On disk: `workspace` (tables and manifests), `shards`, `schema`, `fate` (what decided a document), `catalog` (views).

From input to documents: `inputs` (what the user names, as files) -> `planning` (pieces and shards, the ledger) ->
`records` (a piece as records: `members` undoes compression, `warc` and `http_message` read crawls, `rows` reads JSONL,
Parquet and Arrow) -> `sandbox` (a child process with hard limits) -> `pages` (one page to a finished text:
`extraction`, `formulas`, `metadata`, `licences`, `normalising`, `languages`) -> `identity` (its id).

Main content: `thinning` (leave out of the source what nobody reads), `markup` and `blocks` (cut serialised HTML into
measured blocks; `scanning` has the compiled steps of both), `block_features`, `content` (which blocks are content),
`rendering` and `inline` (blocks as text or Markdown). Opt-out lists: `optout`. Errors: `refusal`.
"""
