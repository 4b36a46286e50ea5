"""Optimisers over parameter groups."""
