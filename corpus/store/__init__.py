"""Where documents live: the workspace and its tables on disk.

workspace   the folder, its tables and their manifests
shards      one Parquet file, written whole or not at all
schema      columns of the shared tables
fate        the chain of decisions: which documents are kept, with which text
catalog     `catalog.duckdb`, views over all tables
calls       calls that can be made again, with the files that they name
identity    who a document is
removals    lists of what was asked to be left out
errors      `RequestError`, `WorkspaceError` and their like
"""
