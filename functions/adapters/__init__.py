"""The functions' ports, implemented: DynamoDB, the live venue, paper, JetStream."""
