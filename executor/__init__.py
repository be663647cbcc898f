"""The command line: what a person sees of an account, and how they stop it.

    executor status | positions | decisions | halt | resume | reconcile | doctor
    executor record | inspect
    executor strategy new | check
    executor backtest

1. Gathering (one or two calls to the store or the venue), reports (structs, pure) and rendering
   (structs to tables, pure) are apart; `command_line` joins them.
2. An error is one line on stderr and exit code 1 (something failed) or 2 (a variable or an option
   is wrong; typer tells of an option in a box), never a traceback. Nothing here prints a key.
3. Only `halt`, `resume` and `reconcile` change anything, `record` its directory;
   `strategy new` writes its two files, and `backtest` those that it is asked for.
"""
