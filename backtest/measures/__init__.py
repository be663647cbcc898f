"""What the observations of a run say: pure arithmetic, a module a measure."""
