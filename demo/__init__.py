"""A rating task and a tiny model that need no download."""
