"""The reference of docs/reference, made from the code: nothing of it is written a second time."""
