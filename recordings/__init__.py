"""Recorded order books of real markets, and the loader for them. Attribution: ATTRIBUTION.md.

For whoever plays or reads them: the simulated venue, and the command line's proof of a strategy.
"""
