"""What a run is worth, as numbers that a person or a program reads."""
