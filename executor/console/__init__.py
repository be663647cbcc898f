"""The console: a page in a browser that shows the running system, halts it and tunes it."""
