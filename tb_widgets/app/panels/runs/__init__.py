"""The Runs step."""
