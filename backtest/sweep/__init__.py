"""Many parameters at once: what is tried, each point the faster way, and what luck would give."""
