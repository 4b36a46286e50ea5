"""How runs are shown, for page and terminal alike: figures, progress, words."""
