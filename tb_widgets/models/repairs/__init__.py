"""Faults of exports that can be mended in the source."""
