"""Batches by role for every task: windows, padded examples, masks, spans, pictures."""
