"""Find, check, select and configure plugins; no plugin's code is imported before it is used."""
