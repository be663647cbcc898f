"""What a strategy is worth: the trading code itself on recorded books, in virtual time.

Nothing here decides: gate, strategy, claim conditions, amounts, fills, evidence, settlement and
fees are the worker's own functions (`functions.core`), called with the times of a recording. It
opens no connection and reads no environment.
"""
