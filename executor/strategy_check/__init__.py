"""The proof of a strategy's file, before it may run: `executor strategy check`.

    run ──▶ a process of its own (`python -m executor.strategy_check`), bounded in time
              source_rules, kept_state   what stands in the file, without running it
              trials                     it is asked about made-up and recorded books
              another_order              ... in another process, in another order
              measures                   its time and its memory

Against mistakes, not against malice: a strategy is code that its owner runs, with all that the
worker's process has.
"""
