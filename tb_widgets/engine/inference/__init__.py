"""A checkpoint at work: it continues, fills, translates, classifies."""
