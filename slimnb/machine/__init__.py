"""The machine and the process: what it is, what else runs on it, how work is stopped, what the libraries print."""
