"""What a benchmark found, as values."""
