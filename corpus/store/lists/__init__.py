"""What a commit lists, where that is long: shards and work items as Arrow columns, stored in Parquet parts.

rows     `NamedRows`: rows by name in Arrow columns, read from their parts when they are asked for
shards   `ShardList`: the shards of a table
work     `WorkList`: work items with what each was made from
parts    the parts: of which growth adds one
"""
