"""Decontamination: `stage` drops or cuts, `exposure` asks whether a model has seen the evaluation sets."""
