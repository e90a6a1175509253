"""Deduplication: `signatures` of documents, the graph (`stage`, `steps`, `rounds`), and repeated text (`repeats`)."""
