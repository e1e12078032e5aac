"""The dashboard as a browser shows it, and runs that are damaged in every way we could think of."""
