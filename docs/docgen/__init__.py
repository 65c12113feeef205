"""Writes the pages of the documentation: docs/*.md and what the code, the notebook and the board add to them."""
