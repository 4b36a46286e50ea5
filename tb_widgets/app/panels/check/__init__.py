"""The Check step."""
