"""Results in and out, from and to other tools."""
