"""A real browser walks through the console of a running system: `python -m tests.browser`."""
