"""Measured promises: ``python -m tests.bench`` measures all of them, ``python -m tests.bench NAME`` one."""
