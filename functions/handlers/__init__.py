"""One file a use case: gather, call the pure core, apply."""
