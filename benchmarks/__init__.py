"""Figures, not tests: `make bench` prints them and writes `benchmarks/out/latest.json`.

Machines differ and are noisy: compare figures of one run with each other, not across machines.
"""
