from tests.dynamodb import dynamodb_server, state_table

__all__ = ["dynamodb_server", "state_table"]
