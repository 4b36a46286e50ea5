"""Whose code may run, and what to look at before one decides."""
