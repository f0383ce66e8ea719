"""What is proved about jobcore, one command each: `make proof` and its companions."""
