"""Results on disk: schema, atomic files, provenance, merge, and what is wrong with a cell."""
