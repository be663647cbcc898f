"""The functions' pure core: decide, claims, answers. No await, clock, randomness or network."""
