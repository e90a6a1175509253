"""Signals, rules and decisions: what a document measures, and which rule it fell to.

families         the signal families there are (`FAMILIES`) and `measure`, the one pass over a batch of texts
rule_sets        rule sets as data: `load_rules`, `compiled` (checked against the signals, evaluated by DuckDB)
cuts             rule sets that edit: lines cut out of texts, personal data replaced, all of it on record
layout           `Layout`, a batch cut into words, lines and paragraphs that all families share
gopher, c4, nemo, redpajama, content, languages   the families, where they differ as dialects (`gopher@dolma`)
pii              e-mail, IP, phone, IBAN, card, API key: `find`, `replaced`
by_language      words, stop words and ratios by the language of the document (`gopher@fineweb2`)
phones           phone numbers, checked against the numbering plans of libphonenumber
url_lists        lists of hosts as people have them: hosts files, Adblock, wildcards
urls             lists of hosts, domains, URLs and words: `UrlRules`, `UrlLists`, `ut1_lists`
classifiers      fastText models trained and judged; any model by its path as a signal
decontamination  an index of evaluation sets and `search` for their pieces, near copies (`near_copies`) among them
balancing        concepts counted and thinned by draws that depend on ids alone

A signal never decides and a rule never measures.
"""
