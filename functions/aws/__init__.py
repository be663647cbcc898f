"""The cloud's functions."""

from __future__ import annotations

from runtime.library_variables import ignore_library_variables

ignore_library_variables()  # first: whatever is imported next would read them
