"""The validation of template.ipynb: a form of its own, without a dashboard."""
