"""Venue streams in, JetStream out, in two roles of their own.

market: keeps the books, publishes a snapshot when one changes. user: publishes our trades as fills.
Neither holds a key that can trade. `core/` is pure; the modules beside it are its shells.
"""
