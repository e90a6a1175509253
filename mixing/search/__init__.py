"""Which mixtures to try and which is best.

designs, rounds, limits, the optimiser, and mixtures that need no proxies.
"""
