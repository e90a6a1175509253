"""Laws: how loss depends on size, tokens, mixture, repetition and filtering, each with its fit.

robust       multi-start fits, bootstrap intervals, and the guard against extrapolation that every law uses
chinchilla   loss of size and tokens, compute-optimal splits; over-training and loss to error
repetition   the data-constrained law (effective repeated tokens) and filtering by quality bucket
joint        domain, quality bucket and epochs chosen together under a budget of tokens, by the filtering law
mixture      Data Mixing Laws nested over steps and sizes, D-CPT with a constraint on the general loss
projection   the best mixture at a scale that was not trained, from two that were (projektor)
downstream   clustered prediction of task accuracy from loss
"""
