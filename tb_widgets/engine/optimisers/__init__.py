"""Optimisers: one file each, which builds it over groups of parameters."""
