"""Everything that learns: tokens on disk, the order in which they are read, the transformer, the loop that trains it.

Import the parts by module; this file imports nothing, so that naming one part does not load torch.

shards       Arrow IPC token shards, memory-mapped: `open_tokens`, `domains`, `TokenDomain`
tokenizer    the BPE tokenizer: `train_tokenizer`, `load_tokenizer`
transformer  `Transformer`, `TransformerConfig`, `size`, `flops_per_token`
loss         chunked linear cross-entropy: `token_nll`, `weighted_loss`
"""
