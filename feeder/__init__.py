"""Venue streams in, JetStream out: keeps the books, publishes a snapshot when one changes.

Holds no key that can trade. `core/` is pure; the modules beside it are its shells.
"""
