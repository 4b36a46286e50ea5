"""Texts and rows, read piece by piece: columns, documents, examples, what is held back."""
