"""What a document is and where it lives. Imports nothing of ours, and nothing heavy by itself.

store      workspace, tables, shards, the chain of decisions, schema, catalog, errors
readers    inputs as files, planning, decompression, WARC and ARC, HTTP, rows
text       a page to its text
metadata   what a page says of itself
languages  which language a text is in
folding    what counts as the same text, and where words begin and end, in every script
compiling  compiled functions whose cache cannot be stale
"""
