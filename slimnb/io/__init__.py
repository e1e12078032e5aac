"""What comes in and goes out: files that are whole or absent, documents, locks, Parquet, the Hub. Imports no torch."""
