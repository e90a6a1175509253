"""Everything that learns: tokens on disk, the order in which they are read, the transformer, the loop that trains it.

Import the parts by module; this file imports nothing, so that naming one part does not load torch.

shards        Arrow IPC token shards, memory-mapped: `open_tokens`, `domains`, `TokenDomain`
tokenizer     the BPE tokenizer: `train_tokenizer`, `load_tokenizer`
packing       from documents to rows: `Packing`, `Rows`
loader        the order of data as arithmetic: `Loader`, `Phase`
lengths       curricula of variable sequence length
repetition    what repeated data is worth: `effective_epochs`, `fill_in`
transformer   `Transformer`, `TransformerConfig`, `size`, `flops_per_token`
loss          chunked linear cross-entropy: `token_nll`, `weighted_loss`
schedules     learning rates: `Schedule`, `factor`
optimisers    AdamW, Muon, Lion, Sophia: `OptimiserSettings`, `Optimiser`
online        shares that a policy moves while a model trains: `Online`, `stretches`
reweighting   weights of samples by their loss
distillation  soft labels from a stored teacher cache
loop          the pre-training loop: `LoopSettings`, `pretrain`
evaluation    held-out bits per byte: `held_out_rows`, `bits_per_byte`, `windows`
run_card      what a run was, reached and cost
spikes        losses that a run goes back from
checkpoint    `save`, `load`, `average`
"""
