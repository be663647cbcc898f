"""What every process of the system needs and none of them is about: settings, logs, NATS, health.

Knows nothing of feeders or functions.
"""
