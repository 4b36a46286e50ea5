"""The standalone page: its notebook, its template, and the Voila server that shows them."""
