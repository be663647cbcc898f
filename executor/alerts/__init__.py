"""Alerts: what happens is told to a person who is away. `executor alert run` is the process."""
