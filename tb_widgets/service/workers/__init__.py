"""Processes that run model code: how they are started, what they know, what they do."""
