"""Strategies: pure functions of a market's books, one file each. Imports protocol only."""
