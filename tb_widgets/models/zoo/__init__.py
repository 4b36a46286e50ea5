"""Models of ours. Each is one self-contained file that a run freezes next to its weights, like a user's own."""
