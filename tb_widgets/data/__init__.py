"""From a text to batches of tokens."""
