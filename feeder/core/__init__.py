"""The feeder's knowledge without its wires: no await, clock, randomness, environment or network."""
