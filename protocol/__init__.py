"""What the feeder and the functions say to each other: books, markets, messages, subjects.

Pure: no await, clock, randomness, environment or network, and nothing else of ours is imported.
"""
