"""Deduplication: exact and near-duplicates, verified before they are joined, and one declared survivor each.

settings      DedupSettings: what is asked for, and the presets' values
shingles      texts to sorted sets of shingle hashes
minhash       signatures, bands and rows, the S-curve, presets
keys          exact keys, scopes, ranks
buckets       leader stars: which documents of a bucket are compared
verification  exact Jaccard or containment of candidate pairs at bounded memory
clusters      connected components: in memory, or by large-star and small-star rounds
survivors     who stays
edges         blocks of compared pairs and what they say about a run
"""
