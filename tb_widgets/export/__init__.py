"""Trained models in the formats of others: one file a format, and each proves what it has written."""
