"""Before a fine-tuning: what fits, how long it takes, what it can be expected to bring."""
