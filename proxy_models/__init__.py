"""Small language models at work: trained in fleets, scoring, embedding, rewriting, refining, tagging.

fleet, pool            many small models at once, one mixture each; the tokens that they read
scorers, score_pair    every scoring method behind one interface; pairs of models on the same tokens
reader                 hidden states and losses without gradients, fast on the device at hand
selection              which documents a score selects under a budget
embeddings             documents as vectors of a proxy model
engines                `Request`, `answer`: language models behind one interface, with a durable request cache
engines_open           `open_engine`: an endpoint, a local model of transformers or of ours, vLLM
programs               ProX programs: `parse`, `execute` under the published safety rules, `difference`
refine_rules           `refine_program`: the built-in refiner; refine asks an engine, refine_model is trained
rephrase               WRAP: styles, requests, checked rewritings; real and synthetic tokens at a ratio
taxonomy, tagging      closed lists of labels, and small models that learn them from an engine
tagging_urls           what a URL says of a document
clusters               mixture units by k-means over document vectors
"""
