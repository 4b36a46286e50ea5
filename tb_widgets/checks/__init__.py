"""Checks of a model: what it does with a few made-up inputs, each with a number, a verdict and one line of advice."""
