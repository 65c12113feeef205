"""Results on disk: schema, atomic files, provenance, merge."""
