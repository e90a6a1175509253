"""Deduplication: `signatures` of documents, their `bands`, what shares a bucket (`compare`), the graph (`stage`,
`steps`, `rounds`), and repeated text (`repeats`)."""
