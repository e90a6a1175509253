"""Semantic deduplication: `embeddings` of documents, and the `stage` that decides by them."""
