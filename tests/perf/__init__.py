"""Side-by-side comparisons with peers; they need the extra `peers` and a quiet machine."""
