"""From what the user names to records: inputs, decompression, WARC and ARC, HTTP, rows of files.

inputs -> planning (pieces and shards) -> records; `members` undoes compression, `warc` and `http_message` read crawls,
`rows` reads JSONL, Parquet and Arrow.
"""
