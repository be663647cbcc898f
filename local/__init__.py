"""The system on one machine: nats-server, store and our processes, supervised."""
