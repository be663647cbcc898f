"""`executor doctor`: checks of everything that trading depends on. None changes anything."""
