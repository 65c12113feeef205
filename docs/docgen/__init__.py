"""Writes the pages of the documentation: docs/*.md, and what code, notebook and leaderboard add to them."""
