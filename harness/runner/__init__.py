"""Which cells there are, and who runs them. Prints nothing."""
