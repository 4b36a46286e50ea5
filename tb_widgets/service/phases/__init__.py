"""The phases of a pipeline: one file each, which registers itself."""
