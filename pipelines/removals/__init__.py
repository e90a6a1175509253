"""Removal on request that can be proven: what falls, the signed log of requests, and the proof of absence."""
