"""Recorded books from wherever they are, as one stream in order of time."""
