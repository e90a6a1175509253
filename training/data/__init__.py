"""From texts to steps.

tokens on disk (`tokenizer`, `shards`), rows (`packing`), and which tokens a step reads (`loader`).
"""
