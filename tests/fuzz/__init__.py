"""A fuzz target over frames; `python -m tests.fuzz --help`."""
