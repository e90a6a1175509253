"""Deduplication: exact and near-duplicates, verified before they are joined, and one declared survivor each.

settings      what is asked for: DedupSettings, RepeatSettings, SemanticSettings
folds         what each character counts as when texts are compared
shingles      texts to sorted sets of shingle hashes
minhash       signatures, bands and rows, the S-curve, presets
keys          exact keys, scopes, ranks
buckets       leader stars: which documents of a bucket are compared
verification  exact Jaccard or containment of candidate pairs at bounded memory
edges         blocks of compared pairs and what they say about a run
growth        which buckets a changed corpus asks to be compared again
clusters      connected components: in memory, or by large-star and small-star rounds
survivors     who stays
repeats       lines, paragraphs and exact runs of words that documents share
cuts          which repeats are cut out of a document, and the record of it
semantic      duplicates in meaning, pruning by prototypes or density
index         a lasting LSH index for services: "have I seen this?"
"""
