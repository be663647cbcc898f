"""Recorded order books of real markets, and the loader for them. Attribution: ATTRIBUTION.md."""
