"""Which piece of which input file goes into which shard of `documents/`, written down before it is read.

`ledger` is what is written down; `packing` makes shards of pieces; `growth` adds the files of a call and takes
files out.
"""
