"""Signals, rules and decisions: what a document measures, and which rule it fell to.

families        the signal families there are (`FAMILIES`) and `measure`, the one pass over a batch of texts
rule_sets       rule sets as data: `load_rules`, `Compiled` (checked against the signals, evaluated by DuckDB)
layout          `Layout`, a batch cut into words, lines and paragraphs that all families share
gopher          the Gopher signals in the dialects `paper`, `datatrove`, `dolma` and `dclm`

A signal never decides and a rule never measures.
"""
