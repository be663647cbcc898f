"""What `executor strategy new` writes: a strategy and its test, real code that is checked here.

In what is written, the names `my_strategy` and `MyStrategy` are the new strategy's.
"""
